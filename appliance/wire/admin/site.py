"""The other appliances of a site, as people see them."""

from typing import Final

from pydantic import Field

from appliance.text import ago
from appliance.wire.admin.base import Reply, Request
from appliance.wire.admin.columns import ColumnKind, ListColumn, ListTable
from appliance.wire.admin.endpoint import admins, viewers


class SitePeer(Reply):
    """Another appliance: it knows `cosigned` entries of our log, we know `seen` ones of its log.

    `behind` counts entries of our log that it does not know, `mirrored` those of its mirror; it
    gave documents `heard_seconds` ago. `problem` is why it does not cosign now, `differs` how one
    of the two logs is not what was seen of it before, `documents` why no documents come from it,
    and `mirror` why it takes no entries; each may be "".
    """

    name: str
    url: str
    cosigned: int
    cosigned_at: str | None
    seen: int
    seen_at: str | None
    problem: str
    differs: str
    documents: str = ""
    behind: int = 0
    heard_seconds: float | None = None
    mirrored: int | None = None
    mirror: str = ""


class SiteDocument(Reply):
    """A document that was refused, or waits, with the code of the reason."""

    kind: str
    code: str
    message: str


class SitePeerList(Reply):
    """The peers of `[peers]`, and this appliance in its site.

    Attributes:
        member: its name in the trust policy; "" where that does not list it.
        stale: it has heard no other appliance for too long.
        waiting: documents that do not hold here yet.
    """

    peers: list[SitePeer]
    member: str = ""
    stale: bool = False
    refused: list[SiteDocument] = Field(default=[])
    waiting: list[SiteDocument] = Field(default=[])


class SiteKeys(Reply):
    """The keys by which peers know this appliance."""

    log_key: str
    witness_key: str


class SiteJoin(Request):
    """The name under which this appliance asks to be listed; `pin` names its certificate, too."""

    name: str = Field(min_length=1, max_length=100)
    pin: bool = False


class SiteRequest(Reply):
    """A signed request to be listed, for the ceremony."""

    request: str
    key: str


class SiteLine(Request):
    """A document as it travels."""

    kind: str = Field(max_length=100)
    envelope: str = Field(max_length=1 << 20)


class SiteDocuments(Request):
    """Documents of a site, for a stick or from one."""

    documents: list[SiteLine] = Field(max_length=100_000)


class SiteExport(Reply):
    """Every document that is kept here."""

    documents: list[SiteLine]


class SiteTaken(Reply):
    """The number of documents that were new, and those that were refused."""

    new: int
    refused: list[SiteDocument]


SITE = viewers.get("/admin/site", SitePeerList)
SITE_KEYS = viewers.get("/admin/site/keys", SiteKeys)
SITE_EXPORT = viewers.get("/admin/site/documents", SiteExport)
SITE_IMPORT = admins.post("/admin/site/documents", SiteDocuments, SiteTaken)
SITE_JOIN = admins.post("/admin/site/join", SiteJoin, SiteRequest)


def state_of(peer: SitePeer) -> str:
    """One word for the state of a peer."""
    if peer.differs:
        return "differs"
    return "down" if why(peer) else "live"


def why(peer: SitePeer) -> str:
    """The first thing that is wrong with a peer."""
    return peer.differs or peer.problem or peer.documents or peer.mirror


PEER_TABLE: Final[ListTable[SitePeer]] = ListTable(
    'No peers. Add one with [peers."NAME"] in appliance.toml: docs/config.md.',
    (
        ListColumn("NAME", lambda one: one.name),
        ListColumn("STATE", state_of, ColumnKind.STATE),
        ListColumn("HEARD", lambda one: ago(one.heard_seconds)),
        ListColumn("BEHIND", lambda one: one.behind, ColumnKind.COUNT),
        ListColumn("COSIGNED", lambda one: one.cosigned, ColumnKind.COUNT),
        ListColumn("COSIGNED AT", lambda one: one.cosigned_at, ColumnKind.MOMENT),
        ListColumn("SEEN", lambda one: one.seen, ColumnKind.COUNT),
        ListColumn("SEEN AT", lambda one: one.seen_at, ColumnKind.MOMENT),
        ListColumn("PROBLEM", lambda one: why(one) or None),
    ),
)
