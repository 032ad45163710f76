"""Schemas of upstreams."""

from typing import Annotated, Any

from pydantic import Field

from appliance.wire.admin.base import Reply, Request
from appliance.wire.admin.models import Approval


class UpstreamHost(Reply):
    """A host; `record` is what people approve, and its digest what their approvals name.

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
    """An upstream; `broken` says why it cannot be used as it is configured."""

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
    """Whether a host gets no new requests."""

    url: Annotated[str, Field(max_length=300)]
    drained: bool
