"""The evaluations screen: candidates with progress and quality, verdicts of gates, remaining looks.

Rules: quality comes with its interval and speed next to it, never mixed; a result of another form
is shown as any job's.
"""

from collections.abc import Sequence
from typing import Final

from textual.content import Content

from appliance.text import percent, points, within, within_points
from appliance.wire.admin.evaluations import Compared, Errors
from appliance.wire.admin.gates import Ledger
from appliance.wire.admin.jobs import Job
from appliance.wire.admin.results import CandidateMeasured, EvaluationResult, GateResult
from tui.columns import Column, table
from tui.text import QUIET, Cell, alarm, cell, indented, labelled, line, quiet, state
from tui.view import jobs
from tui.view.intervals import drawn_column, measured
from tui.view.units import clock, count, many, seconds

COLUMNS: Final = (
    Column("ID", 5, right=True),
    Column("KIND", 10, drop=4),
    Column("VERDICT", 15),
    Column("WHAT", 0, least=16),
    Column("VALUE", 22, drop=2),
    Column("AGE", 6, right=True, drop=1),
    Column("BY", 10, drop=3),
)
_CANDIDATES: Final = (
    Column("CANDIDATE", 0, least=26, most=36),
    Column("SCORE", 6, right=True),
    Column("95 %", 14, drop=3),
    drawn_column(1),
    Column("DOCS/S", 8, right=True),
    Column("P95", 8, right=True, drop=4),
    Column("FAILED", 6, right=True, drop=2),
)
_LOOKS: Final = (
    Column("TAKEN", 19),
    Column("TASK", 0, least=14, most=36),
    Column("VERDICT", 14),
    Column("BY", 12, drop=1),
    Column("DATASET", 16, drop=2),
)
_KEYS: Final = 9
"""Cells of the confusion matrix that a digit keeps."""
_CONFUSED: Final = (
    Column("KEY", 3, right=True),
    Column("EXPECTED", 0, least=12, most=36),
    Column("ANSWERED", 0, least=12, most=36),
    Column("ITEMS", 6, right=True),
)
_COMPARED: Final = (
    Column("AGAINST THE BASELINE", 0, least=14, most=36),
    Column("POINTS", 7, right=True),
    Column("INTERVAL", 16, drop=1),
    Column("ONLY IT", 7, right=True, drop=2),
    Column("ONLY BASE", 9, right=True, drop=3),
)


def row(job: Job, verdict: str, now: float, *, ascii_only: bool) -> Sequence[Cell]:
    """One evaluation or gate, with its result if known; `verdict` is the ledger's, or ""."""
    number, kind, _, progress, left, aged, what, by = jobs.row(job, now, ascii_only=ascii_only)
    result = job.result
    said, value = state(job.state), cell("-")
    if isinstance(result, GateResult):
        verdict = result.verdict
        value = cell(f"{points(result.difference)} ({within_points(result.interval)})")
    elif isinstance(result, EvaluationResult):
        best = max(result.candidates, key=lambda one: one.quality)
        value = cell(f"{best.quality:.3f} ({within(best.interval)})")
        said = cell(f"best: {best.name}")
    if verdict:
        said = state(verdict)
    elif job.state != "done":
        said = cell(f"{left} left") if left != "-" else said
        value = cell(progress)
    return number, kind, said, what, value, aged, by


def summary(found: Sequence[Job], kept: int) -> Content:
    """Write the counts."""
    return jobs.counted("evaluation", found, kept)


def detail(job: Job, now: float, width: int, *, ascii_only: bool) -> list[Content]:
    """The evaluation under the cursor: its progress, or its result."""
    result = job.result
    if isinstance(result, GateResult):
        return _verdict(result, width)
    if not isinstance(result, EvaluationResult):
        return jobs.detail(job, now, width)
    return [
        cell(result.answer, "bold"),
        line(*_facts(result)),
        *_candidates(result, width, ascii_only=ascii_only),
    ]


def whole(job: Job, now: float, width: int, *, ascii_only: bool) -> list[Content]:
    """Everything that an evaluation found."""
    result = job.result
    said = [line(cell(f"{job.kind} {job.id}", "bold"), state(job.state), job.title)]
    said += labelled("when", f"{clock(job.created)} by {job.actor}", width)
    if isinstance(result, GateResult):
        return said + _verdict(result, width)
    if not isinstance(result, EvaluationResult):
        return [*said, Content(""), *jobs.detail(job, now, width)]
    said += cell(result.answer, "bold", limit=2_000).wrap(width)
    said += [line(*_facts(result)), Content("")]
    said += _candidates(result, width, ascii_only=ascii_only)
    compared = [
        (
            each.candidate,
            points(each.difference),
            within_points(each.interval),
            count(each.gained),
            count(each.lost),
        )
        for each in result.comparisons
    ]
    if compared:
        said += [Content(""), *table(_COMPARED, compared, width)]
    if result.digests:
        said.append(Content(""))
        for name, value in result.digests.items():
            said += labelled(name[:40], quiet(value), width, 30)
    return said


def _verdict(result: GateResult, width: int) -> list[Content]:
    said = cell(result.answer, "bold", limit=2_000).wrap(width)
    interval = f"{points(result.difference)} points, {within_points(result.interval)}"
    margin, groups = f"margin {100 * result.margin:g}", many(result.groups, "group")
    found = line(state(result.verdict), interval, quiet(margin), quiet(groups))
    said += labelled("verdict", found, width)
    for name, verdict in result.floors.items():
        said += labelled("floor", line(name or "the whole", state(verdict)), width)
    for name, pack in result.packs.items():
        right = f"{count(pack.right)} of {count(pack.items)} right"
        said += labelled("pack", line(name, state(pack.verdict), right), width)
    if result.advice is not None:
        reached = f"reaches {percent(result.advice)} on these items (advice)"
        said += labelled("regression", reached, width)
    if result.agreed:
        said += labelled("labels", f"none where both agree: {many(result.agreed, 'item')}", width)
    said += labelled(
        "looks", f"{count(result.looks)} taken, {count(result.looks_left)} left", width
    )
    return said + labelled("certified", result.certificate or "none", width)


def errors(found: Errors, kept: int, width: int) -> list[Content]:
    """The commonest cells, then the items of cell `kept` (from 1; 0: all), the surest first."""
    wrong = f"{count(found.wrong)} of {many(found.items, 'item')} of {found.split} wrong"
    said = [line(cell(found.candidate, "bold"), wrong), Content("")]
    cells = found.confused[:_KEYS]
    said += table(
        _CONFUSED,
        [(str(n), c.expected, c.answered, count(c.items)) for n, c in enumerate(cells, 1)],
        width,
    )
    chosen = cells[kept - 1] if 0 < kept <= len(cells) else None
    for each in found.shown:
        if chosen is None or (each.expected, each.answered) == (chosen.expected, chosen.answered):
            sure = "" if each.confidence is None else f"confidence {each.confidence:.3f}"
            head = f"{each.expected}, answered {each.answered}"
            said += [Content(""), line(cell(each.item, "bold"), head, quiet(sure))]
            said += indented(each.input, width)
    return said + _unread(found.unread)


def flips(found: Compared, width: int) -> list[Content]:
    """Two candidates on the same items, and the items on which they differ."""
    difference = f"{points(found.difference)} points, " + within_points(found.interval)
    gained = f"only the first right {count(found.gained)}, only the second {count(found.lost)}"
    said = [cell(f"{found.first} minus {found.second}", "bold"), line(difference, quiet(gained))]
    for each in found.flips:
        head = f"expected {each.expected}; the {each.right} is right"
        said += [Content(""), line(cell(each.item, "bold"), head)]
        said += indented(f"first: {each.first}", width) + indented(f"second: {each.second}", width)
        said += indented(each.input, width, QUIET) if each.input else []
    return said + _unread(found.unread)


def _unread(reason: str) -> list[Content]:
    return [Content(""), quiet(f"No inputs: {reason}.")] if reason else []


def verdicts(found: Sequence[Ledger]) -> dict[int, str]:
    """The ledger's verdict of each look, by its job."""
    return {
        look.job: look.verdict
        for each in found
        for split in each.splits
        for look in split.looks
        if look.job and look.verdict
    }


def ledger(found: Sequence[Ledger], width: int) -> list[Content]:
    """The looks at sealed splits, taken and left, by dataset."""
    said: list[Content] = []
    for each in found:
        for split in each.splits:
            spent = f"{many(len(split.looks), 'look')} spent"
            left = f"{count(split.left)} left" + (f" for {split.only} alone" if split.only else "")
            told = cell(left) if split.left else alarm("none left")
            groups = quiet(many(split.groups, "group"))
            said.append(line(cell(f"{each.dataset}, {split.split}", "bold"), spent, told, groups))
            rows = [
                (
                    clock(look.taken),
                    look.task,
                    state(look.verdict or "under way"),
                    look.person,
                    look.dataset,
                )
                for look in split.looks
            ]
            said += [*table(_LOOKS, rows, width), Content("")] if rows else []
    return said or [quiet("No dataset is sealed. Seal one with `appliance dataset seal DIR`.")]


def _facts(result: EvaluationResult) -> list[Cell]:
    groups = result.candidates[0].groups if result.candidates else 0
    told: list[Cell] = [
        quiet(f"{result.metric.replace('_', ' ')} on {result.split}"),
        quiet(f"{many(result.items, 'item')}"),
        quiet(f"n = {many(groups, 'group')}"),
    ]
    if result.label_agreement is not None:
        told.append(quiet(f"labels agree {percent(result.label_agreement)}"))
    return told


def _candidates(result: EvaluationResult, width: int, *, ascii_only: bool) -> list[Content]:
    ordered = sorted(result.candidates, key=lambda each: -each.quality)
    return table(_CANDIDATES, [_candidate(each, ascii_only=ascii_only) for each in ordered], width)


def _candidate(found: CandidateMeasured, *, ascii_only: bool) -> Sequence[Cell]:
    return (
        found.name,
        *measured(found.quality, found.interval, ascii_only=ascii_only),
        f"{found.documents_s:.3g}",
        seconds(found.p95_s),
        count(sum(found.failures.values())),
    )
