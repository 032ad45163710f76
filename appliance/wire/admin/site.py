"""The other appliances of a site, as people see them."""

from typing import Final

from appliance.wire.admin.base import Reply
from appliance.wire.admin.columns import ColumnKind, ListColumn, ListTable
from appliance.wire.admin.endpoint import viewers


class SitePeer(Reply):
    """Another appliance: it knows `cosigned` entries of our log, we know `seen` ones of its log.

    `problem` is why it does not cosign now, and `differs` how one of the two logs is not what was
    seen of it before; both may be "".
    """

    name: str
    url: str
    cosigned: int
    cosigned_at: str | None
    seen: int
    seen_at: str | None
    problem: str
    differs: str


class SitePeerList(Reply):
    """The peers of `[peers]`."""

    peers: list[SitePeer]


class SiteKeys(Reply):
    """The keys by which peers know this appliance."""

    log_key: str
    witness_key: str


SITE = viewers.get("/admin/site", SitePeerList)
SITE_KEYS = viewers.get("/admin/site/keys", SiteKeys)


def state_of(peer: SitePeer) -> str:
    """One word for the state of a peer."""
    if peer.differs:
        return "differs"
    return "down" if peer.problem else "live"


PEER_TABLE: Final[ListTable[SitePeer]] = ListTable(
    'No peers. Add one with [peers."NAME"] in appliance.toml: docs/config.md.',
    (
        ListColumn("NAME", lambda one: one.name),
        ListColumn("STATE", state_of, ColumnKind.STATE),
        ListColumn("COSIGNED", lambda one: one.cosigned, ColumnKind.COUNT),
        ListColumn("COSIGNED AT", lambda one: one.cosigned_at),
        ListColumn("SEEN", lambda one: one.seen, ColumnKind.COUNT),
        ListColumn("SEEN AT", lambda one: one.seen_at),
        ListColumn("PROBLEM", lambda one: one.differs or one.problem or None),
    ),
)
