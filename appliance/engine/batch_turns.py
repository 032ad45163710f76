"""In which steps batch work takes part.

Rules: in all if there is no other work; else in none at first, and once it was held back for long
enough, in a part of the steps, spread evenly, until it is alone.
"""

import time
from collections.abc import Callable
from typing import Final

_GAP_S: Final = 30.0
"""Pauses between pieces of batch work that are no end of it."""


class BatchTurns:
    """The turns of the batch work of one engine."""

    def __init__(
        self, after_s: float = 600, percent: int = 5, now: Callable[[], float] = time.monotonic
    ) -> None:
        self._after_s, self._every = after_s, max(1, round(100 / percent))
        self._now = now
        self._since: float | None = None  # when it was first set aside
        self._gone: float | None = None  # when the last of it ended beside other work
        self._steps = 0

    @property
    def starved(self) -> bool:
        """True once it gets its part beside other work."""
        return self._since is not None and self._now() - self._since >= self._after_s

    def take_part(self, *, batch: bool, other: bool) -> bool:
        if not other:
            self._since = None
            return batch
        if not batch:
            if self._since is not None and self._gone is None:
                self._gone = self._now()
            return False
        if self._gone is not None and self._now() - self._gone >= _GAP_S:
            self._since = None
        self._gone = None
        if self._since is None:
            self._since, self._steps = self._now(), 0
        if not self.starved:
            return False
        self._steps += 1
        return self._steps % self._every == 0
