"""Facts that the log takes from the host besides wall time: boot, time since boot, ids.

They decide nothing: they make a back-dated entry stand out. Only this module reads them.
"""

import time
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from appliance.clock import Clock
from appliance.draws import drawn

_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


@dataclass(frozen=True)
class Moment:
    """A point in time.

    Attributes:
        time_us: wall time, microseconds since the Unix epoch.
        boot_id: the kernel's random id of this boot, or `unknown`.
        mono_us: microseconds since that boot, suspended time included.
    """

    time_us: int
    boot_id: str
    mono_us: int


class Moments(Protocol):
    """Where moments come from."""

    def now(self) -> Moment: ...


class HostMoments:
    """Wall time from the injected clock, the rest from the kernel."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._boot_id = _boot_id()

    def now(self) -> Moment:
        mono = time.clock_gettime_ns(time.CLOCK_BOOTTIME) // 1_000
        return Moment(self._clock.wall_us(), self._boot_id, mono)


def uuid7(time_us: int) -> str:
    """A UUID version 7 (RFC 9562, section 5.7) as text: 48 bits of milliseconds, then random."""
    value = (time_us // 1_000 & (1 << 48) - 1) << 80 | int.from_bytes(drawn(10))
    value = value & ~(0xF << 76) | 0x7 << 76
    value = value & ~(0x3 << 62) | 0x2 << 62
    digits = f"{value:032x}"
    return "-".join((digits[:8], digits[8:12], digits[12:16], digits[16:20], digits[20:]))


def _boot_id() -> str:
    try:
        return _BOOT_ID.read_text(encoding="ascii").strip()
    except OSError:
        return "unknown"
