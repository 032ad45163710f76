"""Long work: what is under way, and pausing, resuming and cancelling it.

Rules: a job says which of these it allows; the screen repeats none of it.
"""

from collections.abc import Mapping
from typing import Any, ClassVar, Final

from textual.content import Content

from appliance.wire.admin.endpoint import Endpoint
from appliance.wire.admin.jobs import JOB_CANCEL, JOB_PAUSE, JOB_RESUME, JOBS, Job, JobList
from tui.change import Change, asking
from tui.desk import Desk
from tui.keys import Act
from tui.screens.listing import DetailPage
from tui.view import jobs as view
from tui.widgets.part import Part
from tui.widgets.rows import Rows

_EXPLAIN: Final = {
    "pause": "It stops at its next safe point and can be resumed.",
    "resume": "It continues where it stopped.",
    "cancel": "It ends at its next safe point and is not resumed.",
}
_STEERS: Final[Mapping[str, Endpoint[None, Job]]] = {
    "pause": JOB_PAUSE, "resume": JOB_RESUME, "cancel": JOB_CANCEL,
}  # fmt: skip
_UNDO: Final = {"pause": "resume", "resume": "pause"}


class JobsPage(DetailPage[Job]):
    """Imports, loads, verifications, exports."""

    TITLE: ClassVar[str] = "Jobs"
    COMMAND: ClassVar[str] = "job show"
    AT = JOBS
    ACTS: ClassVar[tuple[Act, ...]] = (
        Act("p", "pause", "Pause", JOB_PAUSE.role, many=True),
        Act("r", "resume", "Resume", JOB_RESUME.role, many=True),
        Act("c", "cancel", "Cancel", JOB_CANCEL.role, many=True),
    )

    def __init__(self, desk: Desk) -> None:
        empty = "No jobs. An import, load, evaluation or export starts one."
        rows = Rows("jobs", view.COLUMNS, lambda j: str(j.id), self._cells, empty)
        super().__init__(desk, rows, Part("job", "JOB"))

    def came(self, answer: JobList) -> None:
        self.found = answer.jobs

    def summed(self) -> Content:
        return view.summary(self.found, self.rows.count)

    def said(self, item: Job, width: int) -> list[Content]:
        return view.detail(item, self.desk.wall(), width)

    def _cells(self, job: Job) -> Any:
        return view.row(job, self.desk.wall(), ascii_only=self.desk.basic)

    def refuses(self, act: str, item: Job) -> str:
        return "" if act in item.actions else f"job {item.id} is {item.state}"

    def make(self, act: str, item: Job) -> Change:
        undo = _UNDO.get(act)
        return asking(
            self.desk.client,
            _STEERS[act],
            f"{act.capitalize()} job {item.id}: {item.kind} {item.title}",
            f"admin: job_{act} {item.id}, by you",
            lambda changed: f"job {item.id} is {changed.state}",
            explain=(_EXPLAIN[act],),
            undo=None if undo is None else lambda: self.make(undo, item),
            job_id=item.id,
        )
