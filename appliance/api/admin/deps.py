"""What every admin route asks for: the services, and a caller whose role suffices.

Rules: no route without `Viewer`, `Operator`, `Approver` or `Admin` in its signature (a test
walks them); the role comes from the peer of the socket alone.
"""

import pwd
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Annotated

from fastapi import Depends, Request

from appliance.api.admin.peer import Peer
from appliance.api.admin.roles import RoleTable, allows, resolve_role
from appliance.app import Services
from appliance.errors import Forbidden
from appliance.types import Role


@dataclass(frozen=True)
class AdminState:
    """What the app was made with.

    Attributes:
        served: a server runs; False when one command uses the app by itself.
        url: where the LAN listener answers, or would if a server ran.
        owner_uid: owner of the data directory.
    """

    services: Services
    roles: RoleTable
    owner_uid: int
    served: bool
    url: str


@dataclass(frozen=True)
class Person:
    """Who calls: `actor` is how the audit log names them."""

    uid: int
    role: Role

    @property
    def actor(self) -> str:
        """The name in the audit log."""
        return f"uid:{self.uid}"

    @property
    def name(self) -> str:
        """The name of the user on this host, by which label queues name raters."""
        try:
            return pwd.getpwuid(self.uid).pw_name
        except KeyError:
            return self.actor


async def _state(request: Request) -> AdminState:
    state: AdminState = request.app.state.admin
    return state


def require(needed: Role) -> Callable[..., Awaitable[Person]]:
    """A dependency that lets a caller with this role or a higher one pass.

    The dependency raises:
        Forbidden: `forbidden`.
    """

    async def check(request: Request, state: Annotated[AdminState, Depends(_state)]) -> Person:
        peer: Peer | None = getattr(request.state, "peer", None)
        if peer is None:
            raise Forbidden("forbidden", "The caller's user is not known.")
        role = resolve_role(peer.uid, peer.gids, state.owner_uid, state.roles)
        if role is None:
            raise Forbidden("forbidden", f"uid {peer.uid} has no role on this appliance.")
        person = Person(peer.uid, role)
        demand(person, needed)
        return person

    return check


def demand(person: Person, needed: Role) -> None:
    """Refuse a person whose role is lower.

    Raises:
        Forbidden: `forbidden`.
    """
    if not allows(person.role, needed):
        raise Forbidden(
            "forbidden", f"This needs the role {needed}; uid {person.uid} has {person.role}."
        )


async def _services(state: Annotated[AdminState, Depends(_state)]) -> Services:
    return state.services


State = Annotated[AdminState, Depends(_state)]
ServicesDep = Annotated[Services, Depends(_services)]
Viewer = Annotated[Person, Depends(require(Role.VIEWER))]
Operator = Annotated[Person, Depends(require(Role.OPERATOR))]
Approver = Annotated[Person, Depends(require(Role.APPROVER))]
Admin = Annotated[Person, Depends(require(Role.ADMIN))]
