"""Every endpoint of `wire.admin` is served as declared, and asked by a command or the terminal."""

import importlib
import pkgutil
import re
from collections.abc import Iterator
from pathlib import Path
from types import NoneType
from typing import Any, get_type_hints

from fastapi import FastAPI
from fastapi.routing import APIRoute, iter_route_contexts
from pydantic import BaseModel

import appliance.wire.admin
from appliance.api.admin.app import create_admin_app
from appliance.api.admin.deps import RoleNeeded, Routes
from appliance.app import Services
from appliance.wire.admin.base import Request
from appliance.wire.admin.endpoint import Endpoint

ROOT = Path(__file__).parents[3]


def endpoints() -> dict[str, Endpoint[Any, Any]]:
    found = {}
    for info in pkgutil.iter_modules(appliance.wire.admin.__path__):
        module = importlib.import_module(f"appliance.wire.admin.{info.name}")
        for name, value in vars(module).items():
            if isinstance(value, Endpoint):
                found[f"{info.name}.{name}"] = value
    return found


ENDPOINTS = endpoints()


def routes(app: FastAPI) -> dict[tuple[str, str], APIRoute]:
    found = {}
    for context in iter_route_contexts(app.routes):
        route = context.original_route
        assert isinstance(route, APIRoute)
        for method in route.methods or ():
            found[method, str(context.path)] = route
    return found


def missing(app: FastAPI) -> list[str]:
    served = routes(app)
    known = {(at.method, at.route) for at in ENDPOINTS.values()}
    return [
        *(
            f"appliance/api/admin/ has no handler `@router.serves({name.rpartition('.')[2]})`"
            f" in a module that app.py includes: {at.method} {at.path}"
            for name, at in ENDPOINTS.items()
            if (at.method, at.route) not in served
        ),
        *(
            f"appliance/wire/admin/ has no endpoint {method} {path}: {route.endpoint.__module__}"
            for (method, path), route in served.items()
            if (method, path) not in known
        ),
    ]


def test_every_endpoint_has_its_route_and_every_route_its_endpoint(services: Services) -> None:
    assert len(ENDPOINTS) > 100
    app = create_admin_app(services)
    assert missing(app) == []
    app.router.routes.pop()  # the control: one that was forgotten is named with its place
    (told, *_) = missing(app)
    assert "appliance/api/admin/ has no handler `@router.serves(" in told


def test_no_two_endpoints_are_the_same() -> None:
    said = [(at.method, at.route) for at in ENDPOINTS.values()]
    assert sorted(said) == sorted(set(said))


def test_a_route_takes_and_gives_what_its_endpoint_says(services: Services) -> None:
    served = routes(create_admin_app(services))
    for name, at in ENDPOINTS.items():
        route = served[at.method, at.route]
        handler = f"{route.endpoint.__module__}.{route.endpoint.__name__}, which serves {name}"
        calls = [needed.call for needed in route.dependant.dependencies]
        needed = [call.role for call in calls if isinstance(call, RoleNeeded)]
        assert needed == [at.role], f"{handler}, asks for other roles: {needed}"
        hints = get_type_hints(route.endpoint)
        taken = {kind for hint in hints.values() for kind in requests(hint)}
        assert taken == {at.request} - {NoneType}, f"{handler}, takes another request: {taken}"
        asked = {field.name for field in route.dependant.query_params} - {
            parameter for parameter, hint in hints.items() if hint is at.request
        }
        assert asked == at.query, f"{handler}, has another query: {sorted(asked)}"
        if issubclass(at.reply, BaseModel) and not at.streams:
            assert hints["return"] is at.reply, f"{handler}, replies otherwise"


def requests(hint: object) -> Iterator[type[Request]]:
    for kind in (hint, *getattr(hint, "__args__", ())):
        if isinstance(kind, type) and issubclass(kind, Request):
            yield kind


def test_every_endpoint_is_asked() -> None:
    """By a command or the terminal; Prometheus reads the metrics."""
    text = "\n".join(
        path.read_text(encoding="utf-8")
        for top in ("appliance/cli", "tui")
        for path in sorted((ROOT / top).rglob("*.py"))
    )
    words = set(re.findall(r"\w+", text))
    unasked = {name for name in ENDPOINTS if name.rpartition(".")[2] not in words}
    assert unasked <= {"models.METRICS"}, "appliance/cli/ has no command that calls it"


def test_a_route_that_is_no_endpoint_is_found() -> None:
    router = Routes()
    router.get("/open")(lambda: None)
    app = FastAPI(openapi_url=None)
    app.include_router(router)
    assert any("GET /open" in told for told in missing(app))
