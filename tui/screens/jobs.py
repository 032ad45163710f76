"""Long work: what is under way, and pausing, resuming and cancelling it.

Rules: which of these a job allows comes with the job; the screen repeats none of it.
"""

from typing import Any, ClassVar, Final

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.content import Content

from appliance.types import Role
from appliance.wire.admin.endpoint import Endpoint
from appliance.wire.admin.jobs import JOB_CANCEL, JOB_PAUSE, JOB_RESUME, JOBS, Job, JobList
from tui.change import asking
from tui.desk import Desk
from tui.screens.listing import DetailPage
from tui.view import jobs as view
from tui.widgets.part import Part
from tui.widgets.rows import Rows

_EXPLAIN: Final = {
    "pause": "It stops at its next safe point and can be resumed.",
    "resume": "It continues where it stopped.",
    "cancel": "It ends at its next safe point and is not resumed.",
}


class JobsPage(DetailPage[Job]):
    """Imports, loads, verifications, exports."""

    DIGIT: ClassVar[str] = "6"
    TITLE: ClassVar[str] = "Jobs"
    AT = JOBS
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("P", "pause", "Pause"),
        Binding("R", "resume", "Resume"),
        Binding("C", "cancel", "Cancel"),
    ]
    NEEDS: ClassVar[dict[str, Role]] = {
        "pause": JOB_PAUSE.role, "resume": JOB_RESUME.role, "cancel": JOB_CANCEL.role,
    }  # fmt: skip

    def __init__(self, desk: Desk) -> None:
        empty = "No jobs. Imports, loads, verifications and exports are listed here."
        rows = Rows("jobs", view.COLUMNS, lambda j: str(j.id), self._cells, empty)
        super().__init__(desk, rows, Part("job"))

    def compose_below(self) -> ComposeResult:
        """The one under the cursor."""
        yield self._one

    def came(self, answer: JobList) -> None:
        """The newest jobs."""
        self.found = answer.jobs

    def words(self, item: Job) -> str:
        """Text that the filter searches."""
        return f"{item.id} {item.kind} {item.state} {item.title} {item.actor} {item.code}"

    def summed(self) -> Content:
        """Summary line."""
        return view.summary(self.found, self.rows.count)

    def said(self, item: Job, width: int) -> list[Content]:
        """The job under the cursor."""
        return view.detail(item, self.desk.wall(), width + 2)

    def _cells(self, job: Job) -> Any:
        return view.row(job, self.desk.wall(), ascii_only=self.desk.basic)

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """The job under the cursor must allow it."""
        allowed = super().check_action(action, parameters)
        if allowed and action in self.NEEDS:
            current = self.rows.current
            return True if current is not None and action in current.actions else None
        return allowed

    def action_pause(self) -> None:
        """Stop the job at its next safe point."""
        self._steer("pause", JOB_PAUSE)

    def action_resume(self) -> None:
        """Continue the job."""
        self._steer("resume", JOB_RESUME)

    def action_cancel(self) -> None:
        """End the job for good."""
        self._steer("cancel", JOB_CANCEL)

    def _steer(self, action: str, at: Endpoint[None, Job]) -> None:
        job = self.rows.current
        if job is not None:
            self.begin(
                asking(
                    self.desk.client,
                    at,
                    f"{action.capitalize()} job {job.id}: {job.kind} {job.title}",
                    f"admin: job_{action} {job.id}, by you",
                    lambda changed: f"job {job.id} is {changed.state}",
                    explain=(_EXPLAIN[action],),
                    job_id=job.id,
                )
            )
