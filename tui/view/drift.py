"""The drift screen: each task's weeks, its alarm, and what to do.

Rules: what cannot be found stands beside what is promised.
"""

from collections.abc import Sequence
from typing import Final

from textual.content import Content

from appliance.wire.admin.drift import Drift
from appliance.wire.admin.results import DriftFinding
from tui.columns import Column, table
from tui.text import Cell, alarm, cell, labelled, line, quiet, state
from tui.view.units import count, many

COLUMNS: Final = (
    Column("TASK", 0, least=14, most=44),
    Column("STATE", 11),
    Column("WEEKS", 5, right=True),
    Column("LAST", 5, right=True, drop=2),
    Column("ANSWER", 40, drop=1),
)
_FINDINGS: Final = (
    Column("WEEK", 5, right=True),
    Column("WINDOW", 6, right=True, drop=1),
    Column("STATISTIC", 0, least=12, most=40),
    Column("CHANGE", 9, right=True),
    Column("P", 7, right=True),
    Column("", 8),
)


def row(one: Drift) -> Sequence[Cell]:
    """One task."""
    told = one.document
    last = "-" if told.last_week is None else str(told.last_week)
    return told.task, drift_state(one), count(told.weeks), last, told.answer


def drift_state(one: Drift) -> Content:
    """The state with its mark: an alarm needs a person."""
    words = {"alarm": "critical", "watching": "live", "learning": "loading"}
    found = one.document.state
    mark = state(words.get(found, found))
    return cell(f"{mark.plain[:2]}{found}", str(mark.spans[0].style) if mark.spans else "")


def summary(found: Sequence[Drift]) -> Content:
    """Write the counts."""
    alarms = sum(one.document.alarm is not None for one in found)
    told = cell(many(alarms, "alarm")) if not alarms else alarm(many(alarms, "alarm"))
    return line(quiet(many(len(found), "task") + " watched"), told)


def detail(one: Drift, width: int) -> list[Content]:
    """The weeks of one task."""
    told = one.document
    said = cell(told.answer, "bold", limit=2_000).wrap(width)
    for advice in one.advice:
        said += labelled("what to do", advice, width)
    if told.findings:
        rows = map(_finding, told.findings)
        said += [Content(""), *table(_FINDINGS, rows, width), Content("")]
    said += labelled("promise", one.promise, width, limit=1_000)
    for number, blind in enumerate(one.blind):
        said += labelled("" if number else "blind to", blind, width, limit=1_000)
    return said


def _finding(found: DriftFinding) -> Sequence[Cell]:
    rank = f"{found.rank:.4f}"
    said = alarm("alarm") if found.alarm else cell("")
    change = f"{found.difference:+.3g}"
    return str(found.week), str(found.window), found.statistic, change, rank, said
