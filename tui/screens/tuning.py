"""Tunings: costs, learning, results, several side by side.

Rules: a tuning is a job and is steered on the screen of the jobs.
"""

from functools import partial
from typing import Any, ClassVar, Final, NamedTuple

from textual.content import Content

from appliance.client import AdminClient
from appliance.errors import ApplianceError
from appliance.wire.admin import tunings as wire
from appliance.wire.admin.jobs import JOB, JOBS, Job
from appliance.wire.admin.tunings import MOST, LossRun, TuningsCompared
from tui.change import Change, report_to_file
from tui.desk import Desk
from tui.keys import Act
from tui.link import Question, or_else
from tui.screens.full_view import TextScreen, WholeScreen
from tui.screens.listing import DetailPage
from tui.view import tuning as view
from tui.view.jobs import LIVE
from tui.widgets.part import Part
from tui.widgets.rows import Rows

_KIND: Final = "tune"
_NEWEST: Final = 300  # jobs that are looked through


class TuningsFound(NamedTuple):
    """The newest tunings, and what was not known of the one under the cursor.

    Attributes:
        runs: None where they were not asked for, or cannot be had.
        compared: the marked ones side by side, or why they cannot be.
    """

    jobs: list[Job]
    whole: Job | None
    runs: tuple[Job, list[LossRun]] | None
    compared: TuningsCompared | ApplianceError | None


class TuningPage(DetailPage[Job]):
    """Tunings and plans, the newest first."""

    TITLE: ClassVar[str] = "Tuning"
    COMMAND: ClassVar[str] = "tune show"
    ACTS: ClassVar[tuple[Act, ...]] = (Act("c", "compare", "Compare the marked ones", item=False),)

    def __init__(self, desk: Desk) -> None:
        empty = "No tunings. Start one with `appliance tune run TASK_DIR --data DATASET_DIR`."
        rows = Rows("tunings", view.COLUMNS, lambda j: str(j.id), self._cells, empty)
        super().__init__(desk, rows, Part("tuning", "TUNING"))
        self._whole: dict[int, Job] = {}
        self._runs: dict[int, tuple[str, list[LossRun]]] = {}
        self._compared: tuple[tuple[int, ...], TuningsCompared] | None = None

    def question(self) -> Question | None:
        current, marked = self.rows.current, self._side()
        number = None if current is None else current.id
        topic = f"tuning {number} {marked}"
        return Question(topic, lambda client: self._ask(client, number, marked))

    def _ask(
        self, client: AdminClient, number: int | None, marked: tuple[int, ...]
    ) -> TuningsFound:
        jobs = [job for job in client.call(JOBS, count=_NEWEST).jobs if job.kind == _KIND]
        named = next((job for job in jobs if job.id == number), jobs[0] if jobs else None)
        whole, runs = None, None
        if named is not None:
            if named.state == "done" and named.id not in self._whole:
                whole = client.call(JOB, job_id=named.id)
            kept = self._runs.get(named.id)
            known = kept is not None and kept[0] == named.state not in LIVE
            if not known and not view.planned(named):
                at, number = wire.TUNING_LOSSES, named.id
                found = or_else(lambda: client.call(at, job_id=number).runs, None)
                runs = None if found is None else (named, found)
        told = self._compared is not None and self._compared[0] == marked
        wanted = len(marked) > 1 and not told
        return TuningsFound(jobs, whole, runs, _compared(client, marked) if wanted else None)

    def came(self, answer: TuningsFound) -> None:
        self.found = answer.jobs
        if answer.whole is not None:
            self._whole[answer.whole.id] = answer.whole
        if answer.runs is not None:
            job, runs = answer.runs
            self._runs[job.id] = (job.state, runs)
        if isinstance(answer.compared, TuningsCompared):
            ids = tuple(each.id for each in answer.compared.tunings)
            self._compared = (ids, answer.compared)
        elif answer.compared is not None:
            self._error = answer.compared

    def _side(self) -> tuple[int, ...]:
        chosen = self.rows.chosen if self.rows.marked else ()
        return tuple(job.id for job in chosen if _trained(job))[:MOST]

    def moved(self) -> None:
        self.post_message(self.Asked())

    def summed(self) -> Content:
        return view.summary(self.found, self.rows.count, len(self._side()))

    def said(self, item: Job, width: int) -> list[Content]:
        found, now = self._whole.get(item.id, item), self.desk.wall()
        return view.detail(found, self._losses(), now, width, ascii_only=self.desk.basic)

    def _losses(self) -> list[LossRun]:
        current = self.rows.current
        return [] if current is None else self._runs.get(current.id, ("", []))[1]

    def _cells(self, job: Job) -> Any:
        return view.row(job, self.desk.wall(), ascii_only=self.desk.basic)

    def open(self, item: Job) -> None:
        whole = self._whole.get(item.id, item)
        self.app.push_screen(TuningScreen(self.desk, whole, self._losses()))

    def refuses(self, act: str, item: object) -> str:
        if act == "write":
            current = self.rows.current
            trained = current is not None and _trained(current)
            return "" if trained and not self.desk.stale else "it trained no adapter yet"
        return (
            "" if self._side_by_side() is not None else "mark two or more that are done, by space"
        )

    def _side_by_side(self) -> TuningsCompared | None:
        if self._compared is None or self._compared[0] != self._side():
            return None
        return self._compared[1]

    def make(self, act: str, item: object) -> Change | None:
        found = self._side_by_side()
        if found is not None:
            text = partial(view.compared, found, ascii_only=self.desk.basic)
            self.app.push_screen(TextScreen(self.desk, "SIDE BY SIDE", "tunings-compared", text))
        return None

    def action_write(self) -> None:
        current = self.rows.current
        if current is not None:
            self.begin(report(self.desk, current.id))


class TuningScreen(WholeScreen):
    """One tuning whole."""

    frame_title = "TUNING"
    PART = "tuning-whole"

    def __init__(self, desk: Desk, job: Job, runs: list[LossRun]) -> None:
        super().__init__(desk)
        self._job, self._runs = job, runs

    def said(self, width: int) -> list[Content]:
        basic, now = self.desk.basic, self.desk.wall()
        return view.whole(self._job, self._runs, now, width, ascii_only=basic)

    def refuses(self, act: str, item: object) -> str:
        return "" if _trained(self._job) else "it trained no adapter"

    def action_write(self) -> None:
        self.begin(report(self.desk, self._job.id))


def _trained(job: Job) -> bool:
    return job.state == "done" and not view.planned(job)


def _compared(client: AdminClient, numbers: tuple[int, ...]) -> TuningsCompared | ApplianceError:
    """Tunings side by side, or why they are not."""
    try:
        return client.call(wire.TUNINGS_COMPARE, wire.CompareTunings.of(tunings=list(numbers)))
    except ApplianceError as error:
        return error


def report(desk: Desk, number: int) -> Change:
    """Write a tuning's page."""
    request = f"GET /admin/tunings/{number}/report"
    return report_to_file(
        f"tuning {number}", request, f"tuning-{number}.html",
        lambda: desk.client.call(wire.TUNING_REPORT, job_id=number).html,
    )  # fmt: skip
