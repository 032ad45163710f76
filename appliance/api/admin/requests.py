"""The requests that are being answered now: list them, and end one.

Rules: nothing is read from disk, so polling is cheap; no texts. Ending a request is recorded with
the person before its client gets an error.
"""

import asyncio

from appliance.api.admin.deps import PersonDep, Routes, ServicesDep
from appliance.audit.appending import append
from appliance.audit.log import Draft
from appliance.clock import iso
from appliance.errors import NotFound, Unavailable
from appliance.serving.generation import Generation
from appliance.wire.admin import models as wire

router = Routes()


@router.serves(wire.REQUESTS)
async def list_requests(services: ServicesDep) -> wire.RequestList:
    """Every request whose intent is recorded, oldest first."""
    running = sorted(services.inference.running(), key=lambda answer: answer.intent.seq)
    return wire.RequestList(requests=[_request_of(answer) for answer in running])


@router.serves(wire.REQUEST_CANCEL)
async def cancel_request(
    person: PersonDep, services: ServicesDep, request_id: str
) -> wire.RequestCancelled:
    """End an answer; its client gets an error."""
    running = services.inference.running()
    if not any(answer.caller.request_id == request_id for answer in running):
        raise NotFound("not_found", f"No request {request_id} is running.", param="id")
    await append(services.audit, Draft.deed("request_cancel", person.actor, request_id=request_id))
    why = Unavailable("request_cancelled", "An operator ended the answer.")
    ended = await asyncio.shield(services.inference.cancel(request_id, why))
    return wire.RequestCancelled(request_id=request_id, cancelled=ended)


def _request_of(answer: Generation) -> wire.RunningRequest:
    return wire.RunningRequest.told_by(
        answer,
        seq=answer.intent.seq,
        request_id=answer.caller.request_id,
        key_id=answer.caller.principal.key_id,
        app=answer.caller.principal.name,
        model=answer.card.id,
        started=iso(answer.created * 1_000_000),
    )
