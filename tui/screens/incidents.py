"""Incidents: what is wrong, since when, and who takes care of it."""

from typing import Any, ClassVar

from textual.binding import Binding, BindingType
from textual.content import Content

from appliance.types import Role
from appliance.wire.admin import incidents as wire
from tui.change import Blank, asking
from tui.desk import Desk
from tui.screens.listing import DetailPage
from tui.view import incidents as view
from tui.widgets.part import Part
from tui.widgets.rows import Rows


class IncidentsPage(DetailPage[wire.Incident]):
    """Open incidents."""

    TITLE: ClassVar[str] = "Incidents"
    AT = wire.INCIDENTS
    BINDINGS: ClassVar[list[BindingType]] = [Binding("K", "acknowledge", "Acknowledge")]
    NEEDS: ClassVar[dict[str, Role]] = {"acknowledge": wire.INCIDENT_ACK.role}

    def __init__(self, desk: Desk) -> None:
        empty = wire.INCIDENT_TABLE.empty
        rows = Rows("incidents", view.COLUMNS, lambda one: str(one.id), self._cells, empty)
        super().__init__(desk, rows, Part("incident"))

    def came(self, answer: wire.IncidentList) -> None:
        """The open incidents."""
        self.found = answer.incidents

    def words(self, item: wire.Incident) -> str:
        """Text that the filter searches."""
        return f"{wire.state_of(item)} {item.code} {item.subject} {item.message} {item.acked_by}"

    def summed(self) -> Content:
        """Summary line."""
        return view.summary(self.found, self.rows.count)

    def said(self, item: wire.Incident, width: int) -> list[Content]:
        """The incident under the cursor."""
        return view.detail(item, width)

    def _cells(self, item: wire.Incident) -> Any:
        return view.row(item, self.desk.wall())

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """An incident must be under the cursor."""
        allowed = super().check_action(action, parameters)
        return None if allowed and self.rows.current is None else allowed

    def action_acknowledge(self) -> None:
        """Take care of the incident under the cursor."""
        one = self.rows.current
        if one is None:
            return
        self.begin(
            asking(
                self.desk.client,
                wire.INCIDENT_ACK,
                f"Acknowledge {one.code} {one.subject}".rstrip(),
                f"admin: incident_ack {one.id}, by you",
                lambda done: f"{done.code} is acknowledged by {done.acked_by}",
                request=lambda answers: wire.Acknowledge(note=answers["note"]),
                blanks=(Blank("note", "Note"),),
                explain=("It stays open until its cause is gone.",),
                number=one.id,
            )
        )
