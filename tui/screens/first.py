"""The first screen on a host without a data directory: it ends at a model that is served.

Rules: every step is the command that a person would type; after a failed step the next attempt
continues from what is there.
"""

import time
from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import VerticalScroll
from textual.message import Message

from appliance.errors import ApplianceError, ServerUnreachable, Unavailable
from appliance.types import Report
from appliance.wire.admin.models import STATUS
from tui.change import Answers, Blank, Change
from tui.desk import Desk
from tui.screens.page import Page
from tui.text import lines
from tui.view import first as view
from tui.widgets.part import Part

_SECONDS = 180.0
_BETWEEN = 0.3


class FirstPage(Page):
    """Offers to set up a lab appliance."""

    TITLE: ClassVar[str] = "Start"
    ALARMED: ClassVar[bool] = False
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("enter", "init", "Set up", key_display="enter")
    ]

    class Ready(Message):
        """A model is served."""

    def __init__(self, desk: Desk) -> None:
        super().__init__(desk)
        self._said = Part("welcome", "WELCOME")

    def compose(self) -> ComposeResult:
        with VerticalScroll(classes="sections"):
            yield self._said

    def enter(self) -> None:
        self.screen.set_focus(self.query_one(VerticalScroll))

    def draw(self) -> None:
        width = max(20, self.app.size.width - 4)
        told = view.welcome(str(self.desk.data), width, readonly=self.desk.readonly)
        self._said.say(lines(told))

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        if action == "init":
            return not self.desk.readonly
        return super().check_action(action, parameters)

    def action_init(self) -> None:
        """Set up, ask nothing more, and show a served model."""
        self.begin(
            Change(
                f"Set up a LAB appliance in {self.desk.data}",
                "appliance init; appliance model demo; appliance serve --detach",
                "genesis; model: quarantined to approved, by lab keys; start; serving",
                self._work,
                blanks=(
                    Blank("model", "Model file (GGUF)", help="empty: the one that came along"),
                    Blank("port", "Port on loopback", help="empty: 8080; kept in appliance.toml"),
                ),
                then=lambda _result: self.post_message(self.Ready()),
            )
        )

    def _work(self, answers: Answers, report: Report) -> str:
        run = self.desk.commands.run
        report("1 of 3 init", 0, 0)
        if not self.desk.initialised:
            run("init", "--profile", "lab")
        port = ("--port", answers["port"], "--save") if answers["port"] else ()
        source = ("--from", answers["model"]) if answers["model"] else ()
        if not run("model", "list")["models"]:
            run(
                "model",
                "demo",
                *source,
                report=lambda phase, done, total: report(f"2 of 3 {phase}", done, total),
            )
        report("3 of 3 serve", 0, 0)
        try:
            self.desk.client.call(STATUS)
        except ServerUnreachable:
            run("serve", "--detach", *port)
        return self._wait(report)

    def _wait(self, report: Report) -> str:
        end = time.monotonic() + _SECONDS
        while time.monotonic() < end:
            try:
                status = self.desk.client.call(STATUS)
            except ApplianceError:
                status = None
            if status is not None and status.state == "serving":
                names = ", ".join(model.id for model in status.models if model.loaded)
                return f"{names} is served"
            report("3 of 3 loading the model", 0, 0)
            time.sleep(_BETWEEN)
        raise Unavailable("model_load_failed", "The server runs, and no model is served yet.")
