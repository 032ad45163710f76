"""The routes of the endpoints, and their dependencies: the services, and a caller.

Rules: the endpoint has the lowest role; the caller's role comes from the peer of the socket only.
"""

import pwd
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Annotated, Any, ParamSpec, TypeAlias

from fastapi import APIRouter, Depends, Path, Request, Response

from appliance.api.admin.peer import Peer
from appliance.api.admin.roles import RoleTable, allows, resolve_role, unquestioned
from appliance.app import Services
from appliance.errors import Forbidden
from appliance.types import Json, Role
from appliance.wire.admin.endpoint import Endpoint, R

P = ParamSpec("P")
JobId: TypeAlias = Annotated[int, Path(ge=1, lt=1 << 53)]
Handler: TypeAlias = Callable[P, R | Response | Awaitable[R | Response]]


@dataclass(frozen=True)
class AdminState:
    """Parts that the app was made with."""

    services: Services
    roles: RoleTable
    owner_uid: int
    served: bool
    url: str


@dataclass(frozen=True)
class Person:
    """The caller; `actor` is their name in the audit log."""

    uid: int
    role: Role

    @property
    def actor(self) -> str:
        return f"uid:{self.uid}"

    @property
    def name(self) -> str:
        """The user's name on this host, by which label queues name raters."""
        return user_name(self.uid)


def user_name(uid: int) -> str:
    """The name of a user on this host, or `uid:NUMBER`."""
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return f"uid:{uid}"


async def _state(request: Request) -> AdminState:
    state: AdminState = request.app.state.admin
    return state


async def _caller(request: Request, state: Annotated[AdminState, Depends(_state)]) -> Person:
    peer: Peer | None = getattr(request.state, "peer", None)
    if peer is None:
        raise Forbidden("forbidden", "The caller's user is not known.")
    groups = frozenset[str]()
    if state.roles.directory and not unquestioned(peer.uid, state.owner_uid):
        people, name = state.services.end_users, user_name(peer.uid)
        found = await people.looked_up(name, state.roles.directory)
        groups = found.groups
        said: dict[str, Json] = {"end_user": found.alias, "end_user_from": found.source}
        state.services.audit.people[f"uid:{peer.uid}"] = said
    role = resolve_role(peer.uid, peer.gids, state.owner_uid, state.roles, groups)
    if role is None:
        raise Forbidden("forbidden", f"uid {peer.uid} has no role on this appliance.")
    return Person(peer.uid, role)


def demand(person: Person, needed: Role) -> None:
    """Refuse a person whose role is lower."""
    if not allows(person.role, needed):
        raise Forbidden(
            "forbidden", f"This needs the role {needed}; uid {person.uid} has {person.role}."
        )


async def _services(state: Annotated[AdminState, Depends(_state)]) -> Services:
    return state.services


State = Annotated[AdminState, Depends(_state)]
ServicesDep = Annotated[Services, Depends(_services)]
PersonDep = Annotated[Person, Depends(_caller)]


@dataclass(frozen=True)
class RoleNeeded:
    """A dependency that lets callers with this role or a higher one pass."""

    role: Role

    async def __call__(self, person: PersonDep) -> None:
        demand(person, self.role)


class Routes(APIRouter):
    """Routes of endpoints."""

    def serves(self, at: Endpoint[Any, R]) -> Callable[[Handler[P, R]], Handler[P, R]]:
        """Make the decorated function answer an endpoint."""

        def added(handler: Handler[P, R]) -> Handler[P, R]:
            needs = [Depends(RoleNeeded(at.role))]
            self.add_api_route(at.route, handler, methods=[at.method], dependencies=needs)
            return handler

        return added
