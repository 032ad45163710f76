"""Incidents: alarms from their beginning to their end."""

from typing import Final, Literal

from pydantic import Field

from appliance.wire.admin.base import Reply, Request
from appliance.wire.admin.columns import ColumnKind, ListColumn, ListTable
from appliance.wire.admin.endpoint import operators, viewers


class Incident(Reply):
    """One alarm.

    `level` is "critical" (somebody must act now) or "warning" (soon). `subject` is "" for the
    appliance as a whole; `times` counts its beginnings; `ended` is null while it lasts; `acked_by`
    is "" while nobody takes care of it.
    """

    id: int = 0
    code: str
    level: Literal["critical", "warning"]
    subject: str = ""
    message: str
    since: str
    next: str
    times: int = 1
    ended: str | None = None
    acked: str | None = None
    acked_by: str = ""
    note: str = ""


class IncidentList(Reply):
    """Open incidents first, then the newest."""

    incidents: list[Incident]


class Acknowledge(Request):
    """A person's word that they take care of it; `note` goes into the log."""

    note: str = Field(default="", max_length=1_000)


def state_of(incident: Incident) -> str:
    """The state: its level while it lasts, or that it was acknowledged or is over."""
    if incident.ended is not None:
        return "over"
    return "acknowledged" if incident.acked_by else incident.level


INCIDENTS = viewers.get("/admin/incidents{?ended}", IncidentList)
INCIDENT = viewers.get("/admin/incidents/{number}", Incident)
INCIDENT_ACK = operators.post("/admin/incidents/{number}/ack", Acknowledge, Incident)
INCIDENT_TABLE: Final[ListTable[Incident]] = ListTable(
    "No incidents. See past ones with `appliance incident list --all`.",
    (
        ListColumn("ID", lambda one: one.id, ColumnKind.COUNT),
        ListColumn("STATE", state_of, ColumnKind.STATE),
        ListColumn("CODE", lambda one: one.code),
        ListColumn("SUBJECT", lambda one: one.subject or None),
        ListColumn("SINCE", lambda one: one.since),
        ListColumn("TIMES", lambda one: one.times, ColumnKind.COUNT),
        ListColumn("BY", lambda one: one.acked_by or None),
    ),
)
