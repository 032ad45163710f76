"""The overview: charts, alarms, models with why they were refused, engines, log, host."""

from typing import Any, ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import VerticalScroll

from appliance.types import Report
from tui.change import Answers, Change
from tui.desk import Desk
from tui.link import LinkState
from tui.screens.page import Page
from tui.text import lines
from tui.view import overview as view
from tui.widgets.part import Part


class OverviewPage(Page):
    """The first screen: what an operator wants to know at a glance."""

    DIGIT: ClassVar[str] = "1"
    TITLE: ClassVar[str] = "Overview"
    BINDINGS: ClassVar[list[BindingType]] = [Binding("S", "serve", "Start server")]

    def __init__(self, desk: Desk) -> None:
        super().__init__(desk)
        # Held here, since a timer may fire while the screen is being taken down.
        self._alarms, self._load = Part("alarms"), Part("load", "LOAD")
        self._models, self._workers = Part("models", "MODELS"), Part("workers", "ENGINES")
        self._audit, self._host = Part("audit", "AUDIT LOG"), Part("host", "HOST")

    def compose(self) -> ComposeResult:
        """Alarms first, then the sections."""
        yield self._alarms
        with VerticalScroll(classes="sections"):
            yield from (self._load, self._models, self._workers, self._audit, self._host)

    def enter(self) -> None:
        """Keys scroll."""
        self.screen.set_focus(self.query_one(VerticalScroll))

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """A server is started only where none answers."""
        if action == "serve":
            down = self.desk.state is LinkState.DOWN
            return down and self.desk.initialised and not self.desk.readonly
        return True

    def action_serve(self) -> None:
        """Start the server next to this program; it stays when the program ends."""
        commands = self.desk.commands

        def work(_answers: Answers, _report: Report) -> str:
            return f"the server runs with process id {commands.run('serve', '--detach').get('pid')}"

        self.begin(
            Change(
                "Start the server",
                f"appliance serve --detach --data {self.desk.data}",
                "start, and serving for each model that it loads",
                work,
                explain=("The server keeps running after you quit. Under systemd, use systemctl.",),
            )
        )

    def take(self, topic: str, answer: Any) -> None:
        """The status is all that is shown."""

    def draw(self) -> None:
        """Draw the current state."""
        status, desk = self.desk.status, self.desk
        if status is None:
            return
        room = max(20, self.app.size.width - 3)  # padding and the scroll bar
        tall = 3 if self.app.size.height >= 50 else 1
        charts = view.gauges(
            desk.history.points, desk.history.load, room, tall, ascii_only=desk.basic
        )
        self._alarms.say(lines(view.alarms(status)))
        self._load.say(lines(charts))
        self._models.say(lines(view.models(status, room)))
        self._workers.say(lines(view.workers(status, room)))
        self._audit.say(lines(view.audit(status)))
        self._host.say(lines(view.host(status)))
