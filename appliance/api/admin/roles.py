"""Rights of each role on the admin socket.

Rules: root and the owner of the data directory are admins always; `[admin.roles]` gives other users
and groups a role; of several the highest counts. Names are resolved once, at start: an unknown one
gives no right and is reported. With a directory only its people have a role, also by its groups;
root and the owner are not looked up, so an outage does not lock them out.
"""

import grp
import pwd
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

from appliance.config import RolesConfig
from appliance.types import PEOPLE, Role

_ORDER = tuple(Role)
_ROOT = 0


@dataclass(frozen=True)
class RoleTable:
    """`[admin.roles]` with the names turned into ids; `unresolved` are those the host lacks.

    Attributes:
        people: by groups of `[groups]`.
        directory: the one that lists all people with a role; "" for none.
    """

    users: Mapping[int, Role]
    groups: Mapping[int, Role]
    unresolved: tuple[str, ...] = ()
    people: Mapping[str, Role] = field(default_factory=dict)
    directory: str = ""


def allows(role: Role, needed: Role) -> bool:
    """True if a role includes `needed`: each includes the lower ones."""
    return _ORDER.index(role) >= _ORDER.index(needed)


def unquestioned(uid: int, owner_uid: int) -> bool:
    """True of root and the owner of the data directory."""
    return uid in (_ROOT, owner_uid)


def resolve_role(
    uid: int,
    gids: Collection[int],
    owner_uid: int,
    roles: RoleTable,
    people: Collection[str] = (),
) -> Role | None:
    """The highest role of a peer, or None when it has none.

    Args:
        people: groups of `[groups]` in which a directory lists the peer.
    """
    if unquestioned(uid, owner_uid):
        return Role.ADMIN
    held = [roles.users.get(uid), *(roles.groups.get(gid) for gid in gids)]
    held += [roles.people.get(name) for name in people]
    return max((role for role in held if role), key=_ORDER.index, default=None)


def role_table(config: RolesConfig) -> RoleTable:
    """Resolve the configured names: each is a user name, a group name or a uid."""
    users: dict[int, Role] = {}
    groups: dict[int, Role] = {}
    people: dict[str, Role] = {}
    unresolved = []
    for role in _ORDER:  # upwards, so that the highest role of a name stays
        for name in getattr(config, role.value):
            if name.startswith(PEOPLE):
                people[name.removeprefix(PEOPLE)] = role
                continue
            uid, gid = _user(name), _group(name)
            if uid is not None:
                users[uid] = role
            if gid is not None:
                groups[gid] = role
            if uid is None and gid is None:
                unresolved.append(name)
    return RoleTable(users, groups, tuple(unresolved), people, config.directory)


def _user(name: str) -> int | None:
    if name.isascii() and name.isdecimal():
        return int(name)
    try:
        return pwd.getpwnam(name).pw_uid
    except KeyError:
        return None


def _group(name: str) -> int | None:
    try:
        return grp.getgrnam(name).gr_gid
    except KeyError:
        return None
