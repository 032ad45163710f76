"""A ring file of what the charts show: an hour, a day and a month that outlive the program.

Rules: pure but for `read` and `write`; a file has one size for good and is replaced whole; an
empty slot is a gap in the chart, no zero; an unreadable file is replaced.
"""

import os
import struct
import tempfile
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tui.rates import RatePoint

FIELDS: Final = ("tokens", "queued", "running", "kv", "host_cpu", "memory", "ttft_p95")
"""Of a point, in the order in which they stand in a slot."""
_HEAD: Final = b"appliance ring 1\n"
_SLOT: Final = struct.Struct(f"<qI{len(FIELDS)}d")


@dataclass(frozen=True)
class Span:
    """A time that a chart shows: its name, and slots of so many seconds."""

    name: str
    seconds: int
    slots: int

    @property
    def whole(self) -> int:
        return self.seconds * self.slots


NOW: Final = Span("2 min", 1, 120)
"""Of the points that this program saw; no ring keeps them."""
KEPT: Final = (Span("1 h", 30, 120), Span("1 d", 600, 144), Span("30 d", 14_400, 180))
SPANS: Final = (NOW, *KEPT)


@dataclass
class Slot:
    """Sums of a slot of time, by its number since the epoch."""

    number: int = -1
    times: int = 0
    sums: tuple[float, ...] = (0.0,) * len(FIELDS)


class Ring:
    """Slots of all kept spans."""

    def __init__(self) -> None:
        self._slots = {span: [Slot() for _ in range(span.slots)] for span in KEPT}

    def add(self, point: RatePoint, at: float) -> None:
        """A clock that was set back fills the slots again."""
        told = tuple(float(getattr(point, name) or 0.0) for name in FIELDS)
        for span, slots in self._slots.items():
            number = int(at // span.seconds)
            slot = slots[number % span.slots]
            if slot.number != number:
                slot.number, slot.times, slot.sums = number, 0, (0.0,) * len(FIELDS)
            slot.times += 1
            slot.sums = tuple(a + b for a, b in zip(slot.sums, told, strict=True))

    def series(self, span: Span, name: str, now: float) -> list[float | None]:
        """The means of a span, the oldest first; None where nobody looked."""
        at, newest, slots = FIELDS.index(name), int(now // span.seconds), self._slots[span]
        found: list[float | None] = []
        for number in range(newest - span.slots + 1, newest + 1):
            slot = slots[number % span.slots]
            seen = slot.number == number and slot.times
            found.append(slot.sums[at] / slot.times if seen else None)
        return found

    def to_bytes(self) -> bytes:
        packed = [
            _SLOT.pack(slot.number, slot.times, *slot.sums)
            for span in KEPT
            for slot in self._slots[span]
        ]
        return _HEAD + b"".join(packed)

    @classmethod
    def of_bytes(cls, data: bytes) -> "Ring":
        """An empty one of what is no such file."""
        ring = cls()
        body = data[len(_HEAD) :]
        if not data.startswith(_HEAD) or len(body) != _SLOT.size * sum(s.slots for s in KEPT):
            return ring
        every = _SLOT.iter_unpack(body)
        for span in KEPT:
            for slot, (number, times, *sums) in zip(ring._slots[span], every, strict=False):
                slot.number, slot.times, slot.sums = number, times, tuple(sums)
        return ring


def read(path: Path | None) -> Ring:
    """Empty where there is no file."""
    data = b""
    if path is not None:
        with suppress(OSError):
            data = path.read_bytes()
    return Ring.of_bytes(data)


def write(ring: Ring, path: Path | None) -> None:
    """Replace the file; a full disk costs the charts, not the program."""
    if path is None:
        return
    with suppress(OSError):
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        handle, made = tempfile.mkstemp(dir=path.parent)
        with os.fdopen(handle, "wb") as file:
            file.write(ring.to_bytes())
        Path(made).replace(path)


def newest(points: Sequence[RatePoint], name: str) -> list[float | None]:
    """The last two minutes that this program saw, the oldest first."""
    shown: list[float | None] = [getattr(point, name) for point in points][-NOW.slots :]
    return [None] * (NOW.slots - len(shown)) + shown
