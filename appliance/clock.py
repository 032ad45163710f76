"""Time, injected: nothing else in the product reads a clock for what it records or decides.

Order comes from sequence numbers. Durations for scheduling may use `time.monotonic` directly.
"""

import time
from dataclasses import dataclass
from typing import Protocol


class Clock(Protocol):
    """Where wall time comes from."""

    def wall_us(self) -> int:
        """Since the Unix epoch."""
        ...


class SystemClock:
    """The host's clock."""

    def wall_us(self) -> int:
        return time.time_ns() // 1_000


@dataclass
class FixedClock:
    """A clock that a test sets by hand."""

    now_us: int = 1_764_000_000_000_000

    def wall_us(self) -> int:
        return self.now_us

    def advance(self, seconds: float) -> None:
        """Negative values step back."""
        self.now_us += int(seconds * 1_000_000)


def iso(us: int) -> str:
    """Microseconds since the epoch as ISO 8601 in UTC, to the second."""
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(us / 1_000_000))
