"""The tasks screen: each task, its model, its approvals, and the next step.

Rules: the server says what a task allows.
"""

from collections.abc import Sequence
from typing import Final

from textual.content import Content

from appliance.facts import TaskFacts
from appliance.wire.admin.gates import Certificate
from appliance.wire.admin.models import Model, ModelDetail
from appliance.wire.admin.pointers import Name
from tui.columns import Column
from tui.text import Cell, alarm, cell, labelled, line, quiet, state
from tui.view.life import Lives, following, steps
from tui.view.models import signatures
from tui.view.units import clock, count, many

COLUMNS: Final = (
    Column("TASK", 0, least=16, most=44),
    Column("STATE", 13),
    Column("EVALUATION", 22, drop=4),
    Column("GATE", 15),
    Column("ROUTE", 14, drop=2),
    Column("DRIFT", 11, drop=3),
    Column("MODEL", 20, drop=5),
    Column("APPROVED", 8, drop=6),
    Column("NEXT", 26, drop=1),
)
_NEXT: Final = {
    "verified": "a a approves; enough different people must.",
    "approved": "Apps name it in `model`; their keys may be limited to it.",
    "suspended": "Find out why; then a a approves it again.",
    "quarantined": "Its checks have not ended.",
    "retired": "Out of use for good; its files stay as evidence.",
    "revoked": "It never answers again; import another version.",
}


def row(task: Model, detail: ModelDetail | None, known: Lives, now: float) -> Sequence[Cell]:
    """One task of the store, with the verdict of each step of its life."""
    facts = _facts(detail)
    _, measured, gate, route, drift = steps(task, known)
    follow = "" if task.state != "approved" else following(task, known)
    return (
        task.id,
        state(task.state),
        measured.value or "-",
        gate.verdict,
        route.verdict,
        drift.verdict,
        facts.model or "-",
        "-" if detail is None else f"{len(detail.approvals)} of {detail.approvals_needed}",
        task.hint if task.code and task.hint else follow or _NEXT.get(task.state, ""),
    )


def summary(tasks: Sequence[Model], kept: int) -> Content:
    """Write the counts."""
    ready = sum(task.state == "approved" for task in tasks)
    told = [many(len(tasks), "task"), f"{count(ready)} approved"]
    if kept != len(tasks):
        told.append(f"{count(kept)} shown")
    return line(*map(quiet, told))


def detail(task: ModelDetail, evidence: Lives, width: int) -> list[Content]:
    """Everything about one task."""
    facts = _facts(task)
    said = labelled("what", facts.description, width) if facts.description else []
    metric = facts.metric.replace("_", " ") or "-"
    said += labelled("form", line(facts.form or "-", quiet("measured by"), metric), width)
    model = line(facts.model or "-", quiet(facts.model_digest[:16] or "-"))
    said += labelled("answers", model, width)
    version = f"version {facts.version or '-'}"
    said += labelled("digest", line(cell(task.digest or "-"), quiet(version)), width)
    if task.code or task.message:
        reason = ": ".join(part for part in (task.code or "", task.message) if part)
        said += labelled("why", reason, width)
    following = task.hint if task.code else _NEXT.get(task.state, "")
    if following:
        said += labelled("what to do", following, width)
    said += signatures(task, width)
    of = f"{len(task.approvals)} of {task.approvals_needed} needed"
    if len(task.approvals) < task.approvals_needed:
        said += labelled("approved" if not task.approvals else "", quiet(of), width)
    said += _evaluated(task, evidence.certificates, width)
    return said + _named(task.id, evidence.names, width)


def _evaluated(task: ModelDetail, certificates: Sequence[Certificate], width: int) -> list[Content]:
    mine = [c for c in certificates if c.task_digest == task.digest]
    if not mine:
        return []
    newest = mine[-1]
    against = f"{many(newest.groups, 'group')} of {newest.dataset}, against {newest.incumbent}"
    said = labelled("evaluated", line(state(newest.verdict), quiet(against)), width)
    until = line(f"until {clock(newest.valid_until)}", quiet(newest.id[:16]))
    return said + labelled("", until if newest.usable else line(alarm(newest.why)), width)


def _named(task: str, names: Sequence[Name], width: int) -> list[Content]:
    said: list[Content] = []
    for name in names:
        now = name.pointers[0] if name.pointers else None
        if now is None:
            continue
        roles = {
            "live": now.live,
            f"canary, {now.percent} % of the apps": now.canary,
            "shadow": now.shadow,
        }
        for role, version in roles.items():
            if version is None or version.task != task:
                continue
            told = f"since {clock(now.time)} by {now.person}"
            if role == "shadow" and now.compared is not None:
                same, differ = now.compared.same, count(now.compared.differs)
                told = (
                    f"{many(same, 'answer')} the same, {differ} differ, "
                    f"{count(now.compared.failed)} failed"
                )
            said += labelled("name", line(name.name, state(role), quiet(told)), width)
    return said


_UNKNOWN: Final = TaskFacts(
    name="", version=0, description="", model="", model_digest="", form="", metric=""
)


def _facts(task: ModelDetail | None) -> TaskFacts:
    if task is None or not isinstance(task.facts, TaskFacts):
        return _UNKNOWN
    return task.facts
