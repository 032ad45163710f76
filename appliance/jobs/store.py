"""The jobs in `appliance.db`.

Rules: a state changes only by an event of the table in `states`, in one transaction; each method
blocks for one; of the jobs that ended, the newest are kept.
"""

import json
from dataclasses import dataclass, field, fields
from typing import Any, Final

import msgspec
import sqlalchemy as sa
from sqlalchemy import Connection, Engine, RowMapping

from appliance.clock import Clock
from appliance.db import SealedText
from appliance.errors import StateRefused
from appliance.jobs.kind import JsonObject, dumps
from appliance.jobs.progress import Progress
from appliance.jobs.states import ENDED, LIVE, JobState, following
from appliance.types import Held

TABLES: Final = """\
CREATE TABLE jobs (
  id INTEGER PRIMARY KEY AUTOINCREMENT,
  kind TEXT NOT NULL,
  title TEXT NOT NULL,
  actor TEXT NOT NULL,
  params TEXT NOT NULL,
  state TEXT NOT NULL,
  served INTEGER NOT NULL,
  checkpoint TEXT,
  result TEXT,
  code TEXT NOT NULL DEFAULT '',
  message TEXT NOT NULL DEFAULT '',
  phase TEXT NOT NULL DEFAULT '',
  done INTEGER NOT NULL DEFAULT 0,
  total INTEGER NOT NULL DEFAULT 0,
  unit TEXT NOT NULL DEFAULT '',
  created_us INTEGER NOT NULL,
  started_us INTEGER,
  ended_us INTEGER
) STRICT;
CREATE INDEX jobs_state ON jobs (state);
"""


@dataclass(frozen=True)
class StoredJob:
    """A job as it is kept.

    Attributes:
        served: a server ran it, so that the next one resumes it.
        params, result: JSON, as its kind reads it.
        code, message: why it failed or stopped.
        created_us, started_us, ended_us: wall time; `started_us` is that of the first start.
    """

    id: int
    kind: str
    title: str
    actor: str
    params: str
    state: JobState = JobState.QUEUED
    served: bool = False
    checkpoint: JsonObject | None = None
    result: str | None = None
    code: str = ""
    message: str = ""
    progress: Progress = field(default_factory=Progress)
    created_us: int = 0
    started_us: int | None = None
    ended_us: int | None = None


_FAILED: Final = (JobState.FAILED, JobState.INTERRUPTED)
_PROGRESS: Final = ("phase", "done", "total", "unit")
_SEALED: Final = ("params", "checkpoint", "result", "message")
_NAMES: Final = [each.name for each in fields(StoredJob) if each.name != "progress"]
JOBS: Final = sa.table(
    "jobs",
    *(sa.column(name, SealedText if name in _SEALED else None) for name in (*_NAMES, *_PROGRESS)),
)


class JobStore:
    """Reads and writes them; keeps `keep` jobs that ended, and stops those of the ids `held`."""

    def __init__(
        self, database: Engine, clock: Clock, keep: int = 1_000, held: Held = frozenset
    ) -> None:
        self._database, self._clock, self._keep = database, clock, keep
        self._held = held

    def check(self, job_id: int) -> None:
        """Check that a job may continue (`state_differs`)."""
        if str(job_id) in self._held():
            raise StateRefused("state_differs", f"Job {job_id} is not as the log has it.")

    def create(self, kind: str, title: str, actor: str, params: str, served: bool) -> StoredJob:
        row = sa.insert(JOBS).values(
            kind=kind,
            title=title,
            actor=actor,
            params=params,
            state=JobState.QUEUED,
            served=served,
            created_us=self._clock.wall_us(),
        )
        with self._database.begin() as connection:
            made = connection.execute(row.returning(JOBS)).mappings().one()
            self._trim(connection)
            return _job(made)

    def get(self, job_id: int) -> StoredJob:
        with self._database.connect() as connection:
            return _read(connection, job_id)

    def newest(self, count: int) -> list[StoredJob]:
        return self._found(sa.select(JOBS).order_by(JOBS.c.id.desc()).limit(count))

    def unfinished(self) -> list[StoredJob]:
        """Jobs that are queued or under way by their rows, the oldest first."""
        wanted = JOBS.c.state.in_(LIVE | {JobState.QUEUED})
        return self._found(sa.select(JOBS).where(wanted).order_by(JOBS.c.id))

    def failed(self, since_us: int) -> list[StoredJob]:
        """Jobs that failed since then, loads excepted, unless a later one like it succeeded."""
        later = JOBS.alias()
        again = sa.exists().where(
            later.c.kind == JOBS.c.kind,
            later.c.title == JOBS.c.title,
            later.c.id > JOBS.c.id,
            later.c.state.in_((JobState.DONE, *_FAILED)),
        )
        wanted = sa.select(JOBS).where(
            JOBS.c.state.in_(_FAILED), JOBS.c.kind != "load", JOBS.c.ended_us >= since_us, ~again
        )
        return self._found(wanted.order_by(JOBS.c.id.desc()).limit(20))

    def done(self, kind: str, count: int) -> list[StoredJob]:
        wanted = sa.select(JOBS).where(JOBS.c.kind == kind, JOBS.c.state == JobState.DONE)
        return self._found(wanted.order_by(JOBS.c.id.desc()).limit(count))

    def counts(self) -> dict[str, int]:
        wanted = sa.select(JOBS.c.state, sa.func.count()).group_by(JOBS.c.state)
        with self._database.connect() as connection:
            return dict(connection.execute(wanted).all())

    def advance(self, job_id: int, event: str, **columns: Any) -> StoredJob:
        """Change the state, and columns with it (`unknown_job_id`, `job_wrong_state`)."""
        with self._database.begin() as connection:
            before = _read(connection, job_id)
            state = following(before.state, event)
            changed: dict[str, Any] = {**columns, "state": state}
            if state is JobState.RUNNING and before.started_us is None:
                changed["started_us"] = self._clock.wall_us()
            changed["ended_us"] = self._clock.wall_us() if state in ENDED else None
            _update(connection, job_id, changed)
            return _read(connection, job_id)

    def note(self, job_id: int, progress: Progress) -> None:
        with self._database.begin() as connection:
            _update(connection, job_id, columns_of(progress))

    def save(self, job_id: int, checkpoint: JsonObject) -> None:
        with self._database.begin() as connection:
            _update(connection, job_id, {"checkpoint": dumps(checkpoint)})

    def _found(self, wanted: sa.Select[Any]) -> list[StoredJob]:
        with self._database.connect() as connection:
            return [_job(row) for row in connection.execute(wanted).mappings()]

    def _trim(self, connection: Connection) -> None:
        old, ended = JOBS.alias(), JOBS.c.state.in_(ENDED)
        newest = sa.select(old.c.id).where(old.c.state.in_(ENDED)).order_by(old.c.id.desc())
        last = newest.limit(1).offset(self._keep).scalar_subquery()
        connection.execute(sa.delete(JOBS).where(ended, JOBS.c.id <= last))


def columns_of(progress: Progress) -> dict[str, Any]:
    """Progress as columns; the rate is not kept."""
    return {name: getattr(progress, name) for name in _PROGRESS}


def _read(connection: Connection, job_id: int) -> StoredJob:
    row = connection.execute(sa.select(JOBS).where(JOBS.c.id == job_id)).mappings().first()
    if row is None:
        raise StateRefused("unknown_job_id", f"No job has the id {job_id}.", param="id")
    return _job(row)


def _job(row: RowMapping) -> StoredJob:
    checkpoint = row["checkpoint"]
    values = {
        **row,
        "served": bool(row["served"]),
        "checkpoint": None if checkpoint is None else json.loads(checkpoint),
        "progress": dict(row),
    }
    return msgspec.convert(values, StoredJob)


def _update(connection: Connection, job_id: int, values: dict[str, Any]) -> None:
    connection.execute(sa.update(JOBS).where(JOBS.c.id == job_id).values(values))
