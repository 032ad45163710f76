"""An endpoint of the admin socket, said once for the routes, the client and the documentation.

Rules: a module of `wire.admin` has its endpoints next to their schemas; a name in a path is checked
before it is sent, so that it can name nothing else.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from types import NoneType
from typing import Any, Final, Generic, Literal, TypeAlias, TypeVar, overload

from pydantic import BaseModel

from appliance.errors import Refused
from appliance.types import Role

Q = TypeVar("Q", bound=BaseModel | None)
R = TypeVar("R", bound=BaseModel | bytes)
Named: TypeAlias = str | int | None

_NAME: Final = r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}"
_IDENTIFIER: Final = re.compile(f"{_NAME}(:{_NAME})?", re.ASCII)  # an adapter's is BASE:NAME
_UNKNOWN: Final = {
    "/admin/models": "unknown_model_id",
    "/admin/routes": "unknown_model_id",
    "/admin/task-names": "unknown_model_id",
    "/admin/gates/ledger": "unknown_model_id",
    "/admin/gates/certificates": "evaluation_missing",
    "/admin/collections": "collection_not_found",
    "/admin/keys": "unknown_key_id",
    "/admin/labels": "label_queue_unknown",
    "/admin/upstreams": "upstream_unknown",
    "/admin/advice": "advice_missing",
    "/admin/drift": "drift_missing",
    "/admin/incidents": "incident_unknown",
    "/admin/queue": "queue_item_unknown",
}
"""The code of a name that can name nothing there."""


@dataclass(frozen=True)
class Endpoint(Generic[Q, R]):
    """One method of one path.

    Attributes:
        path: a URI template (RFC 6570) with `{name}` in it and `{?name}` at its end.
        request: the body; with GET the query.
        reply: bytes for a file.
        role: the lowest that may; a handler may ask for more.
        slow: the answer may take any time.
        streams: the answer is lines of progress, the last with the reply.
    """

    method: Literal["GET", "POST"]
    path: str
    request: type[Q]
    reply: type[R]
    role: Role
    slow: bool = False
    streams: bool = False

    @property
    def route(self) -> str:
        return self.path.partition("{?")[0]

    @property
    def names(self) -> frozenset[str]:
        return frozenset(re.findall(r"{(\w+)}", self.route))

    @property
    def query(self) -> frozenset[str]:
        return frozenset(re.findall(r"\w+", self.path.partition("{?")[2]))

    @property
    def unknown(self) -> str:
        found = (code for under, code in _UNKNOWN.items() if self.route.startswith(under))
        return next(found, "not_found")

    def filled(self, given: Mapping[str, Named]) -> tuple[str, dict[str, Named]]:
        """Fill the path, and return it with the query.

        Raises:
            Refused: a name is not valid.
            TypeError: the names are not those that it has.
        """
        names = {name: value for name, value in given.items() if name not in self.query}
        if names.keys() != self.names:
            raise TypeError(f"{self.method} {self.path} has not exactly {sorted(names)}.")
        path = self.route.format_map({name: self._part(value) for name, value in names.items()})
        return path, {n: v for n, v in given.items() if n in self.query and v is not None}

    def said(self, **names: Named) -> str:
        """For a person."""
        return f"{self.method} {self.route.format_map(names)}"

    def _part(self, value: Named) -> str:
        if isinstance(value, int):
            return f"{value:d}"
        if value is None or not _IDENTIFIER.fullmatch(value):
            raise Refused(self.unknown, f"{value!r} is not an id.")
        return value


@dataclass(frozen=True)
class RoleEndpoints:
    """Makes the endpoints that ask for a role."""

    role: Role

    def get(self, path: str, reply: type[R], *, slow: bool = False) -> Endpoint[None, R]:
        """A read."""
        return Endpoint("GET", path, NoneType, reply, self.role, slow)

    def query(self, path: str, request: type[Q], reply: type[R]) -> Endpoint[Q, R]:
        """A read with a struct as its query."""
        return Endpoint("GET", path, request, reply, self.role)

    @overload
    def post(
        self, path: str, reply: type[R], /, *, slow: bool = ..., streams: bool = ...
    ) -> Endpoint[None, R]: ...

    @overload
    def post(
        self, path: str, request: type[Q], reply: type[R], /, *, slow: bool = ...,
        streams: bool = ...,
    ) -> Endpoint[Q, R]: ...  # fmt: skip

    def post(self, path: str, /, *kinds: Any, slow: bool = False, streams: bool = False) -> Any:
        """A change, or a request with a body."""
        request, reply = (NoneType, *kinds)[-2:]
        return Endpoint("POST", path, request, reply, self.role, slow, streams)


viewers, operators, approvers, admins = map(RoleEndpoints, Role)
