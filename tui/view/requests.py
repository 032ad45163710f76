"""The requests screen: each request's app, model and age.

Rules: no prompts and no texts are here at all; an age is never negative, whatever the clocks say.
"""

from collections.abc import Sequence
from typing import Final

from textual.content import Content

from appliance.wire.admin.models import REQUEST_TABLE, RunningRequest
from tui.columns import Column, cells, listed
from tui.text import Cell, labelled, line, quiet
from tui.view.units import age, clock, count, many, rate, since

COLUMNS: Final = (
    Column("APP", 0, least=14, most=48),
    listed(REQUEST_TABLE, "STATE", 10),
    listed(REQUEST_TABLE, "MODEL", 18, drop=1),
    listed(REQUEST_TABLE, "READ", 7),
    listed(REQUEST_TABLE, "WRITTEN", 7),
    Column("TOK/S", 6, right=True, drop=2),
    Column("AGE", 6, right=True),
    Column("PRIORITY", 11, drop=4),
    Column("KEY", 18, drop=5),
    listed(REQUEST_TABLE, "ID", 36, name="REQUEST", drop=3),
)


def row(request: RunningRequest, now: float) -> Sequence[Cell]:
    """One request that is being answered."""
    lived = since(request.started, now)
    speed = rate(request.completion_tokens / lived) if lived >= 1 else "-"
    own = {
        "APP": request.app or request.key_id,
        "TOK/S": speed,
        "AGE": age(lived),
        "PRIORITY": request.priority,
        "KEY": request.key_id,
    }
    return cells(COLUMNS, request, own)


def summary(requests: Sequence[RunningRequest], kept: int) -> Content:
    """Write the counts."""
    waiting = sum(request.queued for request in requests)
    told = [many(len(requests), "request"), f"{count(waiting)} waiting"]
    if kept != len(requests):
        told.append(f"{count(kept)} shown")
    return line(*map(quiet, told))


def detail(request: RunningRequest, now: float, width: int) -> list[Content]:
    """The request under the cursor, with the ids to find it elsewhere."""
    began = f"{clock(request.started)} ({age(since(request.started, now))})"
    return [
        *labelled("request", request.request_id, width),
        *labelled("key", request.key_id, width),
        *labelled("in the log", f"intent at seq {request.seq}; enter shows it", width),
        *labelled("since", began, width),
    ]
