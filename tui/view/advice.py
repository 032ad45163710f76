"""What the advice screen says: the answer for each task, its options, and what would change it.

Rules: pure; an advice of a newer server is shown as far as it is understood; a cost stands with its
P10 and P90, and what was not measured is a dash.
"""

from collections.abc import Sequence
from typing import Any, Final

from textual.content import Content

from appliance.wire.admin.advice import Advice
from tui.columns import Column, table
from tui.text import QUIET, Cell, cell, line, quiet
from tui.view.document import number, tables
from tui.view.units import age, count, since

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
    """One advice.

    Args:
        now: seconds since the epoch.
    """
    chosen = [o for o in tables(advice.document, "options") if o.get("name") == _verdict(advice)]
    return (
        advice.task,
        _verdict(advice).replace("_", " "),
        _money(chosen[0], "p50") if chosen else "-",
        age(since(advice.created, now)),
    )


def summary(found: Sequence[Advice], kept: int) -> Content:
    """How many there are, and are kept by the filter."""
    told = [f"{count(len(found))} advised"]
    if kept != len(found):
        told.append(f"{count(kept)} shown")
    return line(*map(quiet, told))


def detail(advice: Advice, width: int) -> list[Content]:
    """The advice under the cursor."""
    document = advice.document
    said = cell(str(document.get("answer", "-")), "bold", limit=2_000).wrap(width)
    told: list[Content] = [*said]
    options = [_option(each) for each in tables(document, "options")]
    if options:
        told += table(_OPTIONS, options, width)
    flips = [
        (str(each.get("name", "-")), _said(each.get("now")), _said(each.get("then")),
         str(each.get("verdict", "-")).replace("_", " "))
        for each in tables(document, "flips_if")[:_MOST]
    ]  # fmt: skip
    if flips:
        told += [Content(""), *table(_FLIPS, flips, width)]
    notes = document.get("notes")
    for note in notes if isinstance(notes, list) else []:
        told += cell(str(note), QUIET, limit=2_000).wrap(width)
    return told


def _option(found: dict[str, Any]) -> Sequence[Cell]:
    ends, seconds = found.get("interval"), found.get("seconds_p95")
    whole = isinstance(ends, list) and len(ends) == 2
    return (
        str(found.get("name", "-")),
        str(found.get("title", "-")),
        str(found.get("state", "-")),
        " to ".join(f"{number(end):.3f}" for end in ends) if whole and ends else "-",
        _money(found, "p50"),
        f"{_money(found, 'p10')} to {_money(found, 'p90')}" if found.get("cost_month") else "-",
        f"{seconds:.3g} s" if isinstance(seconds, int | float) else "-",
    )


def _verdict(advice: Advice) -> str:
    return str(advice.document.get("verdict", "-"))


def _money(found: dict[str, Any], name: str) -> str:
    cost = found.get("cost_month")
    return f"{number(cost.get(name)):,.2f}" if isinstance(cost, dict) else "-"


def _said(value: object) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{number(value):,.5g}"
