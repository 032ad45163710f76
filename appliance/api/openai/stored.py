"""Responses that are kept: `store`, `previous_response_id`, items of earlier answers, and the
routes that read and remove them.

Rules:
- A response is kept with its whole conversation before its end leaves, encrypted, for one key, for
  `server.responses_days`; keys whose texts are not kept have none, and get `store: false`.
- It belongs to every request of its conversation: erasing one of them erases it.
- Another key does not see it.
"""

import asyncio
import contextlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import msgspec
from fastapi import APIRouter, Request
from sqlalchemy.exc import SQLAlchemyError
from starlette.responses import Response

from appliance.api.deps import CallerDep, services_of
from appliance.api.openai.kept_conversations import (
    KeptConversation,
    KeptConversations,
    spelled,
)
from appliance.app import Services
from appliance.errors import BadRequest, NotFound, Overloaded, Unavailable
from appliance.serving.kept_answers import KeptAnswer
from appliance.types import Caller
from appliance.wire.openai.responses_reply import InputItems, RemovedResponse
from appliance.wire.openai.responses_reply import Response as ResponseReply
from appliance.wire.openai.responses_request import Item, ResponsesRequest, response_of_item

router = APIRouter(tags=["generate"])
_DAY_S: Final = 86_400
_ENDED: Final = {
    "code": "server_error",
    "message": "The server ended before the answer was complete; ask again.",
}


class _StoredResponse(msgspec.Struct):
    """A response as JSON, and the items of its conversation, its own output last."""

    response: bytes
    items: list[bytes]
    outputs: int
    requests: list[str]


class _Standing(msgspec.Struct):
    """The status fields of a response; older ones have no `background`."""

    status: str
    background: bool = False


@dataclass(frozen=True)
class Past:
    """The conversation before a request, and the ids of the requests that made it."""

    items: tuple[Item, ...] = ()
    requests: tuple[str, ...] = ()


class ResponseKeeping:
    """Keeps the response of one request, after its `past` and `given` items; `stores` makes it
    readable.
    """

    def __init__(
        self,
        services: Services,
        caller: Caller,
        past: Past,
        given: Sequence[Item],
        *,
        stores: bool = True,
        conversation: str | None = None,
    ) -> None:
        self._services, self._caller = services, caller
        self._past, self._given = past, given
        self._kept = False
        self.stores, self._conversation = stores, conversation

    async def keep(self, response_id: str, response: bytes, output: Sequence[bytes]) -> None:
        """Keep it in place of an earlier version (`answer_unkept`)."""
        requests = tuple(dict.fromkeys((*self._past.requests, self._caller.request_id)))
        if self.stores:
            await self._store(response_id, response, output, requests)
        if output and self._conversation is not None:
            await self._add(self._conversation, output, requests)

    async def _add(self, name: str, output: Sequence[bytes], requests: tuple[str, ...]) -> None:
        added = [*spelled(self._given), *output]

        def add(found: KeptConversation) -> None:
            found.items += added

        with contextlib.suppress(NotFound):  # it was removed meanwhile
            kept = KeptConversations(self._services, self._caller.principal)
            await kept.change(name, add, requests)

    async def _store(
        self, response_id: str, response: bytes, output: Sequence[bytes], requests: tuple[str, ...]
    ) -> None:
        said = [_spelled(item) for item in (*self._past.items, *self._given)]
        stored = _StoredResponse(response, [*said, *output], len(output), list(requests))
        kept, key_id = self._services.kept, self._caller.principal.key_id
        answer = KeptAnswer(requests, "", msgspec.msgpack.encode(stored))
        seconds = self._services.config.server.responses_days * _DAY_S
        try:
            place = self.place(response_id)
            replacing, self._kept = self._kept, True
            await asyncio.to_thread(kept.keep, place, key_id, answer, seconds, replacing=replacing)
        except SQLAlchemyError as error:
            raise Unavailable("answer_unkept", "The response could not be kept.") from error

    def place(self, response_id: str) -> str:
        return _place(self._services, self._caller, response_id)


async def keeping(
    services: Services, caller: Caller, body: ResponsesRequest, past: Past, given: Sequence[Item]
) -> ResponseKeeping | None:
    """A response's keeping, if any; `kept_answers_full` where `store` asks for it."""
    kept, who = services.kept, caller.principal
    days = services.config.server.responses_days
    stores = body.store is not False and bool(days) and kept.keeps(who)
    if stores:
        try:
            await asyncio.to_thread(kept.check_room, who.key_id)
        except Overloaded:
            if body.store:
                raise
            stores = False
    name = None if body.conversation is None else body.conversation.id
    if not stores and name is None:
        return None
    return ResponseKeeping(services, caller, past, given, stores=stores, conversation=name)


async def conversation_of(
    services: Services, caller: Caller, body: ResponsesRequest
) -> tuple[Past, list[Item]]:
    """The conversation before a request, and its own items."""
    past = await _past(services, caller, body)
    given, requests = await _resolved(services, caller, body)
    return Past(past.items, (*past.requests, *requests)), given


async def _past(services: Services, caller: Caller, body: ResponsesRequest) -> Past:
    """The conversation that a request continues (`response_not_found`, `conversation_not_found`;
    `invalid_value` for one without an answer, or that is full; `erased`).
    """
    if body.conversation is not None:
        talks = KeptConversations(services, caller.principal)
        found, requests = await talks.find(body.conversation.id)
        found.check_room()
        return Past(tuple(await asyncio.to_thread(found.parsed)), requests)
    if body.previous_response_id is None:
        return Past()
    stored = await _found(services, caller, body.previous_response_id)
    if not stored.outputs:
        where = "previous_response_id"
        raise BadRequest("invalid_value", f"{where}: that response has no answer.", param=where)
    items = tuple(Item.model_validate_json(item) for item in stored.items)
    return Past(items, tuple(stored.requests))


async def _resolved(
    services: Services, caller: Caller, body: ResponsesRequest
) -> tuple[list[Item], tuple[str, ...]]:
    """Items named by id included, and the requests of these (`unsupported_parameter` for an item
    that is not kept, `erased`).
    """
    known = {item.id for item in body.input if item.type != "item_reference"}
    items: list[Item] = []
    requests: list[str] = []
    for place, item in enumerate(body.input):
        if item.type != "item_reference" or item.id in known:
            items.append(item)
            continue
        name = item.id or ""
        try:
            stored = await _found(services, caller, response_of_item(name))
        except NotFound:
            stored = None
        output = [] if stored is None else stored.items[-stored.outputs :]
        one = next((o for o in map(_parsed, output) if o.id == name), None)
        if one is not None and stored is not None:
            items.append(one)
            requests += stored.requests
        elif not name.startswith("rs_"):  # reasoning is read over
            where = f"input[{place}].id"
            what = f"{where}: no such item is kept; send the item itself."
            raise BadRequest("unsupported_parameter", what, param=where)
    return items, tuple(requests)


@router.get("/v1/responses/resp_{name}", response_model=ResponseReply)
async def stored_response(request: Request, caller: CallerDep, name: str) -> Response:
    """A response that is kept, or runs in the background."""
    if request.query_params.get("stream", "false").lower() not in ("false", "0"):
        what = "stream: a response that is kept is not streamed; read it whole."
        raise BadRequest("unsupported_parameter", what, param="stream")
    return await _shown(services_of(request), caller, f"resp_{name}")


@router.post("/v1/responses/resp_{name}/cancel", response_model=ResponseReply)
async def cancel_response(request: Request, caller: CallerDep, name: str) -> Response:
    """End a response that runs in the background; one that has ended stays as it is."""
    services, response_id = services_of(request), f"resp_{name}"
    stored = await _found(services, caller, response_id)
    if not msgspec.json.decode(stored.response, type=_Standing).background:
        raise BadRequest("invalid_value", "Only a background response can be cancelled.")
    await services.backgrounds.cancel(_place(services, caller, response_id))
    return await _shown(services, caller, response_id)


async def _shown(services: Services, caller: Caller, response_id: str) -> Response:
    """A response; one under way shows only that it began."""
    place = _place(services, caller, response_id)
    running = services.backgrounds.at(place)
    stored = await _found(services, caller, response_id)
    body = stored.response
    if msgspec.json.decode(body, type=_Standing).status == "queued":
        shown = msgspec.json.decode(body)
        if running is None:
            shown |= {"status": "failed", "error": _ENDED}
        elif running.begun:
            shown["status"] = "in_progress"
        body = msgspec.json.encode(shown)
    return Response(body, media_type="application/json")


@router.delete("/v1/responses/resp_{name}")
async def remove_response(request: Request, caller: CallerDep, name: str) -> RemovedResponse:
    """Remove a response; the audit log keeps its entries."""
    services = services_of(request)
    place = _place(services, caller, f"resp_{name}")
    if not await asyncio.to_thread(services.kept.remove, place):
        raise _absent()
    await services.backgrounds.cancel(place)
    return RemovedResponse(id=f"resp_{name}")


@router.get("/v1/responses/resp_{name}/input_items")
async def input_items(request: Request, caller: CallerDep, name: str) -> InputItems:
    """The items of the conversation before a response."""
    stored = await _found(services_of(request), caller, f"resp_{name}")
    before = [_parsed(item) for item in stored.items[: len(stored.items) - stored.outputs]]
    listed = [item.listed(f"item_{number}") for number, item in enumerate(before)]
    ids = [str(item["id"]) for item in listed]
    return InputItems(
        data=listed, first_id=ids[0] if ids else None, last_id=ids[-1] if ids else None
    )


async def _found(services: Services, caller: Caller, response_id: str) -> _StoredResponse:
    place = _place(services, caller, response_id)
    found = await asyncio.to_thread(services.kept.find, place)
    if found is None:
        raise _absent()
    return msgspec.msgpack.decode(found.text, type=_StoredResponse)


def _place(services: Services, caller: Caller, response_id: str) -> str:
    return services.kept.digest(b"response", *caller.principal.owner, response_id.encode())


def _absent() -> NotFound:
    return NotFound("response_not_found", "No such response of this key is kept.")


def _parsed(item: bytes) -> Item:
    return Item.model_validate_json(item)


def _spelled(item: Item) -> bytes:
    return item.model_dump_json(exclude_none=True).encode()
