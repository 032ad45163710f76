"""The advice screen: the answer for each task, its options, and what would change it.

Rules: an advice of another form shows the answer only; a cost comes with its P10 and P90.
"""

from collections.abc import Sequence
from typing import Final

from textual.content import Content

from appliance.text import within
from appliance.wire.admin.advice import Advice, AdviceDocument, OptionTold
from appliance.wire.admin.results import UnknownResult
from tui.columns import Column, table
from tui.text import QUIET, Cell, cell, line, quiet
from tui.view.units import age, count, seconds, since, spaced

COLUMNS: Final = (
    Column("TASK", 0, least=14, most=36),
    Column("VERDICT", 18),
    Column("A MONTH", 10, right=True, drop=1),
    Column("AGE", 6, right=True, drop=2),
)
_OPTIONS: Final = (
    Column("OPTION", 10),
    Column("MEASURED", 0, least=12, most=32),
    Column("STATE", 11),
    Column("RIGHT", 16, drop=2),
    Column("A MONTH", 10, right=True),
    Column("P10 TO P90", 20, drop=1),
    Column("P95", 8, right=True, drop=3),
)
_FLIPS: Final = (
    Column("CHANGES IF", 0, least=16, most=36),
    Column("NOW", 10, right=True),
    Column("THEN", 10, right=True),
    Column("VERDICT", 18, drop=1),
)
_MOST: Final = 6


def row(advice: Advice, now: float) -> Sequence[Cell]:
    """One advice."""
    found, name = advice.document, verdict(advice)
    options = found.options if isinstance(found, AdviceDocument) else []
    chosen = [one.cost_month for one in options if one.name == name]
    return (
        advice.task,
        name.replace("_", " "),
        _money(chosen[0].p50) if chosen and chosen[0] is not None else "-",
        age(since(advice.created, now)),
    )


def summary(found: Sequence[Advice], kept: int) -> Content:
    """Write the counts."""
    told = [f"{count(len(found))} advised"]
    if kept != len(found):
        told.append(f"{count(kept)} shown")
    return line(*map(quiet, told))


def detail(advice: Advice, width: int) -> list[Content]:
    """The advice under the cursor."""
    found = advice.document
    if isinstance(found, UnknownResult):
        return cell(str(found.document.get("answer", "-")), "bold", limit=2_000).wrap(width)
    told: list[Content] = [*cell(found.answer, "bold", limit=2_000).wrap(width)]
    options = [_option(each) for each in found.options]
    if options:
        told += table(_OPTIONS, options, width)
    flips = [
        (each.name, _said(each.now), _said(each.then), each.verdict.replace("_", " "))
        for each in found.flips_if[:_MOST]
    ]
    if flips:
        told += [Content(""), *table(_FLIPS, flips, width)]
    for note in found.notes:
        told += cell(note, QUIET, limit=2_000).wrap(width)
    return told


def verdict(advice: Advice) -> str:
    """The option that an advice names, or why it names none."""
    found = advice.document
    if isinstance(found, UnknownResult):
        return str(found.document.get("verdict", "-"))
    return found.verdict


def _option(found: OptionTold) -> Sequence[Cell]:
    ends, cost = found.interval, found.cost_month
    return (
        found.name,
        found.title,
        found.state,
        "-" if ends is None else within(ends),
        "-" if cost is None else _money(cost.p50),
        "-" if cost is None else f"{_money(cost.p10)} to {_money(cost.p90)}",
        seconds(found.seconds_p95),
    )


def _money(amount: float) -> str:
    return spaced(amount, ",.2f")


def _said(value: float) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return spaced(value, ",.5g")
