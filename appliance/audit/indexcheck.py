"""Whether the database hides anything: an entry that no search finds, a time out of span.

Rules:
- Every column of every entry is looked up in its index, by SQLite itself: what a body says must be
  filed. An index that is gone hides everything.
- Every entry is looked up by its number, too: one that a scan meets may be missed by a look-up.
- Spans are those of the newest segment, which searches use for all. A block that is divided
  between two ranges belongs to the second.
- Numbers that are not there cost nothing, however many: rows lead from chunk to chunk.
- It runs beside the verification, in a thread with a connection of its own (SQLite computes without
  the interpreter's lock), a chunk per read transaction, so that no WAL is held up.
- A body that is no JSON is another check's finding and passes here.
"""

import threading
from typing import Any, Final

from appliance.audit.files import LogFiles
from appliance.audit.findings import MAX_FINDINGS
from appliance.audit.segments import Log, Segments
from appliance.audit.tables import SPAN

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
_BLOCKS: Final = (
    "SELECT a.seq / ?4, count(*), min(a.time_us), max(a.time_us), "  # noqa: S608 - the same
    "group_concat(CASE WHEN a.seq >= ?3 AND "
    f"(NOT EXISTS (SELECT 1 FROM leaf AS c WHERE c.seq = a.seq) OR {_HIDDEN}) THEN a.seq END) "
    "FROM leaf AS a WHERE a.seq >= ?1 AND a.seq < ?2 AND json_valid(CAST(a.body AS TEXT)) "
    "GROUP BY a.seq / ?4"
)
_NEXT: Final = "SELECT min(seq) FROM leaf WHERE seq >= ? AND seq < ?"
_SPANS: Final = "SELECT block, low_us, high_us FROM span WHERE block >= ? AND block <= ?"


class IndexCheck:
    """A check of the entries first ≤ seq < end, under way.

    Attributes:
        hidden: the first entries at fault.
        count: all of them.
    """

    def __init__(self, files: LogFiles, first: int, end: int) -> None:
        self._segments, self._first, self._end = Segments(files), first, end
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
        try:
            with self._segments.open() as log:
                self._look(log)
        except Exception as error:
            self._error = error
        finally:
            self._segments.close()

    def _look(self, log: Log) -> None:
        for dbapi, low, high in log.within(self._first, self._end):
            (at,) = dbapi.execute(_NEXT, (low, high)).fetchone()
            while at is not None and not self._stopped:
                end = min(at - at % CHUNK + CHUNK, high)
                self._chunk(log.newest.dbapi, dbapi, at, end)
                (at,) = dbapi.execute(_NEXT, (end, high)).fetchone()

    def _chunk(self, newest: Any, dbapi: Any, first: int, end: int) -> None:
        begun = first - first % SPAN  # a segment begins with a block
        spans = set(newest.execute(_SPANS, (begun // SPAN, end // SPAN)))
        for block, count, low, high, hidden in dbapi.execute(_BLOCKS, (begun, end, first, SPAN)):
            self._note([int(seq) for seq in (hidden or "").split(",") if seq])
            if count == SPAN and (block, low, high) not in spans:
                self._note([block * SPAN])

    def _note(self, seqs: list[int]) -> None:
        self.count += len(seqs)
        self.hidden += seqs[: MAX_FINDINGS - len(self.hidden)]
