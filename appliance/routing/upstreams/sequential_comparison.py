"""Probes during requests: does a host differ by more than company explains? A sequential test.

Rules:
- Each prompt's distance from what was learnt is ranked among the newest that a quiet moment
  cleared; a prompt is out of line above all of them, and above the tolerance.
- The sum of log-likelihood ratios never falls below zero. While a prompt is out of line with a
  probability of at most `USUAL`, it calls for a quiet moment without a cause at most once in 1 /
  `ERROR` prompts on average.

Sources: Wald 1945; Page 1954; the bound: Lorden, Ann. Math. Stat. 42, 1971, theorem 2.
"""

import math
from collections import deque
from collections.abc import Sequence
from typing import Final

USUAL: Final = 0.2
"""How often a prompt may be out of line though nothing changed; by rank among eight it is 0.11."""
CHANGED: Final = 0.5
"""How often it is at least when the weights are others."""
ERROR: Final = 1e-2
_NEWEST: Final = 8
_OUT, _IN = math.log(CHANGED / USUAL), math.log((1 - CHANGED) / (1 - USUAL))


class Company:
    """Company's effect on one host."""

    def __init__(self) -> None:
        self._cleared: list[deque[int]] = []
        self._waiting: deque[tuple[int, ...]] = deque(maxlen=_NEWEST)
        self._evidence = 0.0

    def observe(self, distances: Sequence[int], tolerance: int) -> None:
        """A probe during requests; distances in millionths."""
        while len(self._cleared) < len(distances):
            self._cleared.append(deque(maxlen=_NEWEST))
        for distance, cleared in zip(distances, self._cleared, strict=False):
            out = distance > max(tolerance, max(cleared, default=0))
            self._evidence = max(0.0, self._evidence + (_OUT if out else _IN))
        self._waiting.append(tuple(distances))

    @property
    def calls(self) -> bool:
        return self._evidence >= -math.log(ERROR)

    def clear(self) -> None:
        """Company alone made the distances so far."""
        for distances in self._waiting:
            for distance, cleared in zip(distances, self._cleared, strict=False):
                cleared.append(distance)
        self.forget()

    def forget(self) -> None:
        """The distances so far mean nothing."""
        self._waiting.clear()
        self._evidence = 0.0
