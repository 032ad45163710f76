"""Long work: what is under way, and pausing, resuming and cancelling it.

Rules: which of these a job allows comes with the job; the screen repeats none of it.
"""

from typing import Any, ClassVar, Final

from textual.app import ComposeResult
from textual.binding import Binding, BindingType

from appliance.errors import ApplianceError
from appliance.types import Role
from appliance.wire.admin.jobs import Job, JobList
from tui.change import Answers, Change
from tui.command import Report
from tui.desk import Desk
from tui.link import Question
from tui.screens.listing import ListPage
from tui.text import alarm, lines
from tui.view import jobs as view
from tui.widgets.part import Part
from tui.widgets.rows import Rows

_EXPLAIN: Final = {
    "pause": "It stops at its next safe point and can be resumed.",
    "resume": "It continues where it stopped.",
    "cancel": "It ends at its next safe point and is not resumed.",
}


class JobsPage(ListPage[Job]):
    """Imports, loads, verifications, exports."""

    DIGIT: ClassVar[str] = "6"
    TITLE: ClassVar[str] = "Jobs"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("P", "pause", "Pause"),
        Binding("R", "resume", "Resume"),
        Binding("C", "cancel", "Cancel"),
    ]
    NEEDS: ClassVar[dict[str, Role]] = {
        "pause": Role.OPERATOR, "resume": Role.OPERATOR, "cancel": Role.OPERATOR,
    }  # fmt: skip

    def __init__(self, desk: Desk) -> None:
        empty = "No jobs. Imports, loads, verifications and exports are listed here."
        super().__init__(desk, Rows("jobs", view.COLUMNS, lambda j: str(j.id), self._cells, empty))
        self._summary, self._one = Part("jobs-summary"), Part("job")
        self._jobs: list[Job] = []

    def compose_above(self) -> ComposeResult:
        """How many."""
        yield self._summary

    def compose_below(self) -> ComposeResult:
        """The one under the cursor."""
        yield self._one

    def question(self) -> Question | None:
        """The newest jobs."""
        return Question("jobs", lambda client: client.jobs())

    def take(self, topic: str, answer: Any) -> None:
        """The jobs."""
        if isinstance(answer, JobList):
            self._jobs = answer.jobs
        elif isinstance(answer, ApplianceError):
            self._summary.say(alarm(f"{answer.code}: {answer.message}"))

    def items(self) -> list[Job]:
        """The jobs of the last poll."""
        return self._jobs

    def words(self, item: Job) -> str:
        """What the filter looks at."""
        return f"{item.id} {item.kind} {item.state} {item.title} {item.actor} {item.code}"

    def draw(self) -> None:
        """Say what is known now."""
        super().draw()
        if self.known:
            self._summary.say(view.summary(self._jobs, self.rows.count))
        current = self.rows.current
        width = max(20, self.size.width - 2)
        self._one.say(lines(view.detail(current, self.desk.wall(), width) if current else []))
        self.screen.refresh_bindings()

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
        self._steer("pause")

    def action_resume(self) -> None:
        """Continue the job."""
        self._steer("resume")

    def action_cancel(self) -> None:
        """End the job for good."""
        self._steer("cancel")

    def _steer(self, action: str) -> None:
        job = self.rows.current
        if job is None:
            return
        number, client = job.id, self.desk.client

        def work(_answers: Answers, _report: Report) -> str:
            changed = client.steer_job(number, action)
            return f"job {number} is {changed.state}"

        self.begin(
            Change(
                f"{action.capitalize()} job {number}: {job.kind} {job.title}",
                f"POST /admin/jobs/{number}/{action}",
                f"admin: job_{action} {number}, by you",
                work,
                explain=(_EXPLAIN[action],),
            )
        )
