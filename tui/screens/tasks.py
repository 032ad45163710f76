"""Tasks: what apps call by name, what answers for each, and who approved it.

Rules: a task is an artifact of the store and changes like a model; the details of a task are asked
for once for each state that it is in, those of the task under the cursor with each poll, as are the
evaluations that are kept and the names that point at tasks.
"""

from typing import Any, ClassVar, Final

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import VerticalScroll

from appliance.client import AdminClient
from appliance.errors import ApplianceError
from appliance.facts import TaskFacts
from appliance.wire.admin.gates import CERTIFICATES
from appliance.wire.admin.models import MODEL, Model, ModelDetail
from appliance.wire.admin.pointers import TASK_NAMES
from tui.desk import Desk
from tui.link import Question
from tui.screens.lifecycle import ArtifactsPage
from tui.text import alarm, lines
from tui.view import tasks as view
from tui.widgets.part import Part
from tui.widgets.rows import Rows

_KIND: Final = "task"


class TasksPage(ArtifactsPage):
    """The tasks of the store."""

    DIGIT: ClassVar[str] = "7"
    TITLE: ClassVar[str] = "Tasks"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("A", "approve", "Approve"),
        Binding("S", "suspend", "Suspend"),
        Binding("T", "retire", "Retire", show=False),
        Binding("X", "revoke", "Revoke", show=False),
    ]

    def __init__(self, desk: Desk) -> None:
        empty = "No tasks. Draft one with `appliance task new DIR`."
        super().__init__(desk, Rows("tasks", view.COLUMNS, lambda t: t.id, self._cells, empty))
        self._summary, self._one = Part("tasks-summary"), Part("task", "TASK")
        self._details: dict[str, ModelDetail] = {}
        self._evidence = view.EvaluationsShown()
        self._error: ApplianceError | None = None

    def compose_above(self) -> ComposeResult:
        """Compose the count."""
        yield self._summary

    def compose_below(self) -> ComposeResult:
        """Compose the details of the task under the cursor."""
        with VerticalScroll(classes="detail", can_focus=False):
            yield self._one

    def question(self) -> Question | None:
        """The details that are not known yet, and those of the task under the cursor."""
        current = self.rows.current
        name = None if current is None else current.id
        return Question(f"tasks {name}", lambda client: self._ask(client, name))

    def _ask(
        self, client: AdminClient, current: str | None
    ) -> tuple[dict[str, ModelDetail], view.EvaluationsShown]:
        """Called in the poller's thread."""
        known = dict(self._details)
        wanted = [
            task.id
            for task in self.items()
            if task.id == current or not _same(task, known.get(task.id))
        ]
        details = {name: client.call(MODEL, model_id=name) for name in wanted}
        if current is None:
            return details, view.EvaluationsShown()
        return details, view.EvaluationsShown(
            tuple(client.call(CERTIFICATES).certificates), tuple(client.call(TASK_NAMES).names)
        )

    def take(self, topic: str, answer: Any) -> None:
        """The details, the evaluations and the names."""
        self._error = answer if isinstance(answer, ApplianceError) else None
        if self._error is None:
            details, self._evidence = answer
            self._details = {**self._details, **details}

    def items(self) -> list[Model]:
        """All tasks."""
        found = self.desk.status.models if self.desk.status else []
        return [model for model in found if model.kind == _KIND]

    def words(self, item: Model) -> str:
        """Text that the filter searches."""
        facts = self._details[item.id].facts if item.id in self._details else None
        told = ""
        if isinstance(facts, TaskFacts):
            told = f"{facts.form} {facts.model} {facts.description}"
        return f"{item.id} {item.state} {item.code or ''} {item.digest or ''} {told}"

    def draw(self) -> None:
        """Draw the current state."""
        super().draw()
        if self.known:
            self._summary.say(view.summary(self.items(), self.rows.count))
        current = self.rows.current
        known = None if current is None else self._details.get(current.id)
        width = max(20, self.app.size.width - 4)
        if self._error is not None:
            self._one.say(alarm(f"{self._error.code}: {self._error.message}"))
        else:
            self._one.say(
                lines(view.detail(known, self._evidence, width) if known is not None else [])
            )

    def _cells(self, task: Model) -> Any:
        return view.row(task, self._details.get(task.id))


def _same(task: Model, known: ModelDetail | None) -> bool:
    return known is not None and (known.state, known.digest) == (task.state, task.digest)
