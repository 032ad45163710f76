"""What the evaluations screen says: what is measured, how far it is, what each candidate is worth,
the verdicts of gates, and the looks that sealed splits have left.

Rules: pure; quality stands with its interval and speed beside it, never mixed; a result of a newer
server is shown as far as it is understood.
"""

from collections.abc import Sequence
from typing import Any, Final

from textual.content import Content

from appliance.wire.admin.evaluations import Compared, Errors
from appliance.wire.admin.gates import Ledger
from appliance.wire.admin.jobs import Job
from tui.columns import Column, table
from tui.text import QUIET, Cell, alarm, cell, indented, labelled, line, quiet, state
from tui.view import jobs
from tui.view.document import count_of, drawn_column, ends, inner, measured, number, tables, text
from tui.view.units import clock, count, many, seconds

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


def summary(found: Sequence[Job], kept: int) -> Content:
    """How many there are, are under way, and are kept by the filter."""
    return jobs.counted("evaluation", found, kept)


def detail(job: Job, now: float, width: int, *, ascii_only: bool) -> list[Content]:
    """The evaluation under the cursor: how far it is, or what it found."""
    result = job.result or {}
    if not result:
        return jobs.detail(job, now, width)
    if "verdict" in result:
        return _verdict(result, width)
    return [
        cell(text(result, "answer"), "bold"),
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
    said += cell(text(result, "answer"), "bold", limit=2_000).wrap(width)
    said += [line(*_facts(result)), Content("")]
    said += _candidates(result, width, ascii_only=ascii_only)
    compared = [
        (
            text(each, "candidate"),
            _points(each.get("difference")),
            _range(each),
            count_of(each.get("gained")),
            count_of(each.get("lost")),
        )
        for each in tables(result, "comparisons")
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
    said = cell(text(result, "answer"), "bold", limit=2_000).wrap(width)
    interval = f"{_points(result.get('difference'))} points, {_range(result)}"
    margin = f"margin {100 * number(result.get('margin')):g}"
    groups = f"{count_of(result.get('groups'))} groups"
    found = line(state(text(result, "verdict")), interval, quiet(margin), quiet(groups))
    said += labelled("verdict", found, width)
    for name, verdict in inner(result, "floors").items():
        said += labelled("floor", line(name or "the whole", state(str(verdict))), width)
    for name, told in inner(result, "packs").items():
        pack = told if isinstance(told, dict) else {}
        right = f"{count_of(pack.get('right'))} of {count_of(pack.get('items'))} right"
        said += labelled("pack", line(name, state(text(pack, "verdict")), right), width)
    advice = result.get("advice")
    if isinstance(advice, float):
        said += labelled("regression", f"reaches {advice:.0%} on these items (advice)", width)
    if result.get("agreed"):
        said += labelled(
            "labels", f"none where both agree: {count_of(result['agreed'])} items", width
        )
    taken, left = (count_of(result.get(name)) for name in ("looks", "looks_left"))
    said += labelled("looks", f"{taken} taken, {left} left", width)
    certificate = result.get("certificate")
    return said + labelled("certificate", str(certificate) if certificate else "none", width)


def errors(found: Errors, kept: int, width: int) -> list[Content]:
    """What a candidate has wrong: the commonest cells, then the items, the surest wrong first.

    Args:
        kept: the cell whose items are shown, from 1 on; 0 for all.
    """
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
    difference = f"{_points(found.difference)} points, " + " to ".join(map(_points, found.interval))
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


def ledger(found: Sequence[Ledger], width: int) -> list[Content]:
    """The looks that were taken at sealed splits, and those that are left, by dataset."""
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
                    clock(text(look, "taken")),
                    text(look, "task"),
                    state(str(look.get("verdict") or "under way")),
                    text(look, "person"),
                    text(look, "dataset"),
                )
                for look in split.looks
            ]
            said += [*table(_LOOKS, rows, width), Content("")] if rows else []
    return said or [quiet("No dataset is sealed. Seal one with `appliance dataset seal DIR`.")]


def _facts(result: dict[str, Any]) -> list[Cell]:
    groups = [each.get("groups") for each in tables(result, "candidates")][:1]
    told: list[Cell] = [
        quiet(f"{text(result, 'metric').replace('_', ' ')} on {text(result, 'split')}"),
        quiet(f"{count_of(result.get('items'))} items"),
        quiet(f"n = {count_of(groups[0] if groups else None)} groups"),
    ]
    agreement = result.get("label_agreement")
    if isinstance(agreement, float):
        told.append(quiet(f"labels agree {agreement:.1%}"))
    return told


def _candidates(result: dict[str, Any], width: int, *, ascii_only: bool) -> list[Content]:
    found = tables(result, "candidates")
    ordered = sorted(found, key=lambda each: -number(each.get("quality")))
    return table(_CANDIDATES, [_candidate(each, ascii_only=ascii_only) for each in ordered], width)


def _candidate(found: dict[str, Any], *, ascii_only: bool) -> Sequence[Cell]:
    told, drawn = measured(found, "quality", ascii_only=ascii_only)
    failures = found.get("failures")
    failed = sum(map(number, failures.values())) if isinstance(failures, dict) else 0
    return (
        text(found, "name"),
        *told,
        drawn,
        f"{number(found.get('documents_s')):.3g}",
        seconds(number(found.get("p95_s"))),
        count(round(failed)),
    )


def _points(value: object) -> str:
    return f"{100 * number(value):+.1f}"


def _range(found: dict[str, Any]) -> str:
    return " to ".join(map(_points, ends(found, "interval", 0.0)))
