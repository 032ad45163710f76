"""The usage screen: sums by period and name, and a chart over time."""

from collections.abc import Sequence
from typing import Final

from textual.content import Content

from appliance.wire.admin.metering import USAGE_TABLE, UsageRow
from tui.chart import bar
from tui.columns import Column, cells, listed
from tui.text import Cell, alarm, cell, line, quiet
from tui.view.units import clock, count, many, spaced

COLUMNS: Final = (
    Column("PERIOD", 16),
    listed(USAGE_TABLE, "NAME", 0, least=12, most=40),
    listed(USAGE_TABLE, "REQUESTS", 9),
    Column("FAILED", 7, right=True),
    listed(USAGE_TABLE, "READ", 9, drop=2),
    listed(USAGE_TABLE, "WRITTEN", 9, drop=1),
    Column("SECONDS", 10, right=True, drop=3),
)
_BAR: Final = 30
_PERIODS: Final = 24


def name_of(one: UsageRow) -> str:
    """Its key in a list."""
    return f"{one.period} {one.name}"


def row(one: UsageRow) -> Sequence[Cell]:
    """One sum."""
    own: dict[str, Cell] = {
        "PERIOD": clock(one.period)[:16],
        "SECONDS": spaced(one.seconds, ",.1f"),
    }
    own["FAILED"] = alarm(count(one.failed)) if one.failed else "0"
    return cells(COLUMNS, one, own)


def summary(found: Sequence[UsageRow], by: str, per: str, left: int = 0) -> Content:
    """The sums' kind; `left`: entries of the log that are not counted yet."""
    asked = many(sum(one.requests for one in found), "request")
    waits = f"{many(left, 'entry')} not counted yet" if left else "[ ] changes the time"
    return line(f"by {by}, per {per}", quiet(asked), quiet(waits))


def over_time(
    found: Sequence[UsageRow], name: str, width: int, *, ascii_only: bool
) -> list[Content]:
    """Requests of a name, period by period, the newest first."""
    mine = [one for one in found if one.name == name][:_PERIODS]
    most = max((one.requests for one in mine), default=0)
    room = max(8, min(_BAR, width - 34))
    said = [line(cell(name or "-", "bold"), quiet("requests"))]
    for one in mine:
        drawn = bar(one.requests, most, room, ascii_only=ascii_only)
        told = cell(count(one.requests))
        value = told.pad_left(max(0, 9 - told.cell_length))
        said.append(line(clock(one.period)[:16], value, drawn))
    return said
