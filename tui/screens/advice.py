"""Advice: what to do about each task, as the advisor said it last.

Rules: the command asks for advice, with the answers; this screen shows what it said.
"""

from typing import Any, ClassVar

from textual.content import Content

from appliance.wire.admin.advice import ADVICE_LIST, Advice, AdviceList
from tui.change import Change, report_to_file
from tui.desk import Desk
from tui.screens.listing import DetailPage
from tui.view import advice as view
from tui.widgets.part import Part
from tui.widgets.rows import Rows


class AdvicePage(DetailPage[Advice]):
    """The last advice for each task."""

    TITLE: ClassVar[str] = "Advice"
    AT = ADVICE_LIST
    COMMAND: ClassVar[str] = "advise"

    def __init__(self, desk: Desk) -> None:
        empty = "No advice. Ask for some with `appliance advise TASK --answers FILE`."
        rows = Rows("advice", view.COLUMNS, lambda a: a.task, self._cells, empty)
        super().__init__(desk, rows, Part("advice-one", "ADVICE"))

    def came(self, answer: AdviceList) -> None:
        self.found = answer.advice

    def summed(self) -> Content:
        return view.summary(self.found, self.rows.count) if self.found else Content("")

    def said(self, item: Advice, width: int) -> list[Content]:
        return view.detail(item, width)

    def refuses(self, act: str, item: object) -> str:
        return "" if self.rows.current is not None else "no advice is under the cursor"

    def action_write(self) -> None:
        current = self.rows.current
        if current is not None:
            self.begin(report(current))

    def _cells(self, advice: Advice) -> Any:
        return view.row(advice, self.desk.wall())


def report(advice: Advice) -> Change:
    """Write an advice's page."""
    what, request = f"the advice on {advice.task}", f"GET /admin/advice/{advice.task}"
    return report_to_file(what, request, f"advice-{advice.task}.html", lambda: advice.html)
