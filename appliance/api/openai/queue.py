"""`/v1/queue`, `/v1/queue/{id}` and its `/answer`: items that wait for a person."""

import asyncio
from collections.abc import Sequence

from fastapi import APIRouter, Request

from appliance.api.deps import CallerDep, services_of
from appliance.api.json_body import JsonRoute
from appliance.errors import Forbidden, NotFound
from appliance.routing.people import DeferredItem, may_see
from appliance.types import Principal
from appliance.wire.openai.queue import AnswerRequest, QueueItem, QueueList

router = APIRouter(tags=["queue"], route_class=JsonRoute)


@router.get("/v1/queue")
async def queue(request: Request, caller: CallerDep) -> QueueList:
    """The app's own items; for a key that answers, what waits under the tasks that it may use."""
    who, people = caller.principal, services_of(request).people
    found = await asyncio.to_thread(people.seen_by, who)
    await asyncio.to_thread(people.note_reading, *_of_others(who, found))
    return QueueList(data=[_shown(item) for item in found])


@router.get("/v1/queue/{item_id}")
async def item(request: Request, caller: CallerDep, item_id: str) -> QueueItem:
    """One item, with its answer once a person gave one."""
    found = await _found(request, caller.principal, item_id)
    reading = _of_others(caller.principal, [found])
    await asyncio.to_thread(services_of(request).people.note_reading, *reading)
    return _shown(found)


@router.post("/v1/queue/{item_id}/answer")
async def answer(
    request: Request, caller: CallerDep, item_id: str, body: AnswerRequest
) -> QueueItem:
    """Answer an item, for a key with the role `queue`."""
    found = await _found(request, caller.principal, item_id)
    if not caller.principal.answers:
        raise Forbidden("forbidden", "The key has not the role queue.")
    people, actor = services_of(request).people, f"key:{caller.principal.key_id}"
    return _shown(await asyncio.to_thread(people.answer, found.id, body.answer, actor))


async def _found(request: Request, who: Principal, item_id: str) -> DeferredItem:
    """The item; one that the key may not see is not found."""
    found = await asyncio.to_thread(services_of(request).people.get, item_id)
    if not may_see(who, found):
        raise NotFound("queue_item_unknown", "The queue has no such item.")
    return found


def _of_others(who: Principal, items: Sequence[DeferredItem]) -> tuple[str, list[DeferredItem]]:
    """The reader, and the items that other apps sent."""
    return f"key:{who.key_id}", [item for item in items if item.key_id != who.key_id]


def _shown(item: DeferredItem) -> QueueItem:
    return QueueItem.model_validate(item.document())
