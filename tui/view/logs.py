"""The logs screen."""

from collections.abc import Sequence
from typing import Final

from textual.content import Content

from appliance.wire.admin.logs import LogLine
from tui.columns import Column
from tui.text import WHOLE, Cell, labelled, line, quiet, state
from tui.view.units import clock

COLUMNS: Final = (
    Column("TIME", 19),
    Column("LEVEL", 10),
    Column("MESSAGE", 0, least=66),
    Column("CODE", 22, drop=2),
    Column("REQUEST", 36, drop=3),
)


def row(found: LogLine) -> Sequence[Cell]:
    """One line."""
    fields = found.fields
    return (
        clock(found.time), state(found.level), found.message,
        fields.get("code", ""), fields.get("request_id", ""),
    )  # fmt: skip


def detail(found: LogLine, width: int) -> list[Content]:
    """All of the line under the cursor."""
    said = labelled(found.level, found.message, width, limit=WHOLE)
    told = [f"{name} {value}" for name, value in sorted(found.fields.items())]
    return said + labelled("from", line(found.logger, clock(found.time), *map(quiet, told)), width)


def source(file: str, level: str, words: str, *, following: bool, live: bool) -> Content:
    """The file and the conditions of the lines."""
    how = "follows" if following else "held still"
    by = "from the server" if live else "from the file, no server runs"
    told = [f"{level} and above", how, by, file]
    if words:
        told.insert(0, f"with {words!r}")
    return line(*map(quiet, told))
