"""`/v1/sessions`: begin a session of a browser, end it, end all of the key.

Rules: the token is in no log; beginning and ending are recorded first.
"""

from typing import Final

from fastapi import APIRouter, Request

from appliance.api.deps import CallerDep, services_of
from appliance.api.json_body import JsonRoute
from appliance.api.transport import secret_of
from appliance.audit.appending import append
from appliance.audit.log import Draft
from appliance.auth.sessions import PREFIX, PersonSessions
from appliance.errors import Forbidden
from appliance.types import Caller, Json
from appliance.wire.openai.sessions import SessionBegin, SessionBegun, SessionsEnded

router = APIRouter(tags=["sessions"], route_class=JsonRoute)
LOGIN: Final = "/v1/sessions/login"
"""Where a person signs in with a code of a login service, where that is switched on."""
_SECOND_US: Final = 1_000_000


@router.post("/v1/sessions")
async def begin_session(request: Request, caller: CallerDep, _body: SessionBegin) -> SessionBegun:
    """A token in place of the key for eight hours, so that a page need not keep the key."""
    secret = secret_of(request.headers)
    if secret.startswith(PREFIX):
        raise Forbidden("forbidden", "A session begins with a key, not with another session.")
    return await begun(request, caller, secret)


async def begun(request: Request, caller: Caller, secret: str, token: str = "") -> SessionBegun:
    """A session that has begun, and is recorded."""
    await _record(request, caller, "session_begin")
    who, person = caller.principal, caller.principal.known
    session, name = _sessions(request).begin(who, secret, token)
    return SessionBegun(
        token=name,
        expires=session.until_us // _SECOND_US,
        name=who.name if person is None else person.name or person.subject,
        answers=who.answers,
    )


@router.delete("/v1/sessions/this")
async def end_session(request: Request, caller: CallerDep) -> SessionsEnded:
    """End the session that asks."""
    await _record(request, caller, "session_end", all=False)
    return SessionsEnded(ended=_sessions(request).end(secret_of(request.headers)))


@router.delete("/v1/sessions")
async def end_sessions(request: Request, caller: CallerDep) -> SessionsEnded:
    """End all sessions of the key, or of the person under it; the key itself stays good."""
    ended = _sessions(request).end_all(caller.principal)
    await _record(request, caller, "session_end", all=True)
    return SessionsEnded(ended=ended)


def _sessions(request: Request) -> PersonSessions:
    found: PersonSessions = request.app.state.sessions
    return found


async def _record(request: Request, caller: Caller, action: str, **fields: Json) -> None:
    actor = f"key:{caller.principal.key_id}"
    said = {"ip": caller.ip, **caller.named(), **fields}
    named: dict[str, Json] = {"action": action, "actor": actor, **said}
    draft = Draft("admin", named, caller.texts(), caller.principal.content)
    await append(services_of(request).audit, draft)
