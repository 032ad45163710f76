"""Schemas of upstreams."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Final

from pydantic import Field

from appliance.wire.admin.base import Reply, Request
from appliance.wire.admin.columns import ColumnKind, ListColumn, ListTable
from appliance.wire.admin.endpoint import admins, approvers, operators, viewers
from appliance.wire.admin.models import Approval


class UpstreamHost(Reply):
    """A host; people approve `record`, and their approvals name its digest.

    `probed_seconds` is how long ago the newest probe ended; null before one did.
    """

    url: str
    state: str
    approvals: list[Approval] = Field(default=[])
    record: dict[str, Any] | None = None
    outstanding: int = 0
    breaker: str = ""
    problem: str = ""
    suspect: str = ""
    tripped: str = ""
    probed_seconds: float | None = None


class Upstream(Reply):
    """An upstream; `broken` says why it cannot be used as configured."""

    name: str
    kind: str
    model: str
    identity: str = ""
    identity_is: str = "claimed"
    hosts: list[UpstreamHost] = Field(default=[])
    broken: str = ""


class UpstreamList(Reply):
    """All upstreams."""

    upstreams: list[Upstream]


class UpstreamApproval(Request):
    """An approval of one host, as it was signed."""

    url: Annotated[str, Field(max_length=300)]
    envelope: Annotated[str, Field(max_length=64 << 10)]


class UpstreamDrain(Request):
    """Wish that a host gets no new requests."""

    url: Annotated[str, Field(max_length=300)]
    drained: bool


@dataclass(frozen=True)
class HostOf:
    """A host of an upstream; None where the upstream cannot be used as configured."""

    upstream: Upstream
    host: UpstreamHost | None

    @property
    def key(self) -> str:
        """Key that distinguishes it from all others."""
        return f"{self.upstream.name} {self.host.url if self.host is not None else ''}"

    @property
    def why(self) -> str:
        if self.host is None:
            return self.upstream.broken
        return self.host.tripped or self.host.suspect or self.host.problem


def hosts_of(found: Sequence[Upstream]) -> list[HostOf]:
    """One for each host."""
    return [HostOf(one, host) for one in found for host in one.hosts or (None,)]


UPSTREAMS = viewers.get("/admin/upstreams", UpstreamList)
UPSTREAM = viewers.get("/admin/upstreams/{name}", Upstream)
UPSTREAM_LEARN = admins.post("/admin/upstreams/{name}/learn", Upstream, slow=True)
UPSTREAM_APPROVE = approvers.post("/admin/upstreams/{name}/approvals", UpstreamApproval, Upstream)
UPSTREAM_PROBE = operators.post("/admin/upstreams/{name}/probe", Upstream, slow=True)
UPSTREAM_DRAIN = operators.post("/admin/upstreams/{name}/drain", UpstreamDrain, Upstream)
UPSTREAMS_RELOAD = operators.post("/admin/upstreams/reload", UpstreamList, slow=True)
UPSTREAM_TABLE: Final[ListTable[HostOf]] = ListTable(
    "No upstreams. Add one in [upstreams] of appliance.toml.",
    (
        ListColumn("NAME", lambda one: one.upstream.name),
        ListColumn("KIND", lambda one: one.upstream.kind),
        ListColumn("HOST", lambda one: one.host.url if one.host else None),
        ListColumn("STATE", lambda one: one.host.state if one.host else "broken", ColumnKind.STATE),
        ListColumn(
            "RUNNING", lambda one: one.host.outstanding if one.host else None, ColumnKind.COUNT
        ),
        ListColumn("NEWEST PROBLEM", lambda one: one.why or None),
    ),
)
