"""Finding entries by their bodies, page by page, at a bounded cost.

Rules:
- Indexes and spans only propose candidates: an index that proposes an entry whose body does not
  match was changed, and the search says so. `verify` checks whether an index hides an entry.
- Conditions are intersected by leapfrogging: each list jumps to the first entry that the others
  allow, so the rarest bounds the work.
- Wall time may jump, so a range of times is a set of blocks of entries (`span`).
- A short page with `resume` set means that there may be more, never that the search is over.

Source: Veldhuizen, "Leapfrog Triejoin" (ICDT 2014), for a single variable.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final

from appliance.audit import indexes, store
from appliance.audit.entry import LogEntry
from appliance.audit.segments import Log
from appliance.audit.tables import SPAN
from appliance.errors import AuditRefused

MAX_LIMIT: Final = 1_000
MOST_STEPS: Final = 8_000
_SAID: Final = ("kind", "request_id", "model", "key_id", "app", "end_user")
_READ: Final = 8
"""The cost of an entry that was read in vain."""
_NEAR: Final = 16
"""Rows that a list steps over before it looks the place up anew."""


@dataclass(frozen=True)
class Query:
    """Conditions that must all hold.

    Attributes:
        code: a stable code, a finish reason or a status: the first that the body has.
        since_us, until_us: wall time, microseconds, the latter excluded.
        after, before: only entries with higher, lower numbers.
        limit: most entries of a page; at most `MAX_LIMIT`.
    """

    kind: str | None = None
    request_id: str | None = None
    model: str | None = None
    key_id: str | None = None
    app: str | None = None
    end_user: str | None = None
    code: str | None = None
    since_us: int | None = None
    until_us: int | None = None
    after: int | None = None
    before: int | None = None
    newest_first: bool = False
    limit: int = 100

    def wanted(self) -> dict[str, str]:
        given = {name: getattr(self, name) for name in (*_SAID, "code")}
        return {name: value for name, value in given.items() if value is not None}

    def matches(self, entry: LogEntry) -> bool:
        return self.said_by(entry) and self.in_time(entry)

    def said_by(self, entry: LogEntry) -> bool:
        body = entry.body
        for name in _SAID:
            value = getattr(self, name)
            if value is not None and body.get(name) != value:
                return False
        return self.code is None or self.code == code_of(entry)

    def in_time(self, entry: LogEntry) -> bool:
        late = self.since_us is None or entry.time_us >= self.since_us
        return late and (self.until_us is None or entry.time_us < self.until_us)


@dataclass(frozen=True)
class SearchPage:
    """A part of a search's result.

    Attributes:
        entries: in the query's order.
        resume: the number to continue from (`after`, or `before` with the newest first); None at
            the end.
    """

    entries: list[LogEntry]
    resume: int | None


def code_of(entry: LogEntry) -> object:
    """A body's code, finish reason or status."""
    said = (entry.body.get(name) for name in ("code", "finish", "status"))
    return next((value for value in said if value is not None), None)


def search(log: Log, query: Query, read: Callable[[int], LogEntry]) -> SearchPage:
    """One page; `read` gives a verified entry.

    Raises:
        AuditRefused: `audit_corrupt` when an index proposed an entry with another body.
    """
    limit = max(0, min(query.limit, MAX_LIMIT))
    first = log.first if query.after is None else max(log.first, query.after + 1)
    last = store.size(log) - 1
    if query.before is not None:
        last = min(last, query.before - 1)
    lists = _lists(log, query, first, last)
    step = -1 if query.newest_first else 1
    at: int | None = last if query.newest_first else first
    found: list[LogEntry] = []
    steps = 0
    while at is not None and first <= at <= last:
        if len(found) == limit or steps >= MOST_STEPS:
            return SearchPage(found, at - step)
        steps += len(lists)
        proposed = _agree(lists, at)
        if proposed == at:
            entry = read(at)
            if not query.said_by(entry):
                message = f"Entry {at} of the audit log is not what its indexes say."
                raise AuditRefused("audit_corrupt", message)
            if query.in_time(entry):
                found.append(entry)
            else:
                steps += _READ
            proposed = at + step
        at = proposed
    return SearchPage(found, None)


class _List:
    """The candidates of one condition, in order."""

    def __init__(self, rows: Callable[[int], Iterator[tuple[int]]], *, down: bool) -> None:
        """`rows` gives the candidates from a place on."""
        self._rows, self._down = rows, down
        self._open: Iterator[tuple[int]] | None = None
        self._at: int | None = None
        self._over = False

    def seek(self, place: int) -> int | None:
        """The first candidate at the place or behind it."""
        for _ in range(_NEAR):
            if self._over or (self._at is not None and self._reached(place)):
                return self._at
            if self._open is None:
                break
            self._next()
        self._open = self._rows(place)
        self._next()
        return self._at

    def _reached(self, place: int) -> bool:
        at = self._at
        return at is not None and (at <= place if self._down else at >= place)

    def _next(self) -> None:
        row = None if self._open is None else next(self._open, None)
        self._at, self._over = (None, True) if row is None else (row[0], False)


class _Times:
    def __init__(self, log: Log, query: Query) -> None:
        self._log, self._down = log, query.newest_first
        self._range = (query.since_us, query.until_us)
        self._whole = indexes.spans(log)  # blocks behind these have no span yet
        self._block: int | None = None

    def seek(self, place: int) -> int | None:
        """The place, or the next one in a block that may hold such a time."""
        block = place // SPAN
        if block == self._block:
            return place
        if block < self._whole:
            found = indexes.span_near(self._log, block, self._range, down=self._down)
            if found is None and self._down:
                return None
            block = self._whole if found is None else found
        self._block = block
        start = block * SPAN
        return min(place, start + SPAN - 1) if self._down else max(place, start)


def _lists(log: Log, query: Query, first: int, last: int) -> list[_List | _Times]:
    down = query.newest_first

    def rows(column: str, value: str) -> Callable[[int], Iterator[tuple[int]]]:
        def from_place(place: int) -> Iterator[tuple[int]]:
            low, high = (first, place) if down else (place, last)
            return indexes.candidates(log, column, value, low, high, down=down)

        return from_place

    lists: list[_List | _Times] = [
        _List(rows(column, value), down=down) for column, value in query.wanted().items()
    ]
    if query.since_us is not None or query.until_us is not None:
        lists.append(_Times(log, query))
    return lists or [_List(rows("", ""), down=down)]


def _agree(lists: list[_List | _Times], place: int) -> int | None:
    """The place if every list has it; else where the next candidate may be."""
    for one in lists:
        found = one.seek(place)
        if found is None:
            return None
        place = found
    return place
