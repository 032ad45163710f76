"""The load route: counters of the work and of the host, cheap enough for polls every second."""

import asyncio
import os
import time

from appliance.api.admin.deps import Routes, ServicesDep
from appliance.host import hardware
from appliance.host.usage import usage
from appliance.observability.metrics import buckets, total
from appliance.wire.admin import usage as wire

router = Routes()


@router.serves(wire.LOAD)
async def show_load(services: ServicesDep) -> wire.CurrentLoad:
    """Show the work since the start and the present use."""
    found = services.metrics
    workers = services.supervisor.status()
    used = usage([os.getpid(), *(worker.pid for worker in workers if worker.pid)])
    bounds, counts = buckets(found.ttft_seconds)
    gpus = await asyncio.to_thread(services.gpus.look)
    return wire.CurrentLoad.told_by(
        used,
        at=time.monotonic(),
        server=f"{os.getpid()}.{services.started_us}",
        answers=total(found.generations),
        refusals=total(found.refusals),
        prompt_tokens=total(found.prompt_tokens),
        cached_tokens=total(found.cached_tokens),
        completion_tokens=total(found.completion_tokens),
        running=sum(worker.running for worker in workers),
        queued=sum(services.shares.queued(w.model) + w.queued for w in workers),
        kv_used=sum(worker.kv_used for worker in workers),
        kv_total=sum(worker.n_ctx for worker in workers),
        ttft=wire.Histogram(bounds=bounds, counts=counts),
        memory=hardware.total_memory(),
        memory_available=hardware.available_memory(),
        gpus=[wire.Gpu.told_by(gpu) for gpu in gpus],
    )
