"""Receivers of the audit log, as people see them."""

from typing import Final

from appliance.wire.admin.base import Reply
from appliance.wire.admin.columns import ColumnKind, ListColumn, ListTable
from appliance.wire.admin.endpoint import viewers


class LogReceiver(Reply):
    """One receiver: it has the entries before `next`, and may lack `behind` of them.

    `oldest` is the time of the first unsent; `problem` is why nothing is sent, or "", since
    `since`. `repeats` were sent again since the start.
    """

    name: str
    to: str
    next: int
    behind: int
    oldest: str | None
    problem: str
    since: str
    repeats: int


class LogReceiverList(Reply):
    """The receivers of `[forward]`."""

    receivers: list[LogReceiver]


RECEIVERS = viewers.get("/admin/audit/receivers", LogReceiverList)
RECEIVER_TABLE: Final[ListTable[LogReceiver]] = ListTable(
    'No receivers. Add one with [forward."NAME"] in appliance.toml: docs/config.md.',
    (
        ListColumn("NAME", lambda one: one.name),
        ListColumn("STATE", lambda one: "down" if one.problem else "live", ColumnKind.STATE),
        ListColumn("TO", lambda one: one.to),
        ListColumn("BEHIND", lambda one: one.behind, ColumnKind.COUNT),
        ListColumn("OLDEST", lambda one: one.oldest),
        ListColumn("PROBLEM", lambda one: one.problem or None),
    ),
)
