"""The LAN application: its routes and the layers before them.

Rules: only the APIs of apps are served here, never an admin route; only `PUBLIC` needs no key; the
framework's telemetry and its pages with remote assets are off.
"""

import functools
import re
from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from fastapi import APIRouter, FastAPI
from fastapi.middleware.asyncexitstack import AsyncExitStackMiddleware
from fastapi.routing import APIRoute, RouteContext, iter_route_contexts
from starlette.middleware import Middleware
from starlette.middleware.exceptions import ExceptionMiddleware
from starlette.routing import BaseRoute, compile_path
from starlette.types import ASGIApp, Receive, Scope, Send

import appliance
from appliance.api import witness
from appliance.api.aliases import meant
from appliance.api.anthropic import messages
from appliance.api.cors import CorsGate
from appliance.api.described import ANY, KEYED, KEYS, in_messages
from appliance.api.docs import PATHS, docs_routes
from appliance.api.errors import install_error_handlers
from appliance.api.json_body import JsonRoute
from appliance.api.large_bodies import LargeBodies
from appliance.api.observe import Observer
from appliance.api.openai import (
    batches,
    ca,
    chat,
    classify,
    completions,
    conversations,
    embeddings,
    files,
    health,
    labels,
    models,
    own_requests,
    queue,
    receipts,
    rerank,
    responses,
    search,
    stored,
    tokenize,
    usage,
)
from appliance.api.openai import sessions as session_routes
from appliance.api.openai.batch_lines import BatchLines
from appliance.api.person_gate import PersonGate
from appliance.api.quota_headers import QuotaTelling
from appliance.api.refusals import PacedRefusals
from appliance.api.transport import NO_TELEMETRY, BodyGate, KeyGate, RequestContext
from appliance.auth.sessions import PersonSessions
from appliance.peers.ring import DOCUMENTS, ENTRIES, LOOKS, PATH, QUOTAS, RECEIPTS

if TYPE_CHECKING:
    from appliance.app import Services

_PROBES: Final = frozenset({"/healthz", "/readyz"})
DOCUMENTATION: Final = frozenset({"/openapi.json", *PATHS})
PUBLIC: Final = _PROBES | DOCUMENTATION


def create_lan_app(services: "Services") -> FastAPI:
    """The app of the LAN listener."""
    server, there = services.config.server, _Routes()
    sessions = PersonSessions(services.keys, services.clock)
    app = _LanApp(
        title="appliance",
        summary="The OpenAI API, from small models of your own, with a receipt for each answer.",
        version=appliance.__version__,
        openapi_url="/openapi.json" if server.docs else None,
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
        generate_unique_id_function=_name,
        telemetry=NO_TELEMETRY,
        responses=ANY,
        middleware=[
            Middleware(
                RequestContext,
                profile=services.profile,
                answered=_observer(services).answered,
                probes=_PROBES,
                told=QuotaTelling(services.shares, services.clock).headers,
                meant=meant,
            ),
            Middleware(CorsGate, origins=frozenset(server.cors_origins)),
            Middleware(
                KeyGate,
                authenticate=sessions.authenticate,
                public=_public(services),
                by_certificate=services.keys.authenticate_certificate,
            ),
            Middleware(PacedRefusals),
            Middleware(PersonGate, people=services.end_users, kept=sessions.token_of),
            Middleware(
                BodyGate,
                max_bytes=server.max_body_bytes,
                there=lambda method, path: path != PATH and method in there.methods(path),
                forms={files.UPLOAD: services.batches.policy.limits.file_bytes + files.FORM_BYTES},
            ),
            *_relay(services),
        ],
    )
    there.app, app.state.routes = app, there
    app.state.services = services
    app.state.large_bodies = LargeBodies()
    app.state.sessions = sessions
    app.state.running = set()  # requests with an Idempotency-Key
    lines = BatchLines(services, _observer(services), app.state.large_bodies)
    services.batches.answer_by(lines.ask)
    install_error_handlers(app)
    if server.docs:
        app.router.routes.extend(docs_routes())
    if server.people:
        from appliance.api.people_page import people_routes

        app.router.routes.extend(people_routes(services.config))
        if services.config.people.page_key:
            _let_people_log_in(app, services)
    app.router.routes.extend(_routes(services.site is not None, server.mcp))
    return app


@functools.cache
def _routes(in_site: bool, mcp: bool) -> Sequence[BaseRoute]:
    """Routes of every app, made once for a process: the framework takes 0.1 s for them."""
    made = APIRouter(responses=ANY, generate_unique_id_function=_name)
    made.include_router(health.router)
    if in_site:
        from appliance.api import site

        made.include_router(witness.router)
        made.include_router(site.router)
    for module in (
        chat, completions, responses, conversations, classify, embeddings, rerank, search, models,
        receipts, queue, stored, tokenize, ca, usage, files, batches, labels, own_requests,
        session_routes,
    ):  # fmt: skip
        made.include_router(module.router, dependencies=KEYS, responses=KEYED)
    made.include_router(messages.router, dependencies=KEYS, responses=in_messages(KEYED))
    if mcp:
        from appliance.api.mcp import endpoint

        made.include_router(endpoint.router, dependencies=KEYS, responses=KEYED)
    return made.routes


def _relay(services: "Services") -> list[Middleware]:
    if services.site is None:
        return []
    from appliance.api import site_relay  # of an appliance that has peers

    others = functools.partial(site_relay.others_of, services)
    return [Middleware(site_relay.SiteRelay, others=others)]


def _name(route: APIRoute) -> str:
    return route.name


def _let_people_log_in(app: FastAPI, services: "Services") -> None:
    from appliance.api.openai import login
    from appliance.people.code_flow import CodeFlow

    app.state.code_flow = CodeFlow(services.config.oidc, services.data, services.end_users)
    app.include_router(login.router)


def _public(services: "Services") -> frozenset[str]:
    """The addresses that need no key; a request of a peer carries a signature."""
    config = services.config
    shown = PUBLIC if config.server.docs else PUBLIC - DOCUMENTATION
    if config.server.people:
        from appliance.api import people_page

        shown |= people_page.PATHS
        shown |= {session_routes.LOGIN} if config.people.page_key else set()
    return shown | {PATH, DOCUMENTS, ENTRIES, LOOKS, QUOTAS, RECEIPTS} if config.peers else shown


class _Routes:
    """The routes by their paths; their middleware exists before they do."""

    app: FastAPI

    @functools.cached_property
    def _contexts(self) -> list[RouteContext]:
        contexts = iter_route_contexts(self.app.routes)
        return [one for one in contexts if one.path is not None]

    @functools.cached_property
    def _known(self) -> list[tuple[re.Pattern[str], Set[str]]]:
        return [(compile_path(str(one.path))[0], set(one.methods or ())) for one in self._contexts]

    @functools.cached_property
    def exact(self) -> Mapping[tuple[str, str], tuple[Scope, ASGIApp]]:
        return {
            (method, str(one.path)): _called(one)
            for one in reversed(self._contexts)
            if "{" not in str(one.path) and one.app is not None
            for method in one.methods or ()
        }

    def methods(self, path: str) -> list[str]:
        return sorted({m for pattern, some in self._known if pattern.match(path) for m in some})


class _LanApp(FastAPI):
    """Without what the framework puts around every route; `RequestContext` answers crashes."""

    def build_middleware_stack(self) -> ASGIApp:
        exact = _ExactRoutes(AsyncExitStackMiddleware(self.router), self.state.routes)
        app: ASGIApp = ExceptionMiddleware(exact, self.exception_handlers)
        for gate in reversed(self.user_middleware):
            app = gate.cls(app, *gate.args, **gate.kwargs)
        return app


@dataclass(frozen=True)
class _ExactRoutes:
    """Calls a route without parameters at once: the framework asks each in turn, twice."""

    app: ASGIApp
    there: _Routes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        found = self.there.exact.get((scope.get("method", ""), scope.get("path", "")))
        if found is None:
            await self.app(scope, receive, send)
            return
        scope.update(found[0])
        await found[1](scope, receive, send)


def _called(one: RouteContext) -> tuple[Scope, ASGIApp]:
    """A route's part of the scope, and what answers for it."""
    route, app = one.original_route, AsyncExitStackMiddleware(one.app)
    plain = route.plain() if isinstance(route, JsonRoute) else None
    return {"endpoint": one.endpoint, "path_params": {}, "route": route}, plain or app


def _observer(services: "Services") -> Observer:
    return Observer(services.rejected, services.metrics)
