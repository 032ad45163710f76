"""A task's life: data, evaluation, gate, route, drift, each with its verdict, and the next step.

Rules: a step that has not happened is "-" and the next one is named; a value stands with its
interval and its age.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from textual.content import Content

from appliance.text import percent, within
from appliance.wire.admin.drift import Drift
from appliance.wire.admin.gates import Certificate, Ledger, LookTold
from appliance.wire.admin.jobs import Job
from appliance.wire.admin.models import Model, ModelDetail
from appliance.wire.admin.pointers import Name
from appliance.wire.admin.results import EvaluationResult
from appliance.wire.admin.routes import Route
from tui.columns import Column, table
from tui.text import Cell, cell, state
from tui.view.drift import drift_state
from tui.view.intervals import drawn_column, interval_cell
from tui.view.units import age, count, many, since

_STEPS: Final = (
    Column("STEP", 10),
    Column("VERDICT", 15),
    Column("VALUE", 30, drop=1),
    drawn_column(3),
    Column("AGE", 7, right=True, drop=2),
    Column("NEXT", 0, least=14),
)


@dataclass(frozen=True)
class Lives:
    """The parts of all lives; certificates are the oldest first, evaluations the newest."""

    certificates: tuple[Certificate, ...] = ()
    names: tuple[Name, ...] = ()
    routes: tuple[Route, ...] = ()
    ledgers: tuple[Ledger, ...] = ()
    evaluations: tuple[Job, ...] = ()
    drift: dict[str, Drift | None] = field(default_factory=dict)


@dataclass(frozen=True)
class LifeStep:
    """One step: its verdict, its value in words and as an interval, its time, and the next step."""

    name: str
    verdict: Content
    value: str = ""
    ends: tuple[float, float, float] | None = None
    at: str = ""
    next: str = ""


def steps(task: Model, known: Lives) -> list[LifeStep]:
    """The five steps of a task's life."""
    return [
        _data(task, known), _evaluation(task, known), _gate(task, known), _route(task, known),
        _drift(task, known),
    ]  # fmt: skip


def following(task: Model, known: Lives) -> str:
    """The next step of a task; empty where there is none."""
    return next((step.next for step in steps(task, known) if step.next), "")


def whole(
    task: ModelDetail, known: Lives, now: float, width: int, *, ascii_only: bool
) -> list[Content]:
    """The life as a table, a step on a line."""
    rows = [_row(step, now, ascii_only=ascii_only) for step in steps(task, known)]
    return [*table(_STEPS, rows, width), Content("")]


def _row(step: LifeStep, now: float, *, ascii_only: bool) -> Sequence[Cell]:
    drawn = "" if step.ends is None else interval_cell(*step.ends, ascii_only=ascii_only)
    aged = age(since(step.at, now)) if step.at else ""
    return step.name, step.verdict, step.value, drawn, aged, step.next


_NONE: Final = cell("-")


def _looks(task: Model, known: Lives) -> list[tuple[Ledger, LookTold]]:
    """The newest last."""
    found = [
        (ledger, look)
        for ledger in known.ledgers
        for split in ledger.splits
        for look in split.looks
        if look.task == task.id and look.verdict
    ]
    return sorted(found, key=lambda one: one[1].taken)


def _data(task: Model, known: Lives) -> LifeStep:
    looks = _looks(task, known)
    names = [c.dataset for c in known.certificates if c.task_digest == task.digest]
    name = names[-1] if names else (looks[-1][0].dataset if looks else "")
    measured = _measured(task, known)
    if not name and measured is None:
        return LifeStep("data", _NONE, next="appliance eval run TASK --data DATASET")
    items = "" if measured is None else f"{many(measured[1].items, 'item')} of {measured[1].split}"
    splits = next((ledger.splits for ledger in known.ledgers if ledger.dataset == name), [])
    left = sum(split.left for split in splits)
    if splits and not left:
        return LifeStep("data", state("missing"), items, next="no look is left: seal new items")
    verdict = cell(f"{many(left, 'look')} left" if splits else "measured")
    return LifeStep("data", verdict, f"{name}: {items}" if name and items else name or items)


def _measured(task: Model, known: Lives) -> tuple[Job, EvaluationResult] | None:
    for job in known.evaluations:
        result = job.result
        if isinstance(result, EvaluationResult) and result.task == task.id:
            return job, result
    return None


def _evaluation(task: Model, known: Lives) -> LifeStep:
    found = _measured(task, known)
    if found is None:
        return LifeStep("evaluation", _NONE)
    job, result = found
    best = max(result.candidates, key=lambda one: one.quality)
    low, high = best.interval
    value = f"{best.quality:.3f} ({within(best.interval)})"
    verdict = cell(f"best: {best.name}")
    return LifeStep(
        "evaluation", verdict, value, (low, best.quality, high), job.ended or job.created
    )


def _gate(task: Model, known: Lives) -> LifeStep:
    mine = [c for c in known.certificates if c.task_digest == task.digest]
    looks = _looks(task, known)
    if mine:
        newest = mine[-1]
        value = f"{many(newest.groups, 'group')}, against {newest.incumbent}"
        follow = "" if newest.usable else f"{newest.why}: measure again"
        return LifeStep("gate", state(newest.verdict), value, at=newest.issued, next=follow)
    if looks:
        look = looks[-1][1]
        told = {"underpowered": "label more groups", "fail": "change the task, or do not use it"}
        follow = told.get(look.verdict, "")
        return LifeStep("gate", state(look.verdict), look.dataset, at=look.taken, next=follow)
    follow = "appliance eval gate" if _measured(task, known) is not None else ""
    return LifeStep("gate", _NONE, next=follow)


def _route(task: Model, known: Lives) -> LifeStep:
    mine = [route for route in known.routes if any(stage.task == task.id for stage in route.stages)]
    if not mine:
        live = [name.name for name in known.names if _answers(name, task)]
        verdict = state("live") if live else _NONE
        follow = "appliance task promote NAME TASK" if task.state == "approved" and not live else ""
        return LifeStep("route", verdict, ", ".join(live), next=follow)
    route = mine[0]
    good = [c for c in route.certificates if c.verdict == "certified" and not c.suspended]
    if not (route.certified and good):
        newest = route.certificates[-1] if route.certificates else None
        value = "" if newest is None else newest.reason or newest.suspended
        return LifeStep("route", state("unapproved"), f"{route.id} {value}".strip(),
                    at=newest.issued if newest else "", next="look at the route: o")  # fmt: skip
    best = good[-1]
    value = f"{route.id} {percent(best.coverage)}, error at most {percent(best.limit)}"
    return LifeStep("route", state("approved"), value, at=best.issued)


def _drift(task: Model, known: Lives) -> LifeStep:
    found = known.drift.get(task.id)
    if found is None:
        return LifeStep("drift", _NONE)
    told = found.document
    value = f"{count(told.weeks)} weeks"
    follow = "look at drift: d" if told.alarm is not None else ""
    return LifeStep("drift", drift_state(found), value, next=follow)


def _answers(name: Name, task: Model) -> bool:
    live = name.pointers[0].live if name.pointers else None
    return live is not None and live.task == task.id
