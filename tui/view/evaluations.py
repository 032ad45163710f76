"""What the evaluations screen says: what is measured, how far it is, what each candidate is worth,
the verdicts of gates, and the looks that sealed splits have left.

Rules: pure; quality stands with its interval and speed beside it, never mixed; a result of a newer
server is shown as far as it is understood; the scale of drawn intervals is 0 to 1 for all.
"""

from collections.abc import Sequence
from typing import Any, Final

from textual.content import Content

from appliance.wire.admin.gates import Ledger
from appliance.wire.admin.jobs import Job
from tui.chart import interval
from tui.columns import Column, table
from tui.text import Cell, alarm, cell, labelled, line, quiet, state
from tui.view import jobs
from tui.view.units import age, clock, count, seconds, since

COLUMNS: Final = (
    Column("ID", 5, right=True),
    Column("KIND", 10, drop=4),
    Column("STATE", 13),
    Column("PROGRESS", 18),
    Column("LEFT", 9, right=True, drop=2),
    Column("AGE", 6, right=True, drop=1),
    Column("WHAT", 0, least=16),
    Column("BY", 10, drop=3),
)
_DRAWN: Final = 22
"""Cells of a drawn interval."""
_CANDIDATES: Final = (
    Column("CANDIDATE", 0, least=26, most=36),
    Column("SCORE", 6, right=True),
    Column("95 %", 14, drop=3),
    Column("0" + " " * (_DRAWN - 2) + "1", _DRAWN, drop=1),
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
_COMPARED: Final = (
    Column("AGAINST THE BASELINE", 0, least=14, most=36),
    Column("POINTS", 7, right=True),
    Column("INTERVAL", 16, drop=1),
    Column("ONLY IT", 7, right=True, drop=2),
    Column("ONLY BASE", 9, right=True, drop=3),
)


def row(job: Job, now: float, *, ascii_only: bool) -> Sequence[Cell]:
    """One evaluation.

    Args:
        now: seconds since the epoch.
    """
    return (
        str(job.id),
        job.kind,
        state(job.state),
        jobs.bar_of(job, ascii_only=ascii_only),
        jobs.left(job),
        age(since(job.created, now)),
        job.title,
        job.actor,
    )


def summary(found: Sequence[Job], kept: int) -> Content:
    """How many there are, are under way, and are kept by the filter."""
    running = sum(job.state in ("running", "pausing", "cancelling") for job in found)
    told = [f"{count(len(found))} evaluations", f"{count(running)} running"]
    if kept != len(found):
        told.append(f"{count(kept)} shown")
    return line(*map(quiet, told))


def detail(job: Job, now: float, width: int, *, ascii_only: bool) -> list[Content]:
    """The evaluation under the cursor: how far it is, or what it found."""
    result = job.result or {}
    if not result:
        return jobs.detail(job, now, width)
    if "verdict" in result:
        return _verdict(result, width)
    return [
        cell(_text(result, "answer"), "bold"),
        line(*_facts(result)),
        *_candidates(result, width, ascii_only=ascii_only),
    ]


def whole(job: Job, now: float, width: int, *, ascii_only: bool) -> list[Content]:
    """Everything that an evaluation found."""
    result = job.result or {}
    said = [line(cell(f"{job.kind} {job.id}", "bold"), state(job.state), job.title)]
    said += labelled("when", f"{clock(job.created)} by {job.actor}", width)
    if not result:
        return [*said, Content(""), *jobs.detail(job, now, width)]
    if "verdict" in result:
        return said + _verdict(result, width)
    said += cell(_text(result, "answer"), "bold", limit=2_000).wrap(width)
    said += [line(*_facts(result)), Content("")]
    said += _candidates(result, width, ascii_only=ascii_only)
    compared = [
        (
            _text(each, "candidate"),
            _points(each.get("difference")),
            _range(each, _points),
            _whole(each.get("gained")),
            _whole(each.get("lost")),
        )
        for each in _list(result, "comparisons")
    ]
    if compared:
        said += [Content(""), *table(_COMPARED, compared, width)]
    digests = result.get("digests")
    if isinstance(digests, dict):
        said.append(Content(""))
        for name, value in digests.items():
            said += labelled(str(name)[:40], quiet(str(value)), width, 30)
    return said


def _verdict(result: dict[str, Any], width: int) -> list[Content]:
    """What a gate found: the sentence, the coarse interval, floors and packs, looks left."""
    said = cell(_text(result, "answer"), "bold", limit=2_000).wrap(width)
    interval = f"{_points(result.get('difference'))} points, {_range(result, _points)}"
    margin = f"margin {100 * _number(result.get('margin')):g}"
    groups = f"{_whole(result.get('groups'))} groups"
    found = line(state(_text(result, "verdict")), interval, quiet(margin), quiet(groups))
    said += labelled("verdict", found, width)
    for name, verdict in _table(result, "floors").items():
        said += labelled("floor", line(name or "the whole", state(str(verdict))), width)
    for name, told in _table(result, "packs").items():
        pack = told if isinstance(told, dict) else {}
        right = f"{_whole(pack.get('right'))} of {_whole(pack.get('items'))} right"
        said += labelled("pack", line(name, state(_text(pack, "verdict")), right), width)
    advice = result.get("advice")
    if isinstance(advice, float):
        said += labelled("regression", f"reaches {advice:.0%} on these items (advice)", width)
    left = result.get("looks_left")
    said += labelled("looks", f"{_whole(result.get('looks'))} taken, {_whole(left)} left", width)
    certificate = result.get("certificate")
    return said + labelled("certificate", str(certificate) if certificate else "none", width)


def ledger(found: Sequence[Ledger], width: int) -> list[Content]:
    """The looks that were taken at sealed splits, and those that are left, by dataset."""
    said: list[Content] = []
    for each in found:
        for split in each.splits:
            spent = f"{count(len(split.looks))} looks spent"
            left = f"{count(split.left)} left"
            told = cell(left) if split.left else alarm("none left")
            groups = quiet(f"{count(split.groups)} groups")
            said.append(line(cell(f"{each.dataset}, {split.split}", "bold"), spent, told, groups))
            rows = [
                (
                    clock(_text(look, "taken")),
                    _text(look, "task"),
                    state(str(look.get("verdict") or "under way")),
                    _text(look, "person"),
                    _text(look, "dataset"),
                )
                for look in split.looks
            ]
            said += [*table(_LOOKS, rows, width), Content("")] if rows else []
    return said or [quiet("No dataset is sealed. `appliance dataset seal DIR` seals one.")]


def _facts(result: dict[str, Any]) -> list[Cell]:
    groups = [each.get("groups") for each in _list(result, "candidates")][:1]
    told: list[Cell] = [
        quiet(f"{_text(result, 'metric').replace('_', ' ')} on {_text(result, 'split')}"),
        quiet(f"{_whole(result.get('items'))} items"),
        quiet(f"n = {_whole(groups[0] if groups else None)} groups"),
    ]
    agreement = result.get("label_agreement")
    if isinstance(agreement, float):
        told.append(quiet(f"labels agree {agreement:.1%}"))
    return told


def _candidates(result: dict[str, Any], width: int, *, ascii_only: bool) -> list[Content]:
    found = _list(result, "candidates")
    ordered = sorted(found, key=lambda each: -_number(each.get("quality")))
    return table(_CANDIDATES, [_candidate(each, ascii_only=ascii_only) for each in ordered], width)


def _candidate(found: dict[str, Any], *, ascii_only: bool) -> Sequence[Cell]:
    value = _number(found.get("quality"))
    low, high = _ends(found, value)
    drawn = interval(low, value, high, _DRAWN, least=0.0, most=1.0, ascii_only=ascii_only)
    failures = found.get("failures")
    failed = sum(map(_number, failures.values())) if isinstance(failures, dict) else 0
    return (
        _text(found, "name"),
        f"{value:.3f}",
        _range(found, lambda end: f"{_number(end):.3f}"),
        cell(drawn, "$primary"),
        f"{_number(found.get('documents_s')):.3g}",
        seconds(_number(found.get("p95_s"))),
        count(round(failed)),
    )


def _list(result: dict[str, Any], name: str) -> list[dict[str, Any]]:
    found = result.get(name)
    return [each for each in found if isinstance(each, dict)] if isinstance(found, list) else []


def _table(result: dict[str, Any], name: str) -> dict[str, Any]:
    found = result.get(name)
    return {str(k): v for k, v in found.items()} if isinstance(found, dict) else {}


def _text(found: dict[str, Any], name: str) -> str:
    return str(found.get(name, "-"))


def _number(value: object) -> float:
    return float(value) if isinstance(value, int | float) else 0.0


def _whole(value: object) -> str:
    return count(value) if isinstance(value, int) else "-"


def _points(value: object) -> str:
    return f"{100 * _number(value):+.1f}"


def _ends(found: dict[str, Any], value: float) -> tuple[float, float]:
    ends = found.get("interval")
    if isinstance(ends, list) and len(ends) == 2:
        return _number(ends[0]), _number(ends[1])
    return value, value


def _range(found: dict[str, Any], told: Any) -> str:
    return " to ".join(told(end) for end in _ends(found, _number(found.get("quality"))))
