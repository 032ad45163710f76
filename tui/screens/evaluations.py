"""Evaluations and gates: what each candidate of a task is worth, on the customer's own items.

Rules: both are jobs, and are steered on the screen of the jobs; a result is asked for once, since
it does not change; the ledger is asked for when a gate has begun or ended.
"""

from typing import Any, ClassVar, Final, NamedTuple

from textual.binding import Binding, BindingType
from textual.content import Content

from appliance.client import AdminClient
from appliance.errors import ApplianceError
from appliance.types import Role
from appliance.wire.admin import evaluations as wire
from appliance.wire.admin.evaluations import Compared, CompareWanted, Errors, ErrorsWanted, Side
from appliance.wire.admin.gates import LEDGERS, Ledger
from appliance.wire.admin.jobs import JOB, JOBS, Job
from appliance.wire.admin.results import EvaluationResult
from tui.change import Change, report_to_file
from tui.desk import Desk
from tui.link import Question
from tui.screens.listing import DetailPage
from tui.screens.page import Page
from tui.screens.whole import WholeScreen
from tui.view import evaluations as view
from tui.view.jobs import row
from tui.widgets.part import Part
from tui.widgets.rows import Rows

_GATE: Final = "gate"
_KINDS: Final = ("evaluation", _GATE)
_NEWEST: Final = 300  # jobs that are looked through


class EvaluationsFound(NamedTuple):
    """The evaluations among the newest jobs, a result that was not known, the ledger where it may
    be another one, and the items that were asked for.
    """

    jobs: list[Job]
    whole: Job | None
    ledger: list[Ledger] | None
    items: Errors | Compared | ApplianceError | None = None


class EvaluationsPage(DetailPage[Job]):
    """Evaluations, the newest first."""

    DIGIT: ClassVar[str] = "8"
    TITLE: ClassVar[str] = "Evaluations"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("e", "errors", "Wrong"),
        Binding("f", "flips", "Flips"),
        Binding("w", "report", "Report"),
        Binding("l", "ledger", "Ledger"),
    ]
    NEEDS: ClassVar[dict[str, Role]] = {"errors": Role.OPERATOR, "flips": Role.OPERATOR}

    def __init__(self, desk: Desk) -> None:
        empty = "No evaluations. Start one with `appliance eval run TASK_DIR --data DATASET_DIR`."
        rows = Rows("evaluations", view.COLUMNS, lambda j: str(j.id), self._cells, empty)
        super().__init__(desk, rows, Part("evaluation", "RESULT"))
        self._whole: dict[int, Job] = {}
        self._ledger: list[Ledger] = []
        self._gates: list[tuple[int, str]] | None = None
        self._wanted: tuple[str, int] | None = None

    def question(self) -> Question | None:
        """The newest ones, and the result of the one under the cursor."""
        current = self.rows.current
        number, wanted = None if current is None else current.id, self._wanted
        topic = f"evaluations {number} {wanted}"
        return Question(topic, lambda client: self._ask(client, number, wanted))

    def _ask(
        self, client: AdminClient, number: int | None, wanted: tuple[str, int] | None
    ) -> EvaluationsFound:
        """Called in the poller's thread."""
        jobs = [job for job in client.call(JOBS, count=_NEWEST).jobs if job.kind in _KINDS]
        named = next((job for job in jobs if job.id == number), jobs[0] if jobs else None)
        ledger = None if _gates(jobs) == self._gates else _ledgers(client)
        items = None if wanted is None else _items(client, *wanted)
        if named is None or named.state != "done" or named.id in self._whole:
            return EvaluationsFound(jobs, None, ledger, items)
        return EvaluationsFound(jobs, client.call(JOB, job_id=named.id), ledger, items)

    def came(self, answer: EvaluationsFound) -> None:
        """The evaluations."""
        self.found = answer.jobs
        if answer.ledger is not None:
            self._ledger, self._gates = answer.ledger, _gates(answer.jobs)
        if answer.whole is not None:
            self._whole = {**self._whole, answer.whole.id: answer.whole}
        if answer.items is not None and self._wanted is not None:
            self._wanted = None
            self._open(answer.items)

    def words(self, item: Job) -> str:
        """Text that the filter searches."""
        return f"{item.id} {item.kind} {item.state} {item.title} {item.actor} {item.code}"

    def moved(self) -> None:
        """Ask about another one."""
        self.post_message(self.Asked())

    def summed(self) -> Content:
        """Summary line."""
        return view.summary(self.found, self.rows.count)

    def said(self, item: Job, width: int) -> list[Content]:
        """The evaluation under the cursor."""
        found = self._whole.get(item.id, item)
        return view.detail(found, self.desk.wall(), width, ascii_only=self.desk.basic)

    def _current(self) -> Job | None:
        """The one under the cursor, with its result if that is known."""
        current = self.rows.current
        return None if current is None else self._whole.get(current.id, current)

    def _cells(self, job: Job) -> Any:
        return row(job, self.desk.wall(), ascii_only=self.desk.basic)

    def on_rows_chosen(self, message: Rows.Chosen) -> None:
        """Open the evaluation under the cursor."""
        message.stop()
        current = self._current()
        if current is not None:
            self.app.push_screen(EvaluationScreen(self.desk, current))

    def action_errors(self) -> None:
        """Ask for the wrong items of the one under the cursor; they are shown when they come."""
        self._want("errors")

    def action_flips(self) -> None:
        """Ask for its flips against the baseline."""
        self._want("flips")

    def _want(self, what: str) -> None:
        current = self.rows.current
        if current is not None:
            self._wanted = (what, current.id)
            self.post_message(self.Asked())

    def _open(self, found: Errors | Compared | ApplianceError) -> None:
        if isinstance(found, ApplianceError):
            self.post_message(self.Said(f"{found.code}: {found.message}", failed=True))
        elif isinstance(found, Errors):
            self.app.push_screen(ErrorsScreen(self.desk, found))
        else:
            self.app.push_screen(FlipsScreen(self.desk, found))

    def action_ledger(self) -> None:
        """Show the looks that sealed splits have left."""
        self.app.push_screen(LedgerScreen(self.desk, self._ledger))

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Only what is done has a report, and items unless they are sealed; the server has both."""
        allowed = super().check_action(action, parameters)
        current = self.rows.current
        if not allowed or action not in ("report", *self.NEEDS):
            return allowed
        if current is None or current.state != "done" or self.desk.stale:
            return None
        return None if action in self.NEEDS and current.kind == _GATE else True

    def action_report(self) -> None:
        """Write the page of the evaluation under the cursor."""
        current = self.rows.current
        if current is not None:
            self.begin(report(self.desk, current.id))


class EvaluationScreen(WholeScreen):
    """One evaluation whole."""

    frame_title: ClassVar[str] = "EVALUATION"
    PART: ClassVar[str] = "evaluation-whole"
    BINDINGS: ClassVar[list[BindingType]] = [Binding("w", "report", "Write report")]

    def __init__(self, desk: Desk, job: Job) -> None:
        super().__init__(desk)
        self._job = job

    def said(self, width: int) -> list[Content]:
        """The evaluation."""
        return view.whole(self._job, self.desk.wall(), width, ascii_only=self.desk.basic)

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Only what is done has a report."""
        return None if action == "report" and self._job.state != "done" else True

    def action_report(self) -> None:
        """Write its page."""
        self.post_message(Page.Begin(report(self.desk, self._job.id)))


class ErrorsScreen(WholeScreen):
    """The wrong items of a candidate; a digit keeps one cell of the confusion matrix."""

    frame_title: ClassVar[str] = "WRONG ITEMS"
    PART: ClassVar[str] = "evaluation-errors"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding(str(n), f"keep({n})", "One cell" if n == 1 else "All", show=n < 2)
        for n in range(10)
    ]

    def __init__(self, desk: Desk, found: Errors) -> None:
        super().__init__(desk)
        self._found, self._cell = found, 0

    def said(self, width: int) -> list[Content]:
        """The cells, then the items."""
        return view.errors(self._found, self._cell, width)

    def action_keep(self, number: int) -> None:
        """Keep the items of one cell; 0 shows all."""
        self._cell = number if number <= len(self._found.confused) else 0
        self.draw()


class FlipsScreen(WholeScreen):
    """The items that one of two candidates has right and the other one has not."""

    frame_title: ClassVar[str] = "FLIPS"
    PART: ClassVar[str] = "evaluation-flips"

    def __init__(self, desk: Desk, found: Compared) -> None:
        super().__init__(desk)
        self._found = found

    def said(self, width: int) -> list[Content]:
        """The difference, then the items."""
        return view.flips(self._found, width)


class LedgerScreen(WholeScreen):
    """The looks at the sealed splits of each dataset."""

    frame_title: ClassVar[str] = "LEDGER"
    PART: ClassVar[str] = "ledger-whole"

    def __init__(self, desk: Desk, found: list[Ledger]) -> None:
        super().__init__(desk)
        self._found = found

    def said(self, width: int) -> list[Content]:
        """The ledger."""
        return view.ledger(self._found, width)


def _items(client: AdminClient, what: str, number: int) -> Errors | Compared | ApplianceError:
    """Wrong items of the task as it is written, or its flips against the baseline."""
    side = Side.of(evaluation=number)
    try:
        if what == "errors":
            return client.call(wire.EVALUATION_ERRORS, ErrorsWanted.of(side=side.model_dump()))
        result = client.call(JOB, job_id=number).came_to(EvaluationResult)
        baseline = "" if result is None else result.baseline
        base = Side.of(evaluation=number, candidate=baseline)
        wanted = CompareWanted.of(first=side.model_dump(), second=base.model_dump())
        return client.call(wire.EVALUATIONS_COMPARE, wanted)
    except ApplianceError as error:
        return error


def _ledgers(client: AdminClient) -> list[Ledger] | None:
    """The ledger; None where it cannot be had, such as from an older server."""
    try:
        return client.call(LEDGERS).ledgers
    except ApplianceError:
        return None


def _gates(jobs: list[Job]) -> list[tuple[int, str]]:
    """The gates and their states: while they stay the same, so does the ledger."""
    return [(job.id, job.state) for job in jobs if job.kind == _GATE]


def report(desk: Desk, number: int) -> Change:
    """The change that writes the page of an evaluation to a new file."""
    request = f"GET /admin/evaluations/{number}/report"
    return report_to_file(
        f"evaluation {number}", request, f"evaluation-{number}.html",
        lambda: desk.client.call(wire.EVALUATION_REPORT, job_id=number).html,
    )  # fmt: skip
