"""Whether the indexes of `log.db` hide anything: an entry that no search finds, a time out of span.

Rules:
- Every column of every entry is looked up in its index, by SQLite itself: what a body says must be
  filed. An index that is gone hides everything.
- It runs beside the verification, in a thread with a connection of its own (SQLite computes without
  the interpreter's lock), a chunk per read transaction, so that no WAL is held up.
- A body that is no JSON is another check's finding and passes here.
"""

import threading
from pathlib import Path
from typing import Any, Final

from appliance.audit import store
from appliance.audit.findings import MAX_FINDINGS
from appliance.audit.tables import SPAN
from appliance.db import open_readonly

CHUNK: Final = 2_048
_INDEXES: Final = {
    "kind": "leaf_kind", "request_id": "leaf_request", "key_id": "leaf_key", "model": "leaf_model",
    "app": "leaf_app", "code": "leaf_code", "intent": "leaf_intent", "dek": "leaf_dek",
}  # fmt: skip
_HIDDEN: Final = " OR ".join(
    f"(a.{column} IS NOT NULL AND NOT EXISTS (SELECT 1 FROM leaf AS b INDEXED BY {index} "  # noqa: S608 - names from here
    f"WHERE b.{column} = a.{column} AND b.seq = a.seq))"
    for column, index in _INDEXES.items()
)
_ENTRIES: Final = (
    f"SELECT a.seq FROM leaf AS a WHERE a.seq >= ? AND a.seq < ? "  # noqa: S608 - the same
    f"AND CASE WHEN json_valid(CAST(a.body AS TEXT)) THEN {_HIDDEN} END"
)
_SPANS: Final = """
WITH found AS (
  SELECT seq / ?3 AS block, min(time_us) AS low, max(time_us) AS high FROM leaf
  WHERE seq >= ?1 AND seq < ?2 AND json_valid(CAST(body AS TEXT))
  GROUP BY seq / ?3 HAVING count(*) = ?3
)
SELECT block * ?3 FROM found LEFT JOIN span USING (block)
WHERE low_us IS NOT low OR high_us IS NOT high
"""


class IndexCheck:
    """A check of the entries first ≤ seq < end, under way.

    Attributes:
        hidden: the first entries at fault.
        count: all of them.
    """

    def __init__(self, path: Path, first: int, end: int) -> None:
        self._path, self._first, self._end = path, first, end
        self.hidden: list[int] = []
        self.count = 0
        self._stopped = False
        self._error: Exception | None = None
        self._thread = threading.Thread(target=self._run, name="audit-indexes", daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def result(self) -> list[int]:
        """Wait for the end; the first entries at fault. Raises the driver's errors."""
        self._thread.join()
        if self._error is not None:
            raise self._error
        return sorted(self.hidden)

    def stop(self) -> None:
        """Give up; returns when nothing runs any more."""
        self._stopped = True
        if self._thread.ident is not None:
            self._thread.join()

    def _run(self) -> None:
        engine = open_readonly(self._path)
        try:
            with engine.connect() as connection:
                self._look(store.raw(connection))
        except Exception as error:
            self._error = error
        finally:
            engine.dispose()

    def _look(self, log: Any) -> None:
        for start in range(self._first - self._first % CHUNK, self._end, CHUNK):
            if self._stopped:
                return
            first, end = max(start, self._first), min(start + CHUNK, self._end)
            self._note(log.execute(_ENTRIES, (first, end)).fetchall())
            self._note(log.execute(_SPANS, (first, end, SPAN)).fetchall())

    def _note(self, rows: list[tuple[int]]) -> None:
        self.count += len(rows)
        self.hidden += [row[0] for row in rows][: MAX_FINDINGS - len(self.hidden)]
