"""Advice: what to do about each task, as the advisor said it last.

Rules: advice is asked for by the command, which takes the answers; this screen shows what it said.
"""

from typing import Any, ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import VerticalScroll

from appliance.errors import ApplianceError
from appliance.wire.admin.advice import Advice, AdviceList
from tui.change import Change, report_to_file
from tui.desk import Desk
from tui.link import Question
from tui.screens.listing import ListPage
from tui.text import alarm, lines
from tui.view import advice as view
from tui.widgets.part import Part
from tui.widgets.rows import Rows


class AdvicePage(ListPage[Advice]):
    """The last advice for each task."""

    TITLE: ClassVar[str] = "Advice"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("w", "report", "Write report"),
    ]

    def __init__(self, desk: Desk) -> None:
        empty = "No advice. Ask for some with `appliance advise TASK --answers FILE`."
        super().__init__(desk, Rows("advice", view.COLUMNS, lambda a: a.task, self._cells, empty))
        self._summary, self._one = Part("advice-summary"), Part("advice-one", "ADVICE")
        self._advice: list[Advice] = []

    def compose_above(self) -> ComposeResult:
        """How many, or what went wrong."""
        yield self._summary

    def compose_below(self) -> ComposeResult:
        """The advice under the cursor."""
        with VerticalScroll(classes="detail", can_focus=False):
            yield self._one

    def question(self) -> Question | None:
        """All of it."""
        return Question("advice", lambda client: client.all_advice())

    def take(self, topic: str, answer: Any) -> None:
        """What was advised."""
        if isinstance(answer, AdviceList):
            self._advice = answer.advice
            self._summary.say(lines([]))
        elif isinstance(answer, ApplianceError):
            self._summary.say(alarm(f"{answer.code}: {answer.message}"))

    def items(self) -> list[Advice]:
        """The advice of the last poll."""
        return self._advice

    def words(self, item: Advice) -> str:
        """What the filter looks at."""
        return f"{item.task} {item.document.get('verdict')}"

    def draw(self) -> None:
        """Say what is known now."""
        super().draw()
        if self._advice:
            self._summary.say(view.summary(self._advice, self.rows.count))
        current = self.rows.current
        width = max(20, self.app.size.width - 4)
        self._one.say(lines(view.detail(current, width) if current is not None else []))
        self.screen.refresh_bindings()

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Only what is there has a report."""
        if action == "report":
            return True if self.rows.current is not None else None
        return super().check_action(action, parameters)

    def action_report(self) -> None:
        """Write the page of the advice under the cursor."""
        current = self.rows.current
        if current is not None:
            self.begin(report(current))

    def _cells(self, advice: Advice) -> Any:
        return view.row(advice, self.desk.wall())


def report(advice: Advice) -> Change:
    """The change that writes the page of an advice to a new file."""
    what, request = f"the advice on {advice.task}", f"GET /admin/advice/{advice.task}"
    return report_to_file(what, request, f"advice-{advice.task}.html", lambda: advice.html)
