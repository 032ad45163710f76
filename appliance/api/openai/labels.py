"""`/v1/labels`: a person labels the items of a queue that names them as a rater, blind.

Rules: the rater is the key, as `key:NAME`, or the verified person for whom it asks, as
`oidc:SERVICE/SUBJECT`; others do not see the queue; nothing depends on the labels of the other
rater.
"""

import asyncio

from fastapi import APIRouter, Request

from appliance.api.deps import CallerDep, services_of
from appliance.api.json_body import JsonRoute
from appliance.api.labelled import keep_label, put_aside
from appliance.app import Services
from appliance.datasets.label_queues import StoredLabelQueue
from appliance.datasets.labelling import Given, PutAside
from appliance.errors import BadRequest, DatasetRefused, NotFound
from appliance.types import Principal
from appliance.wire.openai.labels import LabelItem, LabelSaid, LabelWork, LabelWorkList

router = APIRouter(tags=["labels"], route_class=JsonRoute)


@router.get("/v1/labels")
async def label_queues(request: Request, caller: CallerDep) -> LabelWorkList:
    """The queues that name the one who asks."""
    rater = rater_of(caller.principal)
    found = await asyncio.to_thread(services_of(request).labels.list)
    return LabelWorkList(
        rater=rater,
        data=[
            LabelWork(
                name=queue.name,
                labels=list(queue.labelling.labels),
                done=queue.labelling.done[rater],
                total=len(queue.labelling.items),
            )
            for queue in found
            if rater in queue.labelling.raters
        ],
    )


@router.get("/v1/labels/{queue}")
async def label_item(request: Request, caller: CallerDep, queue: str) -> LabelItem:
    """The item to label next; what was put aside comes last."""
    return await asyncio.to_thread(_next, services_of(request), queue, rater_of(caller.principal))


@router.post("/v1/labels/{queue}")
async def label_given(
    request: Request, caller: CallerDep, queue: str, body: LabelSaid
) -> LabelItem:
    """Label an item, or put it aside with a reason; the answer is the next item."""
    services, rater = services_of(request), rater_of(caller.principal)
    actor = f"key:{caller.principal.key_id}"
    if (body.label is None) == (body.aside is None):
        message = "label: send either a label, or why the item is put aside."
        raise BadRequest("invalid_value", message, param="label")

    def keep() -> LabelItem:
        _of_rater(services, queue, rater)
        if body.label is not None:
            keep_label(services, queue, Given(body.item, rater, body.label), actor)
        elif body.aside is not None:
            put_aside(services, queue, PutAside(body.item, rater, body.aside), actor)
        return _next(services, queue, rater)

    return await asyncio.to_thread(keep)


def rater_of(principal: Principal) -> str:
    """The name of a caller on queues; no user of the host has a colon in theirs."""
    person = principal.known
    return f"key:{principal.name}" if person is None else f"{person.source}/{person.subject}"


def _next(services: Services, queue: str, rater: str) -> LabelItem:
    work = _of_rater(services, queue, rater).labelling
    item = work.next_item(rater)
    return LabelItem(
        queue=queue,
        item=item,
        input={} if item is None else dict(services.labels.input_of(queue, item)),
        labels=list(work.labels),
        done=work.done[rater],
        total=len(work.items),
        aside=None if item is None else work.put_aside(item, rater),
    )


def _of_rater(services: Services, name: str, rater: str) -> StoredLabelQueue:
    """The queue; one that names others is missing, too."""
    try:
        found = services.labels.get(name)
    except DatasetRefused:
        found = None
    if found is None or rater not in found.labelling.raters:
        raise NotFound("label_queue_unknown", "No queue of this name has you as a rater.")
    return found
