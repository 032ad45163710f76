"""Traffic that is counted and not recorded one by one: rejections, and requests without a model.
Pure.

Rules:
- One count per source and minute. A source is an address, with the key where one was valid, and the
  person where one was verified. Beyond `SOURCES` sources a minute all others share one count.
- Counts that could not be recorded are merged into the next ones: memory stays bounded.
"""

from collections import deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Final, TypeAlias

from appliance.clock import Clock
from appliance.types import Json

SOURCES: Final = 64
OTHERS: Final = "others"
_MINUTE_US: Final = 60_000_000
NOBODY: Final[Mapping[str, Json]] = {}
_MOST_CODES: Final = 32
_MINUTES: Final = 4
"""Whole minutes that are remembered besides the present one."""


@dataclass
class Count:
    """Rejections from one source.

    Attributes:
        person: the fields of an entry about the verified end user.
        codes: how often each refusal code occurred; `models` and `usage` are polls, `tokens`
            a tokenisation, `mcp` a message of that protocol that calls no tool.
    """

    source: str
    key_id: str
    since_us: int
    until_us: int
    person: Mapping[str, Json] = field(default_factory=dict)
    codes: dict[str, int] = field(default_factory=dict)

    def add(self, code: str, number: int, at_us: int) -> None:
        if code not in self.codes and len(self.codes) >= _MOST_CODES:
            code = OTHERS
        self.codes[code] = self.codes.get(code, 0) + number
        self.since_us, self.until_us = min(self.since_us, at_us), max(self.until_us, at_us)

    def entry(self) -> dict[str, Json]:
        codes: dict[str, Json] = {**self.codes}
        fields: dict[str, Json] = {
            **self.person,
            "source": self.source,
            "count": sum(self.codes.values()),
            "codes": codes,
            "since_us": self.since_us,
            "until_us": self.until_us,
        }
        return {**fields, "key_id": self.key_id} if self.key_id else fields


_Counts: TypeAlias = dict[tuple[str, str, str, str], Count]
"""By address, key, and the end user with how they are known."""


class RejectedCounts:
    """The counts of this minute, and earlier ones that were not taken yet."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._minute = 0
        self._counts: _Counts = {}
        self._due: _Counts = {}
        self._recent: deque[list[Count]] = deque(maxlen=_MINUTES)

    def note(
        self, source: str, code: str, key_id: str = "", person: Mapping[str, Json] = NOBODY
    ) -> None:
        now = self._clock.wall_us()
        self._turn(now)
        _count(self._counts, source, key_id, now, person).add(code, 1, now)

    def lately(self, codes: Iterable[str]) -> dict[str, dict[str, int]]:
        """Each key's rejections in the last five minutes; by key, then by code."""
        self._turn(self._clock.wall_us())
        wanted, found = set(codes), dict[str, dict[str, int]]()
        for count in (*(c for minute in self._recent for c in minute), *self._counts.values()):
            for code, number in count.codes.items():
                if count.key_id and code in wanted:
                    own = found.setdefault(count.key_id, {})
                    own[code] = own.get(code, 0) + number
        return found

    def take(self, *, everything: bool = False) -> list[Count]:
        """The counts of past minutes, or of this one, too."""
        self._turn(self._clock.wall_us())
        if everything:
            self._close()
        taken, self._due = list(self._due.values()), {}
        return taken

    def put_back(self, counts: Iterable[Count]) -> None:
        for count in counts:
            kept = _count(self._due, count.source, count.key_id, count.since_us, count.person)
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


def _count(
    counts: _Counts, source: str, key_id: str, now_us: int, person: Mapping[str, Json]
) -> Count:
    name = (source, key_id, str(person.get("end_user", "")), str(person.get("end_user_from", "")))
    if name not in counts and len(counts) >= SOURCES:
        name, person = (OTHERS, "", "", ""), NOBODY
    return counts.setdefault(name, Count(*name[:2], now_us, now_us, person))
