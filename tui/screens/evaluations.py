"""Evaluations and gates of a task, on the customer's own items.

Rules: both are jobs, and are steered on the screen of the jobs.
"""

from functools import partial
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
from tui.keys import Act
from tui.link import Question, or_else
from tui.screens.full_view import TextScreen, WholeScreen
from tui.screens.listing import DetailPage
from tui.view import evaluations as view
from tui.widgets.part import Part
from tui.widgets.rows import Rows

_GATE: Final = "gate"
_KINDS: Final = ("evaluation", _GATE, "route", "carry", "route-carry")
_NEWEST: Final = 300  # jobs that are looked through
_AT_ONCE: Final = 20  # results that are asked for with a poll


class EvaluationsFound(NamedTuple):
    """The newest evaluations, and what was not known of them."""

    jobs: list[Job]
    whole: list[Job]
    ledger: list[Ledger] | None
    items: Errors | Compared | ApplianceError | None = None


class EvaluationsPage(DetailPage[Job]):
    """Evaluations, the newest first."""

    TITLE: ClassVar[str] = "Evaluations"
    COMMAND: ClassVar[str] = "eval show"
    ACTS: ClassVar[tuple[Act, ...]] = (
        Act("e", "errors", "Wrong items", Role.OPERATOR),
        Act("f", "flips", "Flips against the baseline", Role.OPERATOR),
        Act("l", "ledger", "Ledger of sealed looks", item=False),
    )

    def __init__(self, desk: Desk) -> None:
        empty = "No evaluations. Start one with `appliance eval run TASK_DIR --data DATASET_DIR`."
        rows = Rows("evaluations", view.COLUMNS, lambda j: str(j.id), self._cells, empty)
        super().__init__(desk, rows, Part("evaluation", "RESULT"))
        self._whole: dict[int, Job] = {}
        self._ledger: list[Ledger] = []
        self._verdicts: dict[int, str] = {}
        self._gates: list[tuple[int, str]] | None = None
        self._wanted: tuple[str, int] | None = None

    def question(self) -> Question | None:
        current = self.rows.current
        number, wanted = None if current is None else current.id, self._wanted
        topic = f"evaluations {number} {wanted}"
        return Question(topic, lambda client: self._ask(client, number, wanted))

    def _ask(
        self, client: AdminClient, number: int | None, wanted: tuple[str, int] | None
    ) -> EvaluationsFound:
        jobs = [job for job in client.call(JOBS, count=_NEWEST).jobs if job.kind in _KINDS]
        named = next((job for job in jobs if job.id == number), jobs[0] if jobs else None)
        known = _gates(jobs) == self._gates
        ledger = None if known else or_else(lambda: client.call(LEDGERS).ledgers, None)
        items = None if wanted is None else _items(client, *wanted)
        unknown = [job for job in jobs if job.state == "done" and job.id not in self._whole]
        first = [job for job in unknown if named is not None and job.id == named.id]
        asked = [*first, *(job for job in unknown if job not in first)][:_AT_ONCE]
        whole = [client.call(JOB, job_id=job.id) for job in asked]
        return EvaluationsFound(jobs, whole, ledger, items)

    def came(self, answer: EvaluationsFound) -> None:
        self.found = answer.jobs
        if answer.ledger is not None:
            self._ledger, self._gates = answer.ledger, _gates(answer.jobs)
            self._verdicts = view.verdicts(answer.ledger)
        self._whole = {**self._whole, **{job.id: job for job in answer.whole}}
        if answer.items is not None and self._wanted is not None:
            self._wanted = None
            self._open(answer.items)

    def moved(self) -> None:
        self.post_message(self.Asked())

    def summed(self) -> Content:
        return view.summary(self.found, self.rows.count)

    def said(self, item: Job, width: int) -> list[Content]:
        found = self._whole.get(item.id, item)
        return view.detail(found, self.desk.wall(), width, ascii_only=self.desk.basic)

    def _cells(self, job: Job) -> Any:
        whole = self._whole.get(job.id, job)
        verdict = self._verdicts.get(job.id, "")
        return view.row(whole, verdict, self.desk.wall(), ascii_only=self.desk.basic)

    def open(self, item: Job) -> None:
        self.app.push_screen(EvaluationScreen(self.desk, self._whole.get(item.id, item)))

    def refuses(self, act: str, item: Job | None) -> str:
        item = self.rows.current if item is None else item
        if act == "ledger":
            return ""
        if item is None or item.state != "done":
            return "it is not done"
        if self.desk.stale:
            return "the data are old"
        return "a gate's items are sealed" if act != "write" and item.kind == _GATE else ""

    def make(self, act: str, item: Job | None) -> Change | None:
        if item is None:
            text = partial(view.ledger, self._ledger)
            self.app.push_screen(TextScreen(self.desk, "LEDGER", "ledger-whole", text))
        else:
            self._want(act)
        return None

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
            text = partial(view.flips, found)
            self.app.push_screen(TextScreen(self.desk, "FLIPS", "evaluation-flips", text))

    def action_write(self) -> None:
        current = self.rows.current
        if current is not None:
            self.begin(report(self.desk, current.id))


class EvaluationScreen(WholeScreen):
    """One evaluation whole."""

    frame_title = "EVALUATION"
    PART = "evaluation-whole"

    def __init__(self, desk: Desk, job: Job) -> None:
        super().__init__(desk)
        self._job = job

    def said(self, width: int) -> list[Content]:
        return view.whole(self._job, self.desk.wall(), width, ascii_only=self.desk.basic)

    def refuses(self, act: str, item: object) -> str:
        return "" if self._job.state == "done" else "it is not done"

    def action_write(self) -> None:
        self.begin(report(self.desk, self._job.id))


class ErrorsScreen(WholeScreen):
    """The wrong items of a candidate; a digit keeps one cell of the confusion matrix."""

    frame_title = "WRONG ITEMS"
    PART = "evaluation-errors"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding(str(n), f"keep({n})", "One cell" if n == 1 else "All", show=n < 2)
        for n in range(10)
    ]

    def __init__(self, desk: Desk, found: Errors) -> None:
        super().__init__(desk)
        self._found, self._cell = found, 0

    def said(self, width: int) -> list[Content]:
        return view.errors(self._found, self._cell, width)

    def action_keep(self, number: int) -> None:
        """0 shows all."""
        self._cell = number if number <= len(self._found.confused) else 0
        self.draw()


def _items(client: AdminClient, what: str, number: int) -> Errors | Compared | ApplianceError:
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


def _gates(jobs: list[Job]) -> list[tuple[int, str]]:
    """Their states: while they stay the same, so does the ledger."""
    return [(job.id, job.state) for job in jobs if job.kind == _GATE]


def report(desk: Desk, number: int) -> Change:
    """Write an evaluation's page."""
    request = f"GET /admin/evaluations/{number}/report"
    return report_to_file(
        f"evaluation {number}", request, f"evaluation-{number}.html",
        lambda: desk.client.call(wire.EVALUATION_REPORT, job_id=number).html,
    )  # fmt: skip
