"""Traffic that is counted and not recorded one by one: what was rejected, and what ran no model.

Rules:
- One count per source and minute, however many requests it stands for. A source is an address,
  with the key where one was valid.
- At most `SOURCES` sources a minute have a count of their own; all further ones share one. So a
  minute gives at most `SOURCES` + 1 entries, whatever the flood.
- Counts that could not be recorded are merged into the next ones: memory stays bounded, and
  nothing is written while the log keeps its reserve.

Pure: the clock is injected, and the holder of the log takes what is due.
"""

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from typing import Final

from appliance.clock import Clock
from appliance.types import Json

SOURCES: Final = 64
OTHERS: Final = "others"
_MINUTE_US: Final = 60_000_000
_MOST_CODES: Final = 32
_MINUTES: Final = 4
"""Whole minutes that are remembered beside the present one."""


@dataclass
class Count:
    """Rejections from one source.

    Attributes:
        codes: how often each refusal code occurred; `models` and `usage` are polls, `tokens`
            a tokenisation, `mcp` a message of that protocol that calls no tool.
    """

    source: str
    key_id: str
    since_us: int
    until_us: int
    codes: dict[str, int] = field(default_factory=dict)

    def add(self, code: str, number: int, at_us: int) -> None:
        """Count some more."""
        if code not in self.codes and len(self.codes) >= _MOST_CODES:
            code = OTHERS
        self.codes[code] = self.codes.get(code, 0) + number
        self.since_us, self.until_us = min(self.since_us, at_us), max(self.until_us, at_us)

    def entry(self) -> dict[str, Json]:
        """The fields of its audit entry."""
        codes: dict[str, Json] = {**self.codes}
        fields: dict[str, Json] = {
            "source": self.source,
            "count": sum(self.codes.values()),
            "codes": codes,
            "since_us": self.since_us,
            "until_us": self.until_us,
        }
        return {**fields, "key_id": self.key_id} if self.key_id else fields


class RejectedCounts:
    """The counts of this minute, and those of earlier ones that were not taken yet."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._minute = 0
        self._counts: dict[tuple[str, str], Count] = {}
        self._due: dict[tuple[str, str], Count] = {}
        self._recent: deque[list[Count]] = deque(maxlen=_MINUTES)

    def note(self, source: str, code: str, key_id: str = "") -> None:
        """Count one request."""
        now = self._clock.wall_us()
        self._turn(now)
        _count(self._counts, source, key_id, now).add(code, 1, now)

    def lately(self, codes: Iterable[str]) -> dict[str, dict[str, int]]:
        """Count each key's rejections in the last five minutes; by key, then by code."""
        self._turn(self._clock.wall_us())
        wanted, found = set(codes), dict[str, dict[str, int]]()
        for count in (*(c for minute in self._recent for c in minute), *self._counts.values()):
            for code, number in count.codes.items():
                if count.key_id and code in wanted:
                    own = found.setdefault(count.key_id, {})
                    own[code] = own.get(code, 0) + number
        return found

    def take(self, *, everything: bool = False) -> list[Count]:
        """The counts of the minutes that are over, or of this one, too."""
        self._turn(self._clock.wall_us())
        if everything:
            self._close()
        taken, self._due = list(self._due.values()), {}
        return taken

    def put_back(self, counts: Iterable[Count]) -> None:
        """Keep counts that could not be recorded for the next time."""
        for count in counts:
            kept = _count(self._due, count.source, count.key_id, count.since_us)
            for code, number in count.codes.items():
                kept.add(code, number, count.since_us)
            kept.until_us = max(kept.until_us, count.until_us)

    def _turn(self, now_us: int) -> None:
        passed = now_us // _MINUTE_US - self._minute
        if passed:
            self._minute = now_us // _MINUTE_US
            self._close()
            self._recent.extend([] for _ in range(min(abs(passed) - 1, _MINUTES)))

    def _close(self) -> None:
        counts, self._counts = self._counts, {}
        self._recent.append([replace(c, codes=dict(c.codes)) for c in counts.values()])
        self.put_back(counts.values())


def _count(counts: dict[tuple[str, str], Count], source: str, key_id: str, now_us: int) -> Count:
    name = (source, key_id)
    if name not in counts and len(counts) >= SOURCES:
        name = (OTHERS, "")
    return counts.setdefault(name, Count(*name, now_us, now_us))
