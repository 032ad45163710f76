"""Schemas of the jobs."""

from typing import Any, Final, TypeVar

from pydantic import Field, ValidationInfo, field_validator

from appliance.wire.admin import results
from appliance.wire.admin.base import Reply, Request, Verbatim
from appliance.wire.admin.columns import ColumnKind, ListColumn, ListTable
from appliance.wire.admin.endpoint import operators, viewers

R = TypeVar("R", bound=Verbatim)


class JobProgress(Reply):
    """Progress of a job.

    `total` is 0 while unknown; `rate` is units a second over the last seconds, null while unknown.
    """

    phase: str = ""
    done: int = 0
    total: int = 0
    unit: str = ""
    rate: float | None = None
    seconds_left: int | None = None


class Job(Reply):
    """One job.

    `state` is "queued", "running", "pausing", "paused", "cancelling", "done", "failed", "cancelled"
    or "interrupted"; `actions` are what it allows now: "pause", "resume", "cancel". Of `heavy` jobs
    one with an engine and one without run at a time. `code`, `message` and `hint` say why it failed
    or stopped. `result` has the form of the `kind`; a list has none.
    """

    id: int
    kind: str
    title: str
    state: str
    actor: str
    heavy: bool = False
    actions: list[str] = Field(default=[])
    progress: JobProgress = Field(default_factory=lambda: JobProgress())
    created: str
    started: str | None = None
    ended: str | None = None
    code: str = ""
    message: str = ""
    hint: str = ""
    params: dict[str, Any] = Field(default={})
    result: results.JobResult | None = None

    @field_validator("result", mode="before")
    @classmethod
    def _of_its_kind(cls, given: Any, known: ValidationInfo) -> Any:
        if not isinstance(given, dict):
            return given
        return results.read(known.data.get("kind", ""), given)

    def came_to(self, form: type[R]) -> R | None:
        """The result, where it has this form."""
        return self.result if isinstance(self.result, form) else None

    @property
    def told(self) -> dict[str, Any]:
        """The result as JSON values; empty without one."""
        return {} if self.result is None else self.result.document


class JobList(Reply):
    """The newest jobs, the newest first."""

    jobs: list[Job]


class JobStart(Request):
    """Start a job that runs by itself; each kind has its own parameters."""

    kind: str = Field(max_length=40)
    params: dict[str, Any]


class LoadRequest(Request):
    """Load a model; `reason` is for the log."""

    model: str = Field(min_length=1, max_length=64)
    reason: str = Field(default="by hand", max_length=200)


class Export(Request):
    """Write all entries to a new file or directory of the server's host.

    `format` is "ocsf", "cef", "rfc5424", "csv" or "tiles".
    """

    format: str = Field(max_length=20)
    out: str = Field(min_length=1, max_length=4_096)


class ReplayWanted(Request):
    """Compute recorded answers again, named in one of these ways.

    Attributes:
        seqs: intents or outcomes of answers.
        sample: so many answers, drawn from those since `since_us`, microseconds since the epoch.
        export: a file on the server's host with answers of another log, whose first key is `key`.
        out: a new file on the server's host: the answers go there, with their texts, uncomputed.
        here: only answers of models that are in memory.
    """

    seqs: tuple[int, ...] = Field(default=(), max_length=10_000)
    sample: int = Field(default=0, ge=0, le=100_000)
    since_us: int = Field(default=0, ge=0)
    export: str = Field(default="", max_length=4_096)
    key: str = Field(default="", max_length=4_096)
    out: str = Field(default="", max_length=4_096)
    here: bool = False


def far(told: JobProgress) -> str:
    """Write a job's progress."""
    if not told.phase:
        return "-"
    if not told.total:
        return f"{told.phase} {told.done or ''}".rstrip()
    left = "" if told.seconds_left is None else f", {told.seconds_left} s left"
    return f"{told.phase} {100 * told.done // told.total} %{left}"


JOBS = viewers.get("/admin/jobs{?count}", JobList)
JOB = viewers.get("/admin/jobs/{job_id}", Job)
JOB_START = viewers.post("/admin/jobs", JobStart, Job)
JOB_PAUSE = operators.post("/admin/jobs/{job_id}/pause", Job)
JOB_RESUME = operators.post("/admin/jobs/{job_id}/resume", Job)
JOB_CANCEL = operators.post("/admin/jobs/{job_id}/cancel", Job)
JOB_TABLE: Final[ListTable[Job]] = ListTable(
    "No jobs. Start one with a command that takes long, such as `appliance eval run`.",
    (
        ListColumn("ID", lambda job: job.id),
        ListColumn("KIND", lambda job: job.kind),
        ListColumn("STATE", lambda job: job.state, ColumnKind.STATE),
        ListColumn("PROGRESS", lambda job: far(job.progress)),
        ListColumn("SINCE", lambda job: job.created),
        ListColumn("WHAT", lambda job: job.title),
    ),
)
