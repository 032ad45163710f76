"""Who calls, as the audit record names them."""

import inspect
from typing import Annotated, Any

import pytest
from fastapi import APIRouter, Depends, FastAPI
from fastapi.dependencies.models import Dependant
from fastapi.routing import APIRoute, iter_route_contexts
from starlette.requests import Request

from appliance.api.admin.app import create_admin_app
from appliance.api.app import create_lan_app
from appliance.api.deps import caller_of
from appliance.app import Services
from appliance.errors import Unauthenticated
from appliance.types import Principal


def request(headers: dict[str, str] | None = None, **state: Any) -> Request:
    pairs = [(k.encode(), v.encode("latin-1")) for k, v in (headers or {}).items()]
    return Request(
        {"type": "http", "path": "/v1/x", "headers": pairs, "client": ("10.0.0.7", 5)}
        | {"state": state}
    )  # fmt: skip


async def test_a_caller_has_the_key_the_address_and_the_route() -> None:
    principal = Principal("id", "app")
    caller = await caller_of(request(principal=principal, request_id="req-1"))
    assert (caller.principal, caller.request_id) == (principal, "req-1")
    assert (caller.ip, caller.route, caller.retry) == ("10.0.0.7", "/v1/x", 0)


@pytest.mark.parametrize(
    ("value", "count"), [("2", 2), ("0", 0), ("", 0), ("-1", 0), ("x", 0), ("9" * 99, 0), ("²", 0)]
)
async def test_the_retry_count_is_a_small_number_or_nothing(value: str, count: int) -> None:
    header = {"x-stainless-retry-count": value}
    made = request(header, principal=Principal("id", "app"), request_id="r")
    assert (await caller_of(made)).retry == count


async def test_a_request_that_passed_no_gate_has_no_caller() -> None:
    with pytest.raises(Unauthenticated):
        await caller_of(request(request_id="r"))


def in_the_thread_pool(app: FastAPI) -> set[str]:
    """The dependencies of routes that are plain functions: each costs a thread for each request."""
    found, seen = set(), list[Dependant]()
    for context in iter_route_contexts(app.routes):
        if isinstance(context.original_route, APIRoute):
            seen += context.original_route.dependant.dependencies
            seen += context.dependant.dependencies if context.dependant else []
    for asked in seen:
        seen += asked.dependencies
        call = asked.call
        runs = call if inspect.isroutine(call) else getattr(call, "__call__")  # noqa: B004, B009
        if not inspect.iscoroutinefunction(runs):
            found.add(repr(call))
    return found


def test_no_dependency_goes_through_the_thread_pool(real_services: Services) -> None:
    assert in_the_thread_pool(create_lan_app(real_services)) == set()
    assert in_the_thread_pool(create_admin_app(real_services)) == set()


def test_the_control_a_plain_dependency_is_found_at_any_depth() -> None:
    def plain() -> None: ...
    async def asks(_: Annotated[None, Depends(plain)]) -> None: ...

    router = APIRouter(dependencies=[Depends(asks)])
    router.get("/x")(lambda: None)
    app = FastAPI()
    app.include_router(router)
    assert in_the_thread_pool(app) == {repr(plain)}
    app = FastAPI()
    router = APIRouter()
    router.get("/x")(lambda: None)
    app.include_router(router, dependencies=[Depends(plain)])
    assert in_the_thread_pool(app) == {repr(plain)}
