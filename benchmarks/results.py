"""The measurements as one JSON document into which partial runs merge.

Rules: a figure is a ratio within one repetition, summarised over the repetitions, with its target.
A run replaces the entry of its check and model alone. Each family of processors has a document of
its own.
"""

import math
from pathlib import Path
from typing import Any, Final, Literal

import msgspec

from benchmarks.statistics import Summary
from installer.bundle.cpu_builds import runs_here

RESULTS: Final = Path(__file__).parent / "results"
_FAMILIES: Final = {"sapphirerapids": "-amx", "cascadelake": "", "x64": "-avx2"}
FAMILY: Final = _FAMILIES[next(filter(runs_here, _FAMILIES))]
"""The end of a document's name, by the best build that the processor runs."""
LATEST: Final = RESULTS / f"latest{FAMILY}.json"


class Figure(msgspec.Struct, frozen=True):
    """One line of the table.

    Attributes:
        unit: of `ours` and `other`.
        ours, other: None where there is no such side.
        value: what the target is about: a ratio, or an absolute number.
        relation: how `value` must stand to `target`; empty for a figure without a target.
    """

    name: str
    unit: str
    value: Summary
    ours: Summary | None = None
    other: Summary | None = None
    relation: Literal["≥", "≤", ""] = ""
    target: float = 0.0

    @property
    def met(self) -> bool | None:
        """True if the median reaches the target; None without a target."""
        if not self.relation:
            return None
        if self.relation == "≥":
            return self.value.median >= self.target
        return self.value.median <= self.target


class Entry(msgspec.Struct):
    """A check on a model.

    Attributes:
        commands: how each side was started.
        runs: every repetition's figures.
    """

    check: str
    model: str
    title: str
    when: str
    commit: str
    machine: dict[str, Any]
    repeat: int
    seconds: float
    figures: list[Figure]
    commands: dict[str, str] = {}
    runs: list[dict[str, Any]] = []
    notes: list[str] = []


class Results(msgspec.Struct):
    """All entries, in the order of the checks' names."""

    format: int = 1
    entries: list[Entry] = []

    def merged(self, entry: Entry) -> "Results":
        """With this entry in place of an older one of the same check and model."""
        kept = [e for e in self.entries if (e.check, e.model) != (entry.check, entry.model)]
        return Results(self.format, sorted([*kept, entry], key=_order))


def _order(entry: Entry) -> tuple[int, str, str]:
    number = "".join(c for c in entry.check.partition("-")[0] if c.isdigit())
    return int(number or 0), entry.check, entry.model


def read(path: Path = LATEST) -> Results:
    """The measurements so far; nothing if there is no file."""
    if not path.exists():
        return Results()
    return msgspec.json.decode(path.read_bytes(), type=Results)


def write(results: Results, path: Path = LATEST) -> None:
    """Replace the file."""
    path.parent.mkdir(exist_ok=True)
    part = path.with_suffix(".tmp")
    data = msgspec.json.encode(_finite(msgspec.to_builtins(results)))
    part.write_bytes(msgspec.json.format(data, indent=2) + b"\n")
    part.replace(path)


def _finite(value: Any) -> Any:
    """Numbers to four digits, and NaN as null, which JSON has."""
    if isinstance(value, float):
        return None if math.isnan(value) else float(f"{value:.4g}")
    if isinstance(value, dict):
        return {k: _finite(v) for k, v in value.items()}
    if isinstance(value, list):
        return [_finite(v) for v in value]
    return value
