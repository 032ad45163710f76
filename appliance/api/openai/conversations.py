"""`/v1/conversations` and the items of one.

Rule: a conversation grows by its routes, and by responses that name it.
"""

import asyncio
from typing import Annotated, Literal

from fastapi import APIRouter, Query, Request

from appliance.api.deps import CallerDep, services_of
from appliance.api.json_body import JsonRoute
from appliance.api.openai.kept_conversations import KeptConversation, KeptConversations, spelled
from appliance.errors import BadRequest, NotFound
from appliance.types import Caller
from appliance.wire.openai.conversations import (
    ConversationItems,
    ConversationReply,
    ConversationRequest,
    ItemsRequest,
    RemovedConversation,
    ShownItem,
)
from appliance.wire.openai.responses_request import Item

router = APIRouter(tags=["generate"], route_class=JsonRoute)
_ONE = "/v1/conversations/{name}"


@router.post("/v1/conversations")
async def begin_conversation(
    request: Request, body: ConversationRequest, caller: CallerDep
) -> ConversationReply:
    """Begin a conversation."""
    items = _own(body.items)
    return _reply(await _of(request, caller).create(items, body.metadata or {}))


@router.get(_ONE)
async def conversation(request: Request, caller: CallerDep, name: str) -> ConversationReply:
    """A conversation, without its items."""
    found, _ = await _of(request, caller).find(name)
    return _reply(found)


@router.post(_ONE)
async def update_conversation(
    request: Request, body: ConversationRequest, caller: CallerDep, name: str
) -> ConversationReply:
    """Change the metadata of a conversation."""
    if body.items:
        raise BadRequest("unsupported_parameter", "items: add them under /items.", param="items")

    def describe(found: KeptConversation) -> None:
        found.metadata = body.metadata or {}

    return _reply(await _of(request, caller).change(name, describe))


@router.delete(_ONE)
async def remove_conversation(
    request: Request, caller: CallerDep, name: str
) -> RemovedConversation:
    """Remove a conversation; its responses and the audit log stay."""
    await _of(request, caller).remove(name)
    return RemovedConversation(id=name)


@router.post(f"{_ONE}/items")
async def add_items(
    request: Request, body: ItemsRequest, caller: CallerDep, name: str
) -> ConversationItems:
    """Add items to the end of a conversation."""
    added = await asyncio.to_thread(spelled, _own(body.items))

    def add(found: KeptConversation) -> None:
        found.items += added
        found.check_room()

    await _of(request, caller).change(name, add)
    return _listed([Item.model_validate_json(item) for item in added], more=False)


@router.get(f"{_ONE}/items")
async def conversation_items(
    request: Request,
    caller: CallerDep,
    name: str,
    limit: Annotated[int, Query(ge=1, le=100)] = 20,
    order: Literal["asc", "desc"] = "desc",
    after: Annotated[str | None, Query(max_length=256)] = None,
) -> ConversationItems:
    """The items of a conversation."""
    found, _ = await _of(request, caller).find(name)
    items = await asyncio.to_thread(found.parsed)
    if order == "desc":
        items.reverse()
    if after is not None:
        items = items[_index(items, after) + 1 :]
    return _listed(items[:limit], more=len(items) > limit)


@router.get(f"{_ONE}/items/{{item_id}}")
async def conversation_item(
    request: Request, caller: CallerDep, name: str, item_id: str
) -> ShownItem:
    """One item."""
    found, _ = await _of(request, caller).find(name)
    items = await asyncio.to_thread(found.parsed)
    return items[_index(items, item_id)].listed(item_id)


@router.delete(f"{_ONE}/items/{{item_id}}")
async def remove_item(
    request: Request, caller: CallerDep, name: str, item_id: str
) -> ConversationReply:
    """Remove one item."""

    def remove(found: KeptConversation) -> None:
        del found.items[_index(found.parsed(), item_id)]

    return _reply(await _of(request, caller).change(name, remove))


def _of(request: Request, caller: Caller) -> KeptConversations:
    return KeptConversations(services_of(request), caller.principal)


def _own(items: list[Item]) -> list[Item]:
    """The items (`unsupported_parameter` for a reference to another's)."""
    for place, item in enumerate(items):
        if item.type == "item_reference":
            where = f"items[{place}]"
            what = f"{where}: send the item itself."
            raise BadRequest("unsupported_parameter", what, param=where)
    return items


def _index(items: list[Item], item_id: str) -> int:
    places = [place for place, item in enumerate(items) if item.id == item_id]
    if not places:
        raise NotFound("conversation_not_found", "The conversation has no such item.")
    return places[0]


def _reply(found: KeptConversation) -> ConversationReply:
    return ConversationReply(id=found.id, created_at=found.created_at, metadata=found.metadata)


def _listed(items: list[Item], *, more: bool) -> ConversationItems:
    shown = [item.listed(item.id or "") for item in items]
    ids = [item.id or "" for item in items] or [""]
    return ConversationItems(
        data=shown,
        has_more=more,
        first_id=ids[0],
        last_id=ids[-1],
    )
