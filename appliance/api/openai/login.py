"""`POST /v1/sessions/login`: a person signs in at a login service, where `page_key` is set.

Rules: it needs no key, since the code stands for a person; the session is one of the key of the
page, which must be for verified people, so that nothing is answered without one.
"""

from dataclasses import replace
from typing import TYPE_CHECKING

from fastapi import APIRouter, Request

from appliance.api.deps import services_of
from appliance.api.openai.sessions import LOGIN, begun
from appliance.errors import Unavailable
from appliance.people.code_flow import BroughtCode, CodeFlow
from appliance.types import Caller, Principal
from appliance.wire.openai.sessions import SessionBegun, SessionLogin

if TYPE_CHECKING:
    from appliance.app import Services

router = APIRouter(tags=["sessions"])


@router.post(LOGIN)
async def login(request: Request, body: SessionLogin) -> SessionBegun:
    """A session of the person whom a login service vouches for, until their token ends."""
    services = services_of(request)
    flow: CodeFlow = request.app.state.code_flow
    key = key_of_page(services)
    person, token = await flow.sign_in(BroughtCode(**body.model_dump()), key.key_id)
    caller = Caller(
        principal=replace(key, person=person),
        request_id=request.scope["state"]["request_id"],
        ip=request.client.host if request.client else "",
        route=LOGIN,
    )
    return await begun(request, caller, "", token)


def key_of_page(services: "Services") -> Principal:
    """The holder of the page's key. `people_unavailable` where none is for verified people."""
    name, now = services.config.people.page_key, services.clock.wall_us()
    key = next((k for k in services.keys.list() if k.name == name and k.live(now)), None)
    if key is None or not key.person:
        message = f"No key {name!r} is for verified people: appliance key new {name} --person."
        raise Unavailable("people_unavailable", message)
    return services.keys.holder(key.id)
