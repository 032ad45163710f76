"""The incidents screen: alarms from their beginning to their end.

Rules: the next step is the one of the table of alarms, never another.
"""

from collections.abc import Sequence
from typing import Final

from textual.content import Content

from appliance.wire.admin.incidents import INCIDENT_TABLE, Incident, state_of
from tui.columns import Column, cells, listed
from tui.text import Cell, alarm, labelled, line, quiet
from tui.view.units import age, clock, count, many, since

COLUMNS: Final = (
    listed(INCIDENT_TABLE, "STATE", 14),
    Column("AGE", 7, right=True),
    listed(INCIDENT_TABLE, "TIMES", 5, drop=2),
    listed(INCIDENT_TABLE, "CODE", 22),
    listed(INCIDENT_TABLE, "SUBJECT", 18, drop=1),
    Column("MESSAGE", 0, least=12),
    listed(INCIDENT_TABLE, "BY", 12, drop=3),
)
_ROOM: Final = 12


def row(one: Incident, now: float) -> Sequence[Cell]:
    """One incident."""
    return cells(COLUMNS, one, {"AGE": age(since(one.since, now)), "MESSAGE": one.message})


def summary(found: Sequence[Incident], kept: int) -> Content:
    """Write the counts."""
    open_ones = [one for one in found if one.ended is None]
    free = sum(not one.acked_by for one in open_ones)
    told = [many(len(open_ones), "open incident"), f"{count(free)} without a person"]
    return line(*told, quiet(f"{count(kept)} shown" if kept != len(found) else ""))


def detail(one: Incident, width: int) -> list[Content]:
    """The incident under the cursor."""
    acts = state_of(one) == "critical"
    said = labelled("message", alarm(one.message) if acts else one.message, width, _ROOM)
    said += labelled("what to do", one.next, width, _ROOM)
    began = f"{clock(one.since)}, {many(one.times, 'time')}"
    said += labelled("since", began, width, _ROOM)
    if one.ended is not None:
        said += labelled("over since", clock(one.ended), width, _ROOM)
    if one.acked_by:
        note = f": {one.note}" if one.note else ""
        said += labelled("acknowledged", f"{one.acked_by}{note}", width, _ROOM)
    return said
