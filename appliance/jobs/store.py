"""The jobs in `appliance.db`.

Rules: a state changes only by an event of the table in `states`, in one transaction; each method
blocks for one; of the jobs that ended, the newest are kept.
"""

import json
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import Connection, Engine, Executable, RowMapping, column, table

from appliance.clock import Clock
from appliance.db import SealedText, sealed_columns
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
TEXTS: Final = table(
    "jobs", *(column(name, SealedText) for name in ("params", "checkpoint", "result", "message"))
)
"""The columns that lie encrypted."""


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
    state: JobState
    served: bool
    checkpoint: JsonObject | None
    result: str | None
    code: str
    message: str
    progress: Progress
    created_us: int
    started_us: int | None
    ended_us: int | None


def unkept(kind: str, title: str, actor: str, params: str) -> StoredJob:
    """A job that has no row yet, so no number."""
    return StoredJob(
        id=0,
        kind=kind,
        title=title,
        actor=actor,
        params=params,
        state=JobState.QUEUED,
        served=False,
        checkpoint=None,
        result=None,
        code="",
        message="",
        progress=Progress(),
        created_us=0,
        started_us=None,
        ended_us=None,
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
        values = {
            "kind": kind,
            "title": title,
            "actor": actor,
            "params": params,
            "state": JobState.QUEUED,
            "served": served,
            "created_us": self._clock.wall_us(),
        }
        sql = f"INSERT INTO jobs ({', '.join(values)}) VALUES ({_marks(values)})"  # noqa: S608 - our own words
        with self._database.begin() as connection:
            made = connection.execute(_sql(sql), values)
            self._trim(connection)
            return _read(connection, int(made.lastrowid))

    def get(self, job_id: int) -> StoredJob:
        with self._database.connect() as connection:
            return _read(connection, job_id)

    def newest(self, count: int) -> list[StoredJob]:
        sql = _sql("SELECT * FROM jobs ORDER BY id DESC LIMIT :count")
        with self._database.connect() as connection:
            return [_job(row) for row in connection.execute(sql, {"count": count}).mappings()]

    def unfinished(self) -> list[StoredJob]:
        """Jobs that are queued or under way by their rows, the oldest first."""
        return self._in_states(LIVE | {JobState.QUEUED})

    def failed(self, since_us: int) -> list[StoredJob]:
        """Jobs that failed since then, loads excepted, unless a later one like it succeeded."""
        sql = _sql(
            "SELECT * FROM jobs AS one WHERE state IN ('failed', 'interrupted') AND kind != 'load'"
            " AND ended_us >= :since AND NOT EXISTS (SELECT 1 FROM jobs AS later"
            " WHERE later.kind = one.kind AND later.title = one.title AND later.id > one.id"
            " AND later.state IN ('done', 'failed', 'interrupted')) ORDER BY id DESC LIMIT 20"
        )
        with self._database.connect() as connection:
            rows = connection.execute(sql, {"since": since_us}).mappings()
            return [_job(row) for row in rows]

    def done(self, kind: str, count: int) -> list[StoredJob]:
        sql = _sql("SELECT * FROM jobs WHERE kind = :kind AND state = 'done'"
                   " ORDER BY id DESC LIMIT :count")  # fmt: skip
        with self._database.connect() as connection:
            rows = connection.execute(sql, {"kind": kind, "count": count}).mappings()
            return [_job(row) for row in rows]

    def counts(self) -> dict[str, int]:
        sql = _sql("SELECT state, COUNT(*) AS number FROM jobs GROUP BY state")
        with self._database.connect() as connection:
            return {row["state"]: row["number"] for row in connection.execute(sql).mappings()}

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

    def _in_states(self, states: Iterable[JobState]) -> list[StoredJob]:
        values = {f"state{number}": state for number, state in enumerate(states)}
        sql = f"SELECT * FROM jobs WHERE state IN ({_marks(values)}) ORDER BY id"  # noqa: S608 - our own words
        with self._database.connect() as connection:
            return [_job(row) for row in connection.execute(_sql(sql), values).mappings()]

    def _trim(self, connection: Connection) -> None:
        states = {f"state{number}": state for number, state in enumerate(ENDED)}
        ended = f"state IN ({_marks(states)})"
        sql = (
            f"DELETE FROM jobs WHERE {ended} AND id <= (SELECT id FROM jobs WHERE {ended}"  # noqa: S608 - our own words
            " ORDER BY id DESC LIMIT 1 OFFSET :keep)"
        )
        connection.execute(_sql(sql), {**states, "keep": self._keep})


def columns_of(progress: Progress) -> dict[str, Any]:
    """Progress as columns; the rate is not kept."""
    return {name: getattr(progress, name) for name in ("phase", "done", "total", "unit")}


def _read(connection: Connection, job_id: int) -> StoredJob:
    sql = _sql("SELECT * FROM jobs WHERE id = :id")
    row = connection.execute(sql, {"id": job_id}).mappings().first()
    if row is None:
        raise StateRefused("unknown_job_id", f"No job has the id {job_id}.", param="id")
    return _job(row)


def _job(row: RowMapping) -> StoredJob:
    return StoredJob(
        id=row["id"],
        kind=row["kind"],
        title=row["title"],
        actor=row["actor"],
        params=row["params"],
        state=JobState(row["state"]),
        served=bool(row["served"]),
        checkpoint=None if row["checkpoint"] is None else json.loads(row["checkpoint"]),
        result=row["result"],
        code=row["code"],
        message=row["message"],
        progress=Progress(row["phase"], row["done"], row["total"], row["unit"]),
        created_us=row["created_us"],
        started_us=row["started_us"],
        ended_us=row["ended_us"],
    )


def _update(connection: Connection, job_id: int, values: dict[str, Any]) -> None:
    """Write some columns; their names are our own words."""
    columns = ", ".join(f"{name} = :{name}" for name in values)
    sql = f"UPDATE jobs SET {columns} WHERE id = :id"  # noqa: S608 - our own words
    connection.execute(_sql(sql), {**values, "id": job_id})


def _sql(statement: str) -> Executable:
    return sealed_columns(statement, *TEXTS.c)


def _marks(values: Iterable[str]) -> str:
    return ", ".join(f":{name}" for name in values)
