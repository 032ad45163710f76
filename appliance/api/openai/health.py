"""`GET /healthz` and `GET /readyz`: for probes, without a key and without site data."""

from fastapi import APIRouter, Request

from appliance.api.deps import services_of
from appliance.api.described import PROBED
from appliance.errors import AuditUnavailable, Unavailable
from appliance.wire.openai.health import Health, Ready

router = APIRouter(tags=["health"])


@router.get("/healthz")
async def healthz() -> Health:
    """The server is alive."""
    return Health(status="ok")


@router.get("/readyz", responses=PROBED, response_model_exclude_none=True)
async def readyz(request: Request) -> Ready:
    """A request can be answered and the answer be recorded; 503 while not.

    Until the models of the start are loaded, one of them must be ready; after that, a model that
    a request would load is enough. A task that a classifier answers is always ready; so is an
    upstream with a host that can be asked. Models that are suspended are named.
    """
    services = services_of(request)
    if services.inference.draining or (services.site is not None and services.site.leaving):
        raise Unavailable("shutting_down", "The server is stopping.")
    services.check_heard()
    try:
        services.audit.check()
    except AuditUnavailable as error:  # the numbers are of the site
        raise AuditUnavailable(error.code, "New work is not taken.") from error
    suspended = services.pool.suspended()
    ready = services.pool.ready() or services.upstreams.ready
    if not ready and not services.inference.answers_without_models():
        if suspended:
            raise Unavailable("model_suspended", f"Suspended: {', '.join(suspended)}.")
        raise Unavailable("model_loading", "No model is ready.")
    return Ready(status="ready", suspended=suspended or None)
