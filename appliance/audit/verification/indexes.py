"""Search for hidden entries: one that no search finds, a time out of span.

Rules:
- SQLite itself looks up every column and number of every entry: one that a scan meets may be missed
  by a look-up.
- An index must have no more entries than the log: a search that goes from entry to entry ends at a
  foreign one.
- Spans are those of the newest segment, which searches use for all.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

import msgspec

from appliance.audit.segments import Log
from appliance.audit.store import DAMAGE
from appliance.audit.tables import SPAN
from appliance.audit.verification.bulk import Fields
from appliance.audit.verification.findings import MAX_FINDINGS

_INDEXES: Final = {
    "kind": "leaf_kind", "request_id": "leaf_request", "key_id": "leaf_key", "model": "leaf_model",
    "app": "leaf_app", "code": "leaf_code", "intent": "leaf_intent", "dek": "leaf_dek",
}  # fmt: skip
_HIDDEN: Final = " OR ".join(
    f"(a.{column} IS NOT NULL AND NOT EXISTS (SELECT 1 FROM leaf AS b INDEXED BY {index} "  # noqa: S608 - names from here
    f"WHERE b.{column} = a.{column} AND b.seq = a.seq))"
    for column, index in _INDEXES.items()
)
_COUNTS: Final = ", ".join(f"count(CASE WHEN a.seq >= ?3 THEN a.{name} END)" for name in _INDEXES)
_BLOCKS: Final = (
    f"SELECT a.seq / ?4, count(*), min(a.time_us), max(a.time_us), {_COUNTS}, "  # noqa: S608 - the same
    "group_concat(CASE WHEN a.seq >= ?3 AND "
    f"(NOT EXISTS (SELECT 1 FROM leaf AS c WHERE c.seq = a.seq) OR {_HIDDEN}) THEN a.seq END) "
    "FROM leaf AS a WHERE a.seq >= ?1 AND a.seq < ?2 AND json_valid(CAST(a.body AS TEXT)) "
    "GROUP BY a.seq / ?4"
)
_SPANS: Final = "SELECT block, low_us, high_us FROM span WHERE block >= ? AND block <= ?"
# A subquery for each look-up, so that SQLite begins at the root: a join goes on in the last page.
_FILED: Final = {
    column: f"SELECT count((SELECT b.seq FROM leaf AS b INDEXED BY {index} "  # noqa: S608 - the same
    f"WHERE b.{column} = v.value AND b.seq = ?1 + v.key)) FROM json_each(?2) AS v"
    for column, index in _INDEXES.items()
}
# Entries of an index, but for those appended since.
_CELLS: Final = {
    column: f"SELECT (SELECT count(*) FROM leaf INDEXED BY {index} WHERE {column} IS NOT NULL) "  # noqa: S608 - the same
    f"- (SELECT count({column}) FROM leaf NOT INDEXED WHERE seq >= ?)"
    for column, index in _INDEXES.items()
}
# Backwards it begins at the root, too; forwards it would go on to the next row.
_FOUND: Final = (
    "WITH n (seq) AS (VALUES (?2 - 1) UNION ALL SELECT seq - 1 FROM n WHERE seq > ?1) "
    "SELECT count(*) FROM n CROSS JOIN leaf AS b ON b.seq = n.seq"
)
_VALUES: Final[dict[str, Callable[[Sequence[Fields]], list[object]]]] = {
    "kind": lambda bodies: [body.kind for body in bodies],
    "request_id": lambda bodies: [body.request_id for body in bodies],
    "key_id": lambda bodies: [body.key_id for body in bodies],
    "model": lambda bodies: [body.model for body in bodies],
    "app": lambda bodies: [body.app for body in bodies],
    "code": lambda bodies: [_code(body) for body in bodies],
    "intent": lambda bodies: [body.intent for body in bodies],
    "dek": lambda bodies: [body.content and body.content.key for body in bodies],
}
"""The sources of the columns of entries (tables.py); None is NULL."""


def _code(body: Fields) -> object:
    if body.code is not None:
        return body.code
    return body.finish if body.finish is not None else body.status


class IndexCheck:
    """A check under way.

    Attributes:
        hidden: the first entries at fault.
        filed: how many entries have each column, by the first entry of a segment.
        error: why nothing could be looked up from some entry on.
    """

    def __init__(self, log: Log) -> None:
        self._log = log
        self.hidden: list[int] = []
        self.filed: dict[int, list[int]] = {}
        self.count = 0
        self.error: Exception | None = None

    def look(self, first: int, end: int, bodies: Sequence[Fields] | None) -> None:
        """Check the entries first ≤ seq < end.

        `bodies`: of all of them, if all are sound.
        """
        if self.error is not None:
            return
        try:
            for segment in self._log.segments:
                low, high = max(first, segment.first), min(end, segment.end)
                if low < high:
                    some = None if bodies is None else bodies[low - first : high - first]
                    filed = some and self._together(segment.dbapi, low, high, some)
                    self.add({segment.first: filed or self._blocks(segment.dbapi, low, high)})
        except DAMAGE as error:
            self.error = error

    def add(self, filed: Mapping[int, Sequence[int]]) -> None:
        for segment, counts in filed.items():
            so_far = self.filed.get(segment, [0] * len(_INDEXES))
            self.filed[segment] = [a + b for a, b in zip(so_far, counts, strict=True)]

    def crowded(self, first: int, end: int, *, newest: bool) -> list[tuple[int, str]]:
        """Indexes with more entries than the log's; all from `first` to `end` were looked at
        before.

        Args:
            newest: whether that is all of the newest segment, but for what was appended since.

        Returns:
            The first entries of segments, and columns.
        """
        found = []
        for segment in self._log.segments:
            whole = newest if segment is self._log.newest else segment.end <= end
            if whole and first <= segment.first:
                values = zip(_CELLS.items(), self.filed.get(segment.first, ()), strict=False)
                for (column, sql), filed in values:
                    if segment.dbapi.execute(sql, (end,)).fetchone() != (filed,):
                        found.append((segment.first, column))
        return found

    def _together(
        self, dbapi: Any, first: int, end: int, bodies: Sequence[Fields]
    ) -> list[int] | None:
        """Count the entries with each column; None if any may be hidden."""
        if not self._spanned(first, end, bodies):
            return None
        if dbapi.execute(_FOUND, (first, end)).fetchone() != (len(bodies),):
            return None
        counts = []
        for column in _INDEXES:
            values = _VALUES[column](bodies)
            wanted = len(values) - values.count(None)
            counts.append(wanted)
            # Also where there is nothing to look up: an index that is gone is an error.
            given = msgspec.json.encode(values if wanted else []).decode()
            if dbapi.execute(_FILED[column], (first, given)).fetchone() != (wanted,):
                return None
        return counts

    def _spanned(self, first: int, end: int, bodies: Sequence[Fields]) -> bool:
        if first % SPAN:
            return first // SPAN == end // SPAN  # else one began before
        told = self._spans(first, end)
        for start in range(0, len(bodies) - SPAN + 1, SPAN):
            times = [body.time_us for body in bodies[start : start + SPAN]]
            if ((first + start) // SPAN, min(times), max(times)) not in told:
                return False
        return True

    def _spans(self, first: int, end: int) -> set[tuple[int, int, int]]:
        newest = self._log.newest.dbapi
        return set(newest.execute(_SPANS, (first // SPAN, end // SPAN)))

    def _blocks(self, dbapi: Any, first: int, end: int) -> list[int]:
        filed = [0] * len(_INDEXES)
        begun = first - first % SPAN  # a segment begins with a block
        spans = self._spans(begun, end)
        for row in dbapi.execute(_BLOCKS, (begun, end, first, SPAN)):
            block, count, low, high, *counts, hidden = row
            filed = [a + b for a, b in zip(filed, counts, strict=True)]
            self._note([int(seq) for seq in (hidden or "").split(",") if seq])
            if count == SPAN and (block, low, high) not in spans:
                self._note([block * SPAN])
        return filed

    def _note(self, seqs: list[int]) -> None:
        self.count += len(seqs)
        self.hidden += seqs[: MAX_FINDINGS - len(self.hidden)]
