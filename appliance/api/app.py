"""The LAN application: which routes there are, and what stands before them.

Rules: nothing but the OpenAI surface is served here, never an admin route; only `PUBLIC` needs
no key, and `docs = false` takes the documentation out of it; the framework's telemetry
and its pages with remote assets are off.
"""

from typing import TYPE_CHECKING, Any, Final

from fastapi import Depends, FastAPI
from fastapi.security import HTTPBearer
from starlette.middleware import Middleware

import appliance
from appliance.api.docs import PATHS, docs_routes
from appliance.api.errors import install_error_handlers
from appliance.api.observe import Observer
from appliance.api.openai import (
    chat,
    completions,
    embeddings,
    health,
    models,
    receipts,
    rerank,
    responses,
    tokenize,
)
from appliance.api.transport import NO_TELEMETRY, BodyGate, KeyGate, RequestContext
from appliance.wire.errors import ErrorResponse

if TYPE_CHECKING:
    from appliance.runtime import Services

_PROBES: Final = frozenset({"/healthz", "/readyz"})
DOCUMENTATION: Final = frozenset({"/openapi.json", *PATHS})
PUBLIC: Final = _PROBES | DOCUMENTATION
# "default" also keeps the framework from describing its own 422, which is never sent.
_RESPONSES: Final[dict[int | str, dict[str, Any]]] = {
    "default": {"model": ErrorResponse, "description": "Every error has this shape."}
}


def create_lan_app(services: "Services") -> FastAPI:
    """The app of the LAN listener."""
    server = services.config.server
    app = FastAPI(
        title="appliance",
        version=appliance.__version__,
        openapi_url="/openapi.json" if server.docs else None,
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
        generate_unique_id_function=lambda route: route.name,
        telemetry=NO_TELEMETRY,
        responses=_RESPONSES,
        middleware=[
            Middleware(
                RequestContext, profile=services.profile, answered=_observer(services).answered
            ),
            Middleware(
                KeyGate,
                authenticate=services.keys.authenticate,
                public=PUBLIC if server.docs else PUBLIC - DOCUMENTATION,
                by_certificate=services.keys.authenticate_certificate,
            ),
            Middleware(BodyGate, max_bytes=server.max_body_bytes),
        ],
    )
    app.state.services = services
    install_error_handlers(app)
    if server.docs:
        app.router.routes.extend(docs_routes())
    app.include_router(health.router)
    # Describes the key in the OpenAPI document; `KeyGate` checks it.
    bearer = Depends(HTTPBearer(auto_error=False, description="An API key; or `x-api-key`."))
    for module in (chat, completions, responses, embeddings, rerank, models, receipts, tokenize):
        app.include_router(module.router, dependencies=[bearer])
    return app


def _observer(services: "Services") -> Observer:
    return Observer(services.rejected, services.metrics)
