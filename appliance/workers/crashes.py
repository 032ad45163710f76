"""Consequences of a worker's death. Pure: time comes in as seconds.

Rules: a death is attributed to the requests that were being prepared or had just been admitted;
two deaths attributed to a key keep that key from that model for ten minutes; five deaths of a
model in ten minutes suspend it; restarts wait longer each time. A step that took absurdly long is
the model's fault and no key's: the third in a day suspends it.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from appliance.engine.watchdog import TOO_LONG

WINDOW_S = 600.0
KEY_DEATHS = 2
MODEL_DEATHS = 5
STUCK = 3
STUCK_WINDOW_S = 86_400.0
_BACKOFF_S = (0.0, 0.5, 1.0, 2.0, 4.0)


@dataclass(frozen=True)
class Death:
    """The end of a worker.

    Attributes:
        status: exit status; negative for a signal.
        suspects: keys whose requests were being prepared, not waiting for it, or newly admitted.
    """

    status: int
    suspects: frozenset[str]
    reason: str

    @property
    def stuck(self) -> bool:
        """True if a step took absurdly long, so that the worker ended itself."""
        return self.status == TOO_LONG


class Deaths:
    """The deaths of one model's workers."""

    def __init__(self) -> None:
        self._model: list[float] = []
        self._keys: dict[str, list[float]] = {}
        self._blocked_until: dict[str, float] = {}
        self._stuck: list[float] = []

    def record(self, now: float, suspects: Iterable[str], *, stuck: bool = False) -> None:
        self._model = [*self._recent(self._model, now), now]
        if stuck:
            self._stuck = [t for t in self._stuck if now - t < STUCK_WINDOW_S] + [now]
        for key in set(suspects):
            deaths = [*self._recent(self._keys.get(key, []), now), now]
            self._keys[key] = deaths
            if len(deaths) >= KEY_DEATHS:
                self._blocked_until[key] = now + WINDOW_S

    def blocked_for(self, key: str, now: float) -> float:
        """Seconds for which a key may not use the model; 0 when it may."""
        return max(0.0, self._blocked_until.get(key, 0.0) - now)

    def blocked(self, now: float) -> list[str]:
        return sorted(key for key in self._blocked_until if self.blocked_for(key, now))

    def must_suspend(self, now: float) -> bool:
        return bool(self.reason(now))

    def reason(self, now: float) -> str:
        """The reason to suspend the model; "" for none."""
        if len([t for t in self._stuck if now - t < STUCK_WINDOW_S]) >= STUCK:
            return "three times in a day a step of its engine took absurdly long"
        if self.lately(now) >= MODEL_DEATHS:
            return "its engine died five times in ten minutes"
        return ""

    def lately(self, now: float) -> int:
        return len(self._recent(self._model, now))

    def backoff(self, now: float) -> float:
        count = self.lately(now)
        return _BACKOFF_S[min(max(count - 1, 0), len(_BACKOFF_S) - 1)]

    @staticmethod
    def _recent(times: list[float], now: float) -> list[float]:
        return [t for t in times if now - t < WINDOW_S]
