"""Drift: weeks in which the requests of a task changed."""

from typing import ClassVar, NamedTuple

from textual.content import Content

from appliance.client import AdminClient
from appliance.wire.admin import drift as wire
from appliance.wire.admin.models import MODELS
from tui.change import Change, asking, reason_blank, report_to_file
from tui.desk import Desk
from tui.keys import Act
from tui.link import Question, or_else
from tui.screens.listing import DetailPage
from tui.view import drift as view
from tui.widgets.part import Part
from tui.widgets.rows import Rows


class DriftFound(NamedTuple):
    """The weeks of each task that is watched."""

    weeks: list[wire.Drift]


class DriftPage(DetailPage[wire.Drift]):
    """Weeks, by task."""

    TITLE: ClassVar[str] = "Drift"
    COMMAND: ClassVar[str] = "drift show"
    ACTS: ClassVar[tuple[Act, ...]] = (
        Act("r", "restart", "End the alarm, learn a new reference", wire.DRIFT_RESTART.role),
    )

    def __init__(self, desk: Desk) -> None:
        empty = "No drift checks. Run one with `appliance drift check TASK`."
        rows = Rows("drifts", view.COLUMNS, lambda d: d.document.task, view.row, empty)
        super().__init__(desk, rows, Part("drift", "DRIFT"))

    def question(self) -> Question | None:
        return Question("drift", _ask)

    def came(self, answer: DriftFound) -> None:
        self.found = answer.weeks

    def open(self, item: wire.Drift) -> None:
        self.post_message(self.Go("Tasks", item.document.task))

    def summed(self) -> Content:
        return view.summary(self.found)

    def said(self, item: wire.Drift, width: int) -> list[Content]:
        return view.detail(item, width)

    def refuses(self, act: str, item: wire.Drift | None) -> str:
        return "no row is under the cursor" if self.rows.current is None else ""

    def make(self, act: str, item: wire.Drift) -> Change | None:
        task = item.document.task
        return asking(
            self.desk.client,
            wire.DRIFT_RESTART,
            f"Learn a new reference for {task}",
            f"admin: drift_restart {task}, by you",
            lambda found: f"{task}: {found.document.state}",
            request=lambda answers: wire.Restart.of(reason=answers["reason"]),
            blanks=(reason_blank(),),
            explain=("The weeks before are no longer compared.",),
            task=task,
        )

    def action_write(self) -> None:
        current = self.rows.current
        if current is not None:
            task = current.document.task
            at, client = wire.DRIFT_REPORT, self.desk.client
            self.begin(
                report_to_file(
                    f"the weeks of {task}", at.said(task=task), f"drift-{task}.html",
                    lambda: client.call(at, task=task).html,
                )
            )  # fmt: skip


def drift_of(client: AdminClient, task: str) -> wire.Drift | None:
    """None where the task is not watched."""
    return or_else(lambda: client.call(wire.DRIFT, task=task), None)


def _ask(client: AdminClient) -> DriftFound:
    tasks = [model.id for model in client.call(MODELS).models if model.kind in ("task", "route")]
    return DriftFound([found for task in tasks if (found := drift_of(client, task)) is not None])
