"""Incidents: what is wrong, since when, and who takes care of it."""

from typing import Any, ClassVar

from textual.content import Content

from appliance.wire.admin import incidents as wire
from tui.change import Blank, Change, asking
from tui.desk import Desk
from tui.keys import Act
from tui.screens.listing import DetailPage
from tui.view import incidents as view
from tui.widgets.part import Part
from tui.widgets.rows import Rows


class IncidentsPage(DetailPage[wire.Incident]):
    """Open incidents."""

    TITLE: ClassVar[str] = "Incidents"
    ALARMED: ClassVar[bool] = False
    COMMAND: ClassVar[str] = "incident show"
    AT = wire.INCIDENTS
    ACTS: ClassVar[tuple[Act, ...]] = (
        Act("a", "acknowledge", "Acknowledge", wire.INCIDENT_ACK.role, many=True),
    )

    def __init__(self, desk: Desk) -> None:
        empty = wire.INCIDENT_TABLE.empty
        rows = Rows("incidents", view.COLUMNS, lambda one: str(one.id), self._cells, empty)
        super().__init__(desk, rows, Part("incident", "INCIDENT"))

    def came(self, answer: wire.IncidentList) -> None:
        self.found = answer.incidents

    def summed(self) -> Content:
        return view.summary(self.found, self.rows.count)

    def said(self, item: wire.Incident, width: int) -> list[Content]:
        return view.detail(item, width)

    def _cells(self, item: wire.Incident) -> Any:
        return view.row(item, self.desk.wall())

    def refuses(self, act: str, item: wire.Incident) -> str:
        return f"{item.acked_by} takes care of it" if item.acked_by else ""

    def make(self, act: str, item: wire.Incident) -> Change | None:
        return asking(
            self.desk.client,
            wire.INCIDENT_ACK,
            f"Acknowledge {item.code} {item.subject}".rstrip(),
            f"admin: incident_ack {item.id}, by you",
            lambda done: f"{done.code} is acknowledged by {done.acked_by}",
            request=lambda answers: wire.Acknowledge(note=answers["note"]),
            blanks=(Blank("note", "Note"),),
            explain=("It stays open until its cause is gone.",),
            number=item.id,
        )
