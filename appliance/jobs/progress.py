"""Progress and speed of a job. Pure.

Rules: the rate is taken over the last seconds of the present phase, so it follows a slow medium.
"""

from collections import deque
from dataclasses import dataclass
from typing import Final

WINDOW_S: Final = 10.0
"""Seconds over which the rate is taken."""
_STEP_S: Final = 0.5
"""Reports that follow sooner replace the newest sample."""


@dataclass(frozen=True)
class Progress:
    """Progress of a job.

    Attributes:
        done, total: in units; a total of 0 is not known.
        unit: what is counted: bytes, entries, examples.
        rate: units a second; None while it is not known.
    """

    phase: str = ""
    done: int = 0
    total: int = 0
    unit: str = ""
    rate: float | None = None

    @property
    def seconds_left(self) -> int | None:
        if not self.rate or self.total <= 0:
            return None
        return max(0, round((self.total - self.done) / self.rate))


class Meter:
    """Turns reports into `Progress`."""

    def __init__(self) -> None:
        self._phase = ""
        self._samples: deque[tuple[float, int]] = deque()

    def note(self, now: float, phase: str, done: int, total: int, unit: str) -> Progress:
        """Take a report; `now`: seconds on any steady clock."""
        samples = self._samples
        if phase != self._phase or (samples and done < samples[-1][1]):
            self._phase = phase
            samples.clear()
        if len(samples) > 1 and now - samples[-2][0] < _STEP_S:
            samples[-1] = (now, done)
        else:
            samples.append((now, done))
        while len(samples) > 2 and now - samples[1][0] >= WINDOW_S:
            samples.popleft()
        (then, before), (latest, after) = samples[0], samples[-1]
        rate = (after - before) / (latest - then) if latest > then else None
        return Progress(phase, done, total, unit, rate)
