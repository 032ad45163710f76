"""The routes: who answers what share, the certificate of the first stage, and what if.

Rules: a calibration is a job and is steered on the screen of the jobs; nothing is changed here.
"""

from typing import ClassVar, Final, NamedTuple

from textual.content import Content

from appliance.client import AdminClient
from appliance.wire.admin.jobs import JOB, JOBS, Job
from appliance.wire.admin.results import CalibrationResult
from appliance.wire.admin.routes import ROUTE_TABLE, ROUTES, Route
from tui.desk import Desk
from tui.link import Question
from tui.screens.listing import DetailPage
from tui.view import routes as view
from tui.widgets.part import Part
from tui.widgets.rows import Rows

_KIND: Final = "route"
_NEWEST: Final = 300  # jobs that are looked through


class RoutesFound(NamedTuple):
    """The routes, and calibrations that were not known."""

    routes: list[Route]
    calibrations: list[Job]


class RoutesPage(DetailPage[Route]):
    """Routes, by id."""

    TITLE: ClassVar[str] = "Routes"
    COMMAND: ClassVar[str] = "route show"

    def __init__(self, desk: Desk) -> None:
        rows = Rows("routes", view.COLUMNS, lambda r: r.id, view.row, ROUTE_TABLE.empty)
        super().__init__(desk, rows, Part("route", "ROUTE"))
        self._known: dict[int, Job] = {}

    def question(self) -> Question | None:
        return Question("routes", self._ask)

    def _ask(self, client: AdminClient) -> RoutesFound:
        done = [
            j for j in client.call(JOBS, count=_NEWEST).jobs if (j.kind, j.state) == (_KIND, "done")
        ]
        new = [client.call(JOB, job_id=job.id) for job in done if job.id not in self._known]
        return RoutesFound(client.call(ROUTES).routes, new)

    def came(self, answer: RoutesFound) -> None:
        self.found = answer.routes
        self._known |= {job.id: job for job in answer.calibrations}

    def open(self, item: Route) -> None:
        task = next((stage.task for stage in item.stages if stage.task), "")
        self.post_message(self.Go("Tasks", task))

    def summed(self) -> Content:
        return view.summary(self.found, self.rows.count)

    def said(self, item: Route, width: int) -> list[Content]:
        return view.detail(item, self._result(item.id), width, ascii_only=self.desk.basic)

    def _result(self, route: str) -> CalibrationResult | None:
        for number in sorted(self._known, reverse=True):
            result = self._known[number].came_to(CalibrationResult)
            if result is not None and result.route == route:
                return result
        return None
