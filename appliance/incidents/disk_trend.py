"""When a disk will be full, from the trend of its free space.

Rules: a straight line through the looks of a day (least squares), of an hour at least. Looks that a
clock that was put back makes future ones are dropped.
"""

from collections import deque
from collections.abc import Iterable
from typing import Final

_LEAST_S: Final = 3_600.0
_MOST_S: Final = 86_400.0
_APART_S: Final = 60.0


class DiskTrend:
    """The free space of one file system."""

    def __init__(self) -> None:
        self._looks: deque[tuple[float, int]] = deque()

    @property
    def looks(self) -> list[tuple[float, int]]:
        """Kept looks: time, and the bytes that were free."""
        return list(self._looks)

    def go_on(self, looks: Iterable[tuple[float, int]]) -> None:
        self._looks = deque(sorted(looks))

    def note(self, now: float, free: int) -> None:
        """Keep a look, once a minute; `now` in Unix seconds, `free` in bytes."""
        while self._looks and self._looks[-1][0] > now:
            self._looks.pop()
        if self._looks and now - self._looks[-1][0] < _APART_S:
            return
        self._looks.append((now, free))
        while now - self._looks[0][0] > _MOST_S:
            self._looks.popleft()

    def seconds_to(self, least: int) -> float | None:
        """Seconds from the newest look until only `least` bytes are free; None if never."""
        looks = list(self._looks)
        if len(looks) < 3 or looks[-1][0] - looks[0][0] < _LEAST_S:
            return None
        mid = sum(at for at, _ in looks) / len(looks)
        level = sum(free for _, free in looks) / len(looks)
        spread = sum((at - mid) ** 2 for at, _ in looks)
        slope = sum((at - mid) * (free - level) for at, free in looks) / spread
        if slope >= 0:
            return None
        return max(0.0, (looks[-1][1] - least) / -slope)
