"""`GET /v1/requests`: the requests of the key that asks, or of the person for whom it asks.

Rules: the log is the only source; no texts; a key that asks for a verified person sees the requests
of this person under this key, and of no other.
"""

from dataclasses import replace
from typing import Annotated, Final, cast

from fastapi import APIRouter, Query, Request

from appliance.api.deps import CallerDep, services_of
from appliance.audit.entry import END_USER, LogEntry
from appliance.audit.reader import LogReader
from appliance.audit.search import Query as LogQuery
from appliance.audit.search import SearchPage
from appliance.types import EndUser
from appliance.wire.openai.own_requests import OwnRequest, OwnRequestList, RequestState

router = APIRouter(tags=["requests"])
_KEPT: Final = "/v1/responses"
_MOST_READ: Final = 1_000
"""Requests of a key that are looked at for those of a person."""


# A plain function, so that it runs in a thread: it reads the log's database.
@router.get("/v1/requests")
def own_requests(
    request: Request,
    caller: CallerDep,
    since: Annotated[int, Query(ge=0, le=1 << 40, description="Unix seconds")] = 0,
    before: Annotated[int | None, Query(ge=0, le=1 << 53)] = None,
    limit: Annotated[int, Query(ge=1, le=100)] = 20,
) -> OwnRequestList:
    """The newest requests that a model, a task or a route answered; without their texts."""
    reader = services_of(request).reader
    asked = LogQuery(
        kind="intent",
        key_id=caller.principal.key_id,
        since_us=since * 1_000_000,
        before=before,
        newest_first=True,
        limit=limit,
    )
    person = caller.principal.known
    page = reader.search(asked) if person is None else _of_person(reader, asked, person)
    return OwnRequestList(data=[_told(reader, e) for e in page.entries], before=page.resume)


def _of_person(reader: LogReader, asked: LogQuery, person: EndUser) -> SearchPage:
    """A person's requests. The log has no index of people, so a page may be short, or empty, and
    have more behind it.
    """
    page = reader.search(replace(asked, limit=_MOST_READ))
    named = (person.alias, person.source)
    mine = [e for e in page.entries if tuple(map(e.body.get, END_USER)) == named]
    if len(mine) <= asked.limit:
        return SearchPage(mine, page.resume)
    return SearchPage(mine[: asked.limit], mine[asked.limit - 1].seq)


def _told(reader: LogReader, intent: LogEntry) -> OwnRequest:
    body, outcome = intent.body, reader.outcome_of(intent.seq)
    end = {} if outcome is None else outcome.body
    request_id, route = str(body["request_id"]), str(body.get("route", ""))
    return OwnRequest(
        id=request_id,
        created=intent.time_us // 1_000_000,
        route=route,
        model=str(end.get("model") or body["model"]),  # an intent has the model of a task
        state=cast("RequestState", end.get("status", "open")),
        prompt_tokens=cast("int", body.get("prompt_tokens", 0)),
        completion_tokens=cast("int", end.get("completion_tokens", 0)),
        response=request_id.replace("req-", "resp_", 1) if route == _KEPT else None,
    )
