"""The admin app: what people do with the appliance, over a Unix socket only.

Rules: no route without a role; no interactive documentation; bodies are bounded.
"""

from fastapi import FastAPI

from appliance.api.admin import (
    advice,
    audit,
    collections,
    datasets,
    drift,
    evaluations,
    gates,
    incidents,
    jobs,
    keys,
    labels,
    load,
    logs,
    metrics,
    models,
    plan,
    pointers,
    queue,
    receivers,
    requests,
    retention,
    routes,
    selftest,
    site,
    state,
    status,
    texts,
    trust,
    tunings,
    upstreams,
    usage,
)
from appliance.api.admin.deps import AdminState
from appliance.api.admin.errors import install_admin_errors
from appliance.api.admin.roles import role_table
from appliance.api.transport import NO_TELEMETRY, BodyGate, RequestContext
from appliance.app import Services

_MAX_BODY_BYTES = 8 << 20  # trust metadata at its limits, in base64


def create_admin_app(services: Services, *, served: bool = True, url: str = "") -> FastAPI:
    """The app over these services; not `served` when a command uses it while no server runs."""
    app = FastAPI(openapi_url=None, docs_url=None, redoc_url=None, telemetry=NO_TELEMETRY)
    app.state.admin = AdminState(
        services=services,
        roles=role_table(services.config.roles),
        owner_uid=services.data.stat().st_uid,
        served=served,
        url=url or services.config.url(),
    )
    install_admin_errors(app)
    app.add_middleware(BodyGate, max_bytes=_MAX_BODY_BYTES)
    app.add_middleware(RequestContext, profile=services.profile)
    for part in (
        status, load, logs, jobs, evaluations, gates, models, texts, plan, requests, keys, audit,
        retention, trust, metrics, selftest, datasets, collections, labels, pointers, advice, drift,
        routes, upstreams, queue, tunings, state, incidents, receivers, usage, site,
    ):  # fmt: skip
        app.router.routes.extend(part.router.routes)  # `include_router` would copy each
    return app
