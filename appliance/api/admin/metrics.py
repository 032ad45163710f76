"""`GET /metrics`: for Prometheus, on the admin socket only."""

from fastapi import APIRouter, Response

from appliance.api.admin.deps import ServicesDep, Viewer
from appliance.observability.metrics import CONTENT_TYPE

router = APIRouter()


@router.get("/metrics")
async def metrics(_: Viewer, services: ServicesDep) -> Response:
    """Every counter; what is a state is looked at now."""
    found = services.metrics
    for worker in services.supervisor.status():
        waiting = services.shares.queued(worker.model) + worker.queued
        found.queued.labels(worker.model).set(waiting)
        found.running.labels(worker.model).set(worker.running)
        found.kv_cells.labels(worker.model).set(worker.kv_used)
        found.restarts.labels(worker.model).set(worker.restarts)
    found.latched.set(1 if services.audit.latched else 0)
    found.entries.set(services.audit.size)
    return Response(found.text(), media_type=CONTENT_TYPE)
