"""What the evaluations screen says: what is measured, how far it is, what each candidate is worth.

Rules: pure; quality stands with its interval and speed beside it, never mixed; a result of a newer
server is shown as far as it is understood; the scale of drawn intervals is 0 to 1 for all.
"""

from collections.abc import Sequence
from typing import Any, Final

from textual.content import Content

from appliance.wire.admin.jobs import Job
from tui.chart import interval
from tui.columns import Column, table
from tui.text import Cell, cell, labelled, line, quiet, state
from tui.view import jobs
from tui.view.units import age, clock, count, seconds, since

COLUMNS: Final = (
    Column("ID", 5, right=True),
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
    return [
        cell(_text(result, "answer"), "bold"),
        line(*_facts(result)),
        *_candidates(result, width, ascii_only=ascii_only),
    ]


def whole(job: Job, now: float, width: int, *, ascii_only: bool) -> list[Content]:
    """Everything that an evaluation found."""
    result = job.result or {}
    said = [line(cell(f"evaluation {job.id}", "bold"), state(job.state), job.title)]
    said += labelled("when", f"{clock(job.created)} by {job.actor}", width)
    if not result:
        return [*said, Content(""), *jobs.detail(job, now, width)]
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
