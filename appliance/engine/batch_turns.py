"""In which steps batch work takes part.

Rules: in all if there is no other work; else in none at first. Held back for long enough, and alone
for less than its part of that time, it has a part of the steps, spread evenly, until it was alone
for that part. Steps that others lacked its slot for count, too.
"""

import time
from collections.abc import Callable
from typing import Final

_GAP_S: Final = 30.0
"""Pauses between pieces of batch work that are no end of it."""


class BatchTurns:
    """Those of one engine."""

    def __init__(
        self, after_s: float = 600, percent: int = 5, now: Callable[[], float] = time.monotonic
    ) -> None:
        self._after_s, self._every = after_s, max(1, round(100 / percent))
        self._now = now
        self._since: float | None = None  # when it was first set aside
        self._gone: float | None = None  # when the last of it ended beside other work
        self._alone: float | None = None  # when the last step began, if it was alone in that
        self._alone_s = 0.0  # since it was first set aside
        self._due = 0  # steps since its last one; below 0 after more than its part

    @property
    def starved(self) -> bool:
        """True once it has a part."""
        return self._since is not None and self._now() - self._since >= self._after_s

    @property
    def owed(self) -> bool:
        """It had no more than its part."""
        return self.starved and self._due >= 0

    def took_part(self) -> None:
        self._due -= self._every if self.starved else 0

    def take_part(self, *, batch: bool, other: bool) -> bool:
        now, before = self._now(), self._alone
        self._alone_s += 0.0 if before is None else now - before
        self._alone = now if batch and not other else None
        if self._since is not None:
            least_s = max(self._after_s, now - self._since) / self._every
            self._since = self._since if self._alone_s < least_s else None
        if not other:
            return batch
        if not batch:
            if self._since is not None and self._gone is None:
                self._gone = now
            return False
        if self._gone is not None and now - self._gone >= _GAP_S:
            self._since = None
        self._gone = None
        if self._since is None:
            self._since, self._alone_s, self._due = now, 0.0, 0
        if not self.starved:
            return False
        self._due = min(self._due + 1, self._every)
        return self._due == self._every
