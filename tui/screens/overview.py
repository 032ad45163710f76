"""The overview: charts, alarms, models, engines, log, host."""

from collections.abc import Callable
from typing import Any, ClassVar, Final, TypeVar

from textual.app import ComposeResult
from textual.containers import Container, VerticalScroll
from textual.content import Content

from appliance.client import AdminClient
from appliance.errors import ApplianceError, ServerUnreachable
from appliance.types import Report
from appliance.wire.admin.jobs import JOBS
from appliance.wire.admin.labels import LABEL_QUEUES, LabelQueue
from appliance.wire.admin.metering import USAGE, UsageRow
from appliance.wire.admin.queue import QUEUE, Waiting
from tui.change import Answers, Change
from tui.desk import Desk
from tui.keys import Act
from tui.link import LinkState, Question, Seldom
from tui.ring import SPANS
from tui.screens.page import Page
from tui.screens.trust import asked as trust_asked
from tui.text import lines
from tui.view import overview as view
from tui.view.units import iso, since
from tui.widgets.part import Part

_T = TypeVar("_T")
_SECONDS: Final = 10.0
_NEWEST: Final = 100  # jobs that are looked through
_DAY: Final = 86_400.0
_HOUR: Final = 3_600.0
ROOMY: Final = 110
"""Cells of a terminal from which on two panels stand beside each other."""
TALL: Final = 34
"""Lines from which on panels have frames."""
_LOFTY: Final = 50
"""Lines from which on the charts take the whole width, and what waits stands below them."""
_AHEAD: Final = 11
"""Lines of troubles and endings beside what waits."""
_PAIRS: Final = (("serving", "needs"), ("models", "apps"), ("log", "host"))


class OverviewPage(Page):
    """The first screen."""

    TITLE: ClassVar[str] = "Overview"
    ALARMED: ClassVar[bool] = False
    ACTS: ClassVar[tuple[Act, ...]] = (Act("s", "serve", "Start the server", item=False),)

    def __init__(self, desk: Desk) -> None:
        super().__init__(desk)
        # Held here, since a timer may fire while the screen is being taken down.
        self._alarms = Part("alarms")
        self._panels = {
            name: Part(name, title)
            for name, title in (
                ("serving", "SERVING"), ("needs", "NEEDS A PERSON"), ("models", "MODELS"),
                ("apps", "APPS, LAST HOUR"), ("log", "AUDIT LOG"), ("host", "HOST"),
            )
        }  # fmt: skip
        self._span = 0
        self._waits = view.PeopleWanted()
        self._seldom: Seldom[view.PeopleWanted] = Seldom(_SECONDS, desk.clock)

    def compose(self) -> ComposeResult:
        yield self._alarms
        panels = list(self._panels.values())
        with VerticalScroll(classes="sections"):
            for at in range(0, len(panels), 2):
                with Container(classes="pair"):
                    yield from panels[at : at + 2]

    def enter(self) -> None:
        self.screen.set_focus(self.query_one(VerticalScroll))

    def question(self) -> Question | None:
        """At most every ten seconds."""
        return Question("overview", self._ask)

    def _ask(self, client: AdminClient) -> view.PeopleWanted:
        """No command is run for it while no server runs."""
        if client is self.desk.offline:
            return view.PeopleWanted()
        return self._seldom.get("", lambda: waits_of(client, self.desk.wall()))

    def take(self, topic: str, answer: Any) -> None:
        if isinstance(answer, view.PeopleWanted):
            self._waits = answer

    def action_span(self, step: int) -> None:
        self._span = max(0, min(len(SPANS) - 1, self._span + step))
        self.draw()

    def refuses(self, act: str, item: object) -> str:
        if self.desk.readonly:
            return "this program is read-only"
        down = self.desk.state is LinkState.DOWN and self.desk.initialised
        return "" if down else "a server answers"

    def make(self, act: str, item: object) -> Change | None:
        """The server stays when the program ends."""
        commands = self.desk.commands

        def work(_answers: Answers, _report: Report) -> str:
            return f"the server runs with process id {commands.run('serve', '--detach').get('pid')}"

        return Change(
            "Start the server",
            f"appliance serve --detach --data {self.desk.data}",
            "start, and serving for each model that it loads",
            work,
            explain=("The server keeps running after you quit. Under systemd, use systemctl.",),
        )

    def draw(self) -> None:
        status, desk = self.desk.status, self.desk
        if status is None:
            return
        width, height = self.app.size.width, self.app.size.height
        pairs = width >= ROOMY
        lofty = pairs and height >= _LOFTY
        self.set_class(lofty, "lofty")
        left = (width * 3 // 5 if pairs else width) - 5  # frame, padding, the scroll bar
        right = (width - width * 3 // 5 if pairs else width) - 5
        ascii_only, points = desk.basic, desk.history.points
        alarms = view.alarms(status)
        said = {
            "needs": view.needs(status, self._waits, desk.wall(), right),
            "models": view.models(status, left),
            "apps": view.apps(self._waits, right, ascii_only=ascii_only),
            "log": view.audit(status, left),
            "host": view.host(status, desk.history.load, points, right, ascii_only=ascii_only),
        }
        below = [max(len(said[a]), len(said[b])) for a, b in (("models", "apps"), ("log", "host"))]
        frames = 6 if height >= TALL else 3
        rest = (self.size.height or height - 3) - len(alarms) - frames - sum(below)
        if lofty:
            ahead = view.ahead(status, self._waits, desk.wall(), right, _AHEAD)[1:]
            said["needs"] = view.beside(said["needs"], ahead, left)
            tall = max(rest - 2 - len(said["needs"]), 7)
        else:
            tall = max(len(said["needs"]), rest, 7) if pairs else 7
            room = tall - len(said["needs"]) if pairs else 0
            said["needs"] += view.ahead(status, self._waits, desk.wall(), right, room)
        span, across = SPANS[self._span], width - 5 if lofty else left
        said["serving"] = view.serving(
            points, desk.ring, span, desk.wall(), across, tall, ascii_only=ascii_only
        )
        self._alarms.say(lines(alarms))
        for (a, b), need in zip(_PAIRS, (0 if lofty else tall, *below), strict=True):
            for name in (a, b):
                fill = need - len(said[name]) if pairs else 0
                blank = [Content(" ")] * max(0, fill)
                self._panels[name].say(lines([*said[name], *blank]))
        title = f"SERVING, {span.name}"
        if self._panels["serving"].border_title != title:  # to set it paints it
            self._panels["serving"].border_title = title


def waits_of(client: AdminClient, wall: float) -> view.PeopleWanted:
    """The work that waits for people, as far as an older server tells it."""

    def asked(work: Callable[[], _T], otherwise: _T) -> _T:
        try:
            return work()
        except ServerUnreachable:
            raise
        except ApplianceError:
            return otherwise

    def failed() -> int:
        jobs = client.call(JOBS, count=_NEWEST).jobs
        return sum(j.state == "failed" and since(j.created, wall) < _DAY for j in jobs)

    def usage() -> tuple[tuple[UsageRow, ...], int]:
        found = client.call(USAGE, by="app", per="hour", since=iso(wall - _HOUR))
        latest = max((row.period for row in found.rows), default="")
        return tuple(row for row in found.rows if row.period == latest), found.left

    nothing: list[Waiting] = []
    none: tuple[UsageRow, ...] = ()
    apps, uncounted = asked(usage, (none, 0))
    queue = asked(lambda: client.call(QUEUE).items, nothing)
    unlabelled: list[LabelQueue] = []
    labels = asked(lambda: client.call(LABEL_QUEUES).queues, unlabelled)
    return view.PeopleWanted(
        people=len(queue),
        oldest=max((since(one.created, wall) for one in queue), default=0.0),
        labels=sum(not one.finished for one in labels),
        failed=asked(failed, 0),
        endings=tuple(asked(lambda: trust_asked(client).endings, [])),
        apps=apps,
        uncounted=uncounted,
    )
