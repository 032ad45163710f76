"""The losses of each run of a tuning while it trains: `DATA/tuning/JOB/RUN.losses`, a line a step.

Rules: a resumed run begins its file again with its checkpoint's losses; a line that a crash cut
short is left out; the files are for viewing only.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import msgspec

SUFFIX: Final = ".losses"
SHOWN: Final = 400
"""Most steps of a run that are handed out; those that measured dev are all kept."""


class LossAt(msgspec.Struct, frozen=True, array_like=True):
    """One step: its loss, and the loss on dev where it was measured, in nats a token."""

    step: int
    loss: float
    dev: float | None = None


@dataclass(frozen=True)
class RunLosses:
    """A run, `seed-0` or `seed-0-25%`, and its steps in order."""

    name: str
    points: tuple[LossAt, ...]


def write(path: Path, points: Sequence[LossAt], *, again: bool = False) -> None:
    """Add steps. Raises OSError.

    Args:
        again: replace the file's content.
    """
    lines = [msgspec.json.encode(point) + b"\n" for point in points if math.isfinite(point.loss)]
    with path.open("wb" if again else "ab") as file:
        file.writelines(lines)


def read(directory: Path) -> list[RunLosses]:
    """Runs, the last written at the end."""
    found = sorted(directory.glob(f"*{SUFFIX}"), key=lambda p: (p.stat().st_mtime_ns, p.name))
    return [RunLosses(path.name.removesuffix(SUFFIX), _points(path.read_bytes())) for path in found]


def thinned(points: Sequence[LossAt], most: int = SHOWN) -> tuple[LossAt, ...]:
    """About `most` steps; the last one, and all that measured dev, stay."""
    apart = max(1, -(-len(points) // most))
    last = len(points) - 1
    return tuple(
        point
        for n, point in enumerate(points)
        if n % apart == 0 or n == last or point.dev is not None
    )


def _points(data: bytes) -> tuple[LossAt, ...]:
    whole, _, _ = data.rpartition(b"\n")
    return tuple(msgspec.json.decode(line, type=LossAt) for line in whole.split(b"\n") if line)
