"""Dependencies of routes: the services and the caller.

Rules: a dependency is a coroutine, since the framework sends a plain function to the thread pool.
"""

import base64
import binascii
from dataclasses import replace
from typing import TYPE_CHECKING, Annotated

from fastapi import Depends, Request

from appliance.errors import Unauthenticated
from appliance.types import Caller, ClientIds

if TYPE_CHECKING:
    from appliance.app import Services


def services_of(request: Request) -> "Services":
    """The services of the app."""
    services: Services = request.app.state.services
    return services


async def caller_of(request: Request) -> Caller:
    """The app behind a request, as `transport.KeyGate` let it pass.

    `invalid_api_key` when it passed no gate.
    """
    principal = request.scope["state"].get("principal")
    if principal is None:
        raise Unauthenticated("invalid_api_key", "This address needs an API key.")
    return Caller(
        principal=principal,
        request_id=request.scope["state"]["request_id"],
        ip=request.client.host if request.client else "",
        route=request.scope["path"],
        client=request.scope["state"].get("client", ClientIds()),
        retry=_count(request.headers.get("x-stainless-retry-count", "")),
    )


def asking_for(request: Request, caller: Caller, name: str) -> Caller:
    """The caller with the end user of a body, unless a header named one."""
    if caller.principal.person is not None or not name:
        return caller
    person = services_of(request).end_users.claimed(name)
    return replace(caller, principal=replace(caller.principal, person=person))


def _count(value: str) -> int:
    return int(value) if value.isascii() and value.isdecimal() and len(value) <= 3 else 0


CallerDep = Annotated[Caller, Depends(caller_of)]


def in_header(request: Request, name: str) -> bytes:
    """Bytes in base64; none for what is not."""
    try:
        return base64.b64decode(request.headers.get(name, ""), validate=True)
    except binascii.Error:
        return b""
