"""`/v1/batches`: batches made of files, and their states; another key does not see them."""

import asyncio
from typing import Annotated

import msgspec
from fastapi import APIRouter, Query, Request

from appliance.api.deps import CallerDep, services_of
from appliance.api.json_body import JsonRoute
from appliance.api.openai.files import APP_ALONE, check_keeps, page
from appliance.batches.store import StoredBatch, WantedBatch
from appliance.wire.openai.batches import BatchObject, BatchObjects, BatchRequest

router = APIRouter(tags=["batches"], route_class=JsonRoute, dependencies=APP_ALONE)


@router.post("/v1/batches")
async def create(request: Request, body: BatchRequest, caller: CallerDep) -> BatchObject:
    """Have the lines of a file answered while no other requests wait."""
    services = services_of(request)
    check_keeps(services, caller.principal)
    expires = body.output_expires_after
    wanted = WantedBatch(
        key_id=caller.principal.key_id,
        endpoint=body.endpoint,
        input=body.input_file_id,
        hours=body.hours,
        keep_s=services.batches.policy.keep_s if expires is None else expires.seconds,
        metadata=body.metadata,
    )
    return shown(await services.batches.create(wanted))


@router.get("/v1/batches")
async def batches(
    request: Request,
    caller: CallerDep,
    after: Annotated[str | None, Query(max_length=64)] = None,
    limit: Annotated[int, Query(ge=1, le=100)] = 20,
) -> BatchObjects:
    """The batches of the key, the newest first."""
    store = services_of(request).batches.store
    found = await asyncio.to_thread(store.listed, caller.principal.key_id)
    some, more = page(found, [one.id for one in found], after, limit)
    return BatchObjects(
        data=[shown(one) for one in some],
        first_id=some[0].id if some else None,
        last_id=some[-1].id if some else None,
        has_more=more,
    )


@router.get("/v1/batches/{batch_id}")
async def batch(request: Request, caller: CallerDep, batch_id: str) -> BatchObject:
    """One batch."""
    store = services_of(request).batches.store
    return shown(await asyncio.to_thread(store.get, batch_id, caller.principal.key_id))


@router.post("/v1/batches/{batch_id}/cancel")
async def cancel(request: Request, caller: CallerDep, batch_id: str) -> BatchObject:
    """End a batch; the answers that it has are kept."""
    batches = services_of(request).batches
    return shown(await batches.cancel(batch_id, caller.principal.key_id))


def shown(found: StoredBatch) -> BatchObject:
    """A batch as the API shows it."""
    ended = {} if found.live else {f"{found.status}_at": _s(found.ended_us)}
    problems = [msgspec.to_builtins(problem) for problem in found.problems]
    times = ("completed_at", "failed_at", "expired_at", "cancelled_at")
    return BatchObject.model_validate(
        {
            "id": found.id,
            "endpoint": found.endpoint,
            "model": found.model or None,
            "errors": {"data": problems} if problems else None,
            "input_file_id": found.input,
            "completion_window": f"{found.hours}h",
            "status": found.status,
            "output_file_id": None if found.live else found.output or None,
            "error_file_id": None if found.live else found.errors or None,
            "created_at": _s(found.created_us),
            "in_progress_at": _s(found.begun_us),
            "expires_at": _s(found.until_us),
            "finalizing_at": _s(found.ending_us),
            "cancelling_at": _s(found.cancelling_us),
            **dict.fromkeys(times),
            **ended,
            "request_counts": {
                "total": found.total,
                "completed": found.completed,
                "failed": found.failed,
            },
            "metadata": found.metadata,
        }
    )


def _s(time_us: int | None) -> int | None:
    return None if time_us is None else time_us // 1_000_000
