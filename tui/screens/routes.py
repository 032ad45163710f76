"""The routes: who answers what share, the certificate of the first stage, and what if.

Rules: a calibration is a job and is steered on the screen of the jobs; what it found is asked for
once, since it does not change; nothing is changed here.
"""

from typing import Any, ClassVar, Final, NamedTuple

from textual.app import ComposeResult
from textual.containers import VerticalScroll

from appliance.client import AdminClient
from appliance.errors import ApplianceError
from appliance.wire.admin.jobs import Job
from appliance.wire.admin.routes import Route
from tui.desk import Desk
from tui.link import Question
from tui.screens.listing import ListPage
from tui.text import alarm, lines
from tui.view import routes as view
from tui.widgets.part import Part
from tui.widgets.rows import Rows

_KIND: Final = "route"
_NEWEST: Final = 300  # jobs that are looked through


class Found(NamedTuple):
    """The routes, and calibrations that were not known."""

    routes: list[Route]
    calibrations: list[Job]


class RoutesPage(ListPage[Route]):
    """Routes, by id."""

    TITLE: ClassVar[str] = "Routes"

    def __init__(self, desk: Desk) -> None:
        empty = "No routes. Import one with `appliance route import DIR`."
        super().__init__(desk, Rows("routes", view.COLUMNS, lambda r: r.id, view.row, empty))
        self._summary, self._one = Part("routes-summary"), Part("route", "ROUTE")
        self._routes: list[Route] = []
        self._known: dict[int, Job] = {}
        self._error: ApplianceError | None = None

    def compose_above(self) -> ComposeResult:
        """How many."""
        yield self._summary

    def compose_below(self) -> ComposeResult:
        """The route under the cursor."""
        with VerticalScroll(classes="detail", can_focus=False):
            yield self._one

    def question(self) -> Question | None:
        """All of them, and what calibrations found."""
        return Question("routes", self._ask)

    def _ask(self, client: AdminClient) -> Found:
        """Called in the poller's thread."""
        done = [j for j in client.jobs(_NEWEST).jobs if (j.kind, j.state) == (_KIND, "done")]
        new = [client.job(job.id) for job in done if job.id not in self._known]
        return Found(client.routes().routes, new)

    def take(self, topic: str, answer: Any) -> None:
        """The routes."""
        self._error = answer if isinstance(answer, ApplianceError) else None
        if isinstance(answer, Found):
            self._routes = answer.routes
            self._known |= {job.id: job for job in answer.calibrations}

    def items(self) -> list[Route]:
        """The routes of the last poll."""
        return self._routes

    def words(self, item: Route) -> str:
        """What the filter looks at."""
        return f"{item.id} {item.state} {item.why} {item.description}"

    def draw(self) -> None:
        """Say what is known now."""
        super().draw()
        if self._error is not None:
            self._summary.say(alarm(f"{self._error.code}: {self._error.message}"))
        elif self.known:
            self._summary.say(view.summary(self._routes, self.rows.count))
        one = self.rows.current
        width = max(20, self.app.size.width - 4)
        said = (
            view.detail(one, self._result(one.id), width, ascii_only=self.desk.basic)
            if one is not None
            else []
        )
        self._one.say(lines(said))

    def moved(self) -> None:
        """Show another one."""
        self.draw()

    def _result(self, route: str) -> dict[str, Any] | None:
        """What the newest calibration of a route found."""
        for number in sorted(self._known, reverse=True):
            result = self._known[number].result or {}
            if result.get("route") == route:
                return result
        return None
