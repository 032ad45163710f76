"""Tasks: what apps call by name, and each one's life from its data to its drift.

Rules: a task is an artifact of the store and changes like a model.
"""

from typing import Any, ClassVar

from textual.content import Content

from appliance.client import AdminClient
from appliance.facts import TaskFacts
from appliance.wire.admin.gates import CERTIFICATES, LEDGERS
from appliance.wire.admin.jobs import JOB, JOBS, Job
from appliance.wire.admin.models import Model, ModelDetail
from appliance.wire.admin.pointers import TASK_NAMES
from appliance.wire.admin.routes import ROUTES
from tui.desk import Desk
from tui.keys import Act
from tui.link import Seldom, or_else
from tui.screens.drift import drift_of
from tui.screens.lifecycle import LIFE, KindPage
from tui.view import life
from tui.view import tasks as view
from tui.widgets.part import Part
from tui.widgets.rows import Rows

_NEWEST = 300  # jobs that are looked through
_SECONDS = 10.0


class TasksPage(KindPage):
    """The tasks of the store."""

    TITLE: ClassVar[str] = "Tasks"
    KIND: ClassVar[str] = "task"
    ACTS: ClassVar[tuple[Act, ...]] = tuple(
        LIFE[name] for name in ("approve", "suspend", "retire", "revoke")
    )

    def __init__(self, desk: Desk) -> None:
        empty = "No tasks. Draft one with `appliance task new DIR`."
        rows = Rows("tasks", view.COLUMNS, lambda t: t.id, self._cells, empty)
        super().__init__(desk, rows, Part("task", "TASK"))
        self._known_life = life.Lives()
        self._seldom: Seldom[life.Lives] = Seldom(_SECONDS, desk.clock)
        self._measured: dict[int, Job] = {}

    def more(self, client: AdminClient) -> object:
        names = frozenset(task.id for task in self.items())
        return self._seldom.get(names, lambda: self._lives(client, names))

    def _lives(self, client: AdminClient, names: frozenset[str]) -> life.Lives:
        jobs = [j for j in client.call(JOBS, count=_NEWEST).jobs if j.kind == "evaluation"]
        for job in jobs:
            if job.state == "done" and job.id not in self._measured:
                self._measured[job.id] = client.call(JOB, job_id=job.id)
        return life.Lives(
            certificates=tuple(client.call(CERTIFICATES).certificates),
            names=tuple(client.call(TASK_NAMES).names),
            routes=tuple(or_else(lambda: client.call(ROUTES).routes, [])),
            ledgers=tuple(or_else(lambda: client.call(LEDGERS).ledgers, [])),
            evaluations=tuple(self._measured[job.id] for job in jobs if job.id in self._measured),
            drift={name: drift_of(client, name) for name in names},
        )

    def learnt(self, more: Any) -> None:
        self._known_life = more

    def words(self, item: Model) -> str:
        facts = self.details[item.id].facts if item.id in self.details else None
        told = ""
        if isinstance(facts, TaskFacts):
            told = f"{facts.form} {facts.model} {facts.description}"
        return f"{super().words(item)} {item.code or ''} {told}"

    def open(self, item: Model) -> None:
        """Its evaluations; a gate's items are sealed."""
        self.post_message(self.Go("Evaluations", f"evaluation {item.id}"))

    def summed(self) -> Content:
        return view.summary(self.items(), self.rows.count)

    def about(self, known: ModelDetail, width: int) -> list[Content]:
        told = life.whole(
            known, self._known_life, self.desk.wall(), width, ascii_only=self.desk.basic
        )
        return [*told, *view.detail(known, self._known_life, width)]

    def _cells(self, task: Model) -> Any:
        return view.row(task, self.details.get(task.id), self._known_life, self.desk.wall())
