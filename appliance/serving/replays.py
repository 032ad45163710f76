"""Counts of replayed answers, and those that differ."""

import json
from dataclasses import dataclass
from typing import Final

import sqlalchemy as sa
from sqlalchemy.engine import Engine

from appliance.clock import Clock
from appliance.jobs.store import JobStore
from appliance.types import Told
from appliance.wire.admin.results import AnswerReplayed, AnswersReplayed, read

KIND: Final = "replay"
TABLES: Final = """\
CREATE TABLE replay_differences (
  seq INTEGER PRIMARY KEY,
  message TEXT NOT NULL,
  told_us INTEGER NOT NULL
) STRICT;
"""
_ROWS: Final = sa.table(
    "replay_differences", sa.column("seq"), sa.column("message"), sa.column("told_us")
)
_JOBS: Final = 50


class ReplayDifferences:
    """Answers of this log that differ or are not proved, until they are the same."""

    def __init__(self, database: Engine, clock: Clock) -> None:
        self._database, self._clock = database, clock

    def take(self, one: AnswerReplayed, named: bool) -> None:
        if one.verdict == "cannot" and one.proved and not (named and one.lasting):
            return  # nobody asked for it, or it may be computed later
        where = "" if one.token is None else f" at token {one.token}"
        message = (
            f"The answer of entry {one.seq} differs{where}: {one.why}."
            if one.proved
            else f"The log does not prove the answer of entry {one.seq}: {one.why}"
        )
        row = {"seq": one.seq, "message": message, "told_us": self._clock.wall_us()}
        with self._database.begin() as connection:
            connection.execute(sa.delete(_ROWS).where(_ROWS.c.seq == one.seq))
            if one.verdict == "differs" or not one.proved:
                connection.execute(sa.insert(_ROWS).values(row))

    def all(self) -> tuple[Told, ...]:
        """The newest first."""
        wanted = sa.select(_ROWS).order_by(_ROWS.c.told_us.desc(), _ROWS.c.seq)
        with self._database.connect() as connection:
            rows = connection.execute(wanted).mappings()
            return tuple(Told(str(row["seq"]), row["message"], row["told_us"]) for row in rows)


@dataclass(frozen=True)
class ReplayCounts:
    """Answers of the newest jobs."""

    same: int = 0
    differ: int = 0


def counted(jobs: JobStore) -> ReplayCounts:
    """Read them from the jobs."""
    found = ReplayCounts()
    for job in jobs.done(KIND, _JOBS):
        result = read(KIND, json.loads(job.result or "{}"))
        if isinstance(result, AnswersReplayed):
            found = ReplayCounts(found.same + result.same, found.differ + result.differs)
    return found
