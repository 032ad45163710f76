"""The requests that are being answered now; who asked comes from their intent entries."""

import asyncio

from fastapi import APIRouter

from appliance.api.admin.deps import ServicesDep, Viewer
from appliance.clock import iso
from appliance.inference import Generation
from appliance.runtime import Services
from appliance.wire import admin as wire

router = APIRouter(prefix="/admin")


@router.get("/requests")
async def list_requests(_: Viewer, services: ServicesDep) -> wire.RequestList:
    """Every running answer, oldest first; no prompts and no texts."""
    running = sorted(services.inference.running(), key=lambda answer: answer.intent.seq)
    rows = [await asyncio.to_thread(_request_of, services, answer) for answer in running]
    return wire.RequestList(requests=rows)


def _request_of(services: Services, answer: Generation) -> wire.RunningRequest:
    body = services.reader.entry(answer.intent.seq).body
    return wire.RunningRequest(
        seq=answer.intent.seq,
        request_id=str(body["request_id"]),
        key_id=str(body["key_id"]),
        model=answer.card.id,
        prompt_tokens=answer.prompt_tokens,
        completion_tokens=answer.completion_tokens,
        started=iso(answer.created * 1_000_000),
    )
