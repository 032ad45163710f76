"""All checks by name: what `python -m benchmarks run` takes."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, TypeAlias

from benchmarks.checks.arrivals import arrivals
from benchmarks.checks.audit import audit, audit_alone, forwarded
from benchmarks.checks.extraction import json_documents, task_documents
from benchmarks.checks.fairness import fair
from benchmarks.checks.limit import limit
from benchmarks.checks.loading import loading
from benchmarks.checks.memory import memory
from benchmarks.checks.neighbour import neighbour
from benchmarks.checks.steps import steps
from benchmarks.checks.terminal import terminal
from benchmarks.checks.throughput import indep, prefix
from benchmarks.models import MODELS, SHAPED
from benchmarks.results import Figure
from benchmarks.session import Session

Measure: TypeAlias = Callable[[Session], list[Figure]]
_ONE: Final = ("smollm2",)


@dataclass(frozen=True)
class Check:
    """One row of the table of targets.

    Attributes:
        models: measured unless others are named.
    """

    name: str
    title: str
    measure: Measure
    models: tuple[str, ...] = MODELS


CHECKS: Final = {
    check.name: check
    for check in (
        Check("P1", "prompts that share nothing", indep),
        Check("P2", "a shared prefix", prefix),
        Check("P3", "arrivals at 70 % of the peer's capacity", arrivals),
        Check("P4-json", "schema-constrained documents", json_documents),
        Check("P4-task", "documents behind a task's prompt", task_documents),
        Check("P5", "the engine against its limit", limit),
        Check("P6", "what the audit log costs", audit, _ONE),
        Check("P6-null", "what it costs where the model costs nothing", audit_alone, _ONE),
        Check("P6-forward", "what sending the log to a receiver costs", forwarded, _ONE),
        Check("P7", "a busy neighbour", neighbour, _ONE),
        Check("P8", "a step without a model", steps, _ONE),
        Check("P9", "fair shares", fair, _ONE),
        Check("P10", "memory", memory, _ONE),
        Check("P11", "load to first token", loading, (*MODELS, SHAPED)),
        Check("screens", "the screens beside a busy server", terminal, _ONE),
    )
}
SETS: Final = {
    "short": ("P1", "P2", "P4-json", "P5", "P8", "P11"),
    "full": tuple(CHECKS),
    "P4": ("P4-json", "P4-task"),
}


def named(names: list[str]) -> list[Check]:
    """Checks and sets by name, each check once.

    Raises:
        KeyError: with the name that is neither.
    """
    found: dict[str, Check] = {}
    for name in names:
        for check in SETS.get(name, (name,)):
            found[check] = CHECKS[check]
    return list(found.values())
