"""The queue of people: the items, their deadlines and their inputs.

Rules: texts of apps are data.
"""

from collections.abc import Sequence
from typing import Final

from textual.content import Content

from appliance.wire.admin.queue import Waiting
from tui.columns import Column
from tui.text import WHOLE, Cell, alarm, cell, labelled, line, quiet, state
from tui.view.units import age, clock, count, many, since, until

COLUMNS: Final = (
    Column("STATE", 11),
    Column("LEFT", 8, right=True),
    Column("WAITS", 7, right=True),
    Column("TASK", 16),
    Column("APP", 16, drop=2),
    Column("ASKED", 0, least=16),
    Column("WHY", 20, drop=1),
)


def row(one: Waiting, now: float) -> Sequence[Cell]:
    """One item."""
    return (
        state(one.state), _left(one, now), age(since(one.created, now)), one.task, one.app,
        " ".join(map(str, one.input.values())), one.reason,
    )  # fmt: skip


def _left(one: Waiting, now: float) -> Cell:
    left = until(one.deadline, now)
    return alarm("over") if left <= 0 else age(left)


def summary(found: Sequence[Waiting], now: float) -> Content:
    """Write the counts."""
    oldest = max((since(one.created, now) for one in found), default=0.0)
    told = [quiet(many(len(found), "item") + " for a person")]
    return line(*told, *([quiet(f"the oldest waits {age(oldest)}")] if found else []))


def detail(one: Waiting, now: float, width: int) -> list[Content]:
    """The item whole, and the form of an answer."""
    wanted = ", ".join(one.labels) or ("JSON of its schema" if one.form is not None else "a text")
    said = asked(one, width)
    said += labelled("answer", wanted, width)
    said += labelled("because", one.reason, width)
    said += labelled("until", f"{clock(one.deadline)}, by {one.app}", width)
    said += labelled("request", one.request_id, width)
    if one.actor is not None:
        said += labelled("answered", line(str(one.answer), quiet(f"by {one.actor}")), width)
    return said


def asked(one: Waiting, width: int) -> list[Content]:
    """The item, field by field."""
    said: list[Content] = []
    for name, value in one.input.items():
        label = name[:10] if len(one.input) > 1 else "asked"
        said += labelled(label, cell(str(value), limit=WHOLE), width)
    return said or [quiet(f"{count(0)} fields")]
