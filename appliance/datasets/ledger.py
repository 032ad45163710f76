"""The ledger of looks: every opening of a sealed split, who opened it for what, and what is left.

Rules:
- A look is taken before the split is opened: its audit entry is durable first, then its row.
- A look is keyed by the marks of the groups that it saw. A dataset that shares one group with it
  inherits the look, whatever its name, version or seal.
- A split has `LOOKS` looks. The first pass ends them for all but the task that passed, which may
  need another certificate, under another engine say.
- A signed specification takes one look, in one job: a job that is resumed keeps its look, and
  another job cannot use the specification.
- Rows are only added; a verdict is written once.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Final

import sqlalchemy as sa
from sqlalchemy import Connection, Engine

from appliance.errors import StateRefused

LOOKS: Final = 4
"""Looks at a sealed split, each at alpha / LOOKS (Bonferroni)."""
_CHUNK: Final = 500

TABLES: Final = """
CREATE TABLE looks (
  id TEXT PRIMARY KEY,
  job INTEGER NOT NULL,
  task TEXT NOT NULL,
  task_digest TEXT NOT NULL,
  dataset TEXT NOT NULL,
  dataset_digest TEXT NOT NULL,
  split TEXT NOT NULL,
  person TEXT NOT NULL,
  alpha_micros INTEGER NOT NULL,
  taken_us INTEGER NOT NULL,
  entry INTEGER NOT NULL,
  verdict TEXT NOT NULL DEFAULT '',
  certificate TEXT NOT NULL DEFAULT ''
) STRICT;
CREATE TABLE look_marks (
  mark TEXT NOT NULL,
  look TEXT NOT NULL REFERENCES looks (id),
  PRIMARY KEY (mark, look)
) STRICT;
"""
"""SQL script for appliance.db; a migration in the sense of `appliance.db`."""

_LOOKS: Final = sa.table(
    "looks",
    *map(
        sa.column,
        (
            "id", "job", "task", "task_digest", "dataset", "dataset_digest", "split", "person",
            "alpha_micros", "taken_us", "entry", "verdict", "certificate",
        ),
    ),
)  # fmt: skip
_MARKS: Final = sa.table("look_marks", sa.column("mark"), sa.column("look"))


@dataclass(frozen=True)
class Look:
    """One opening of a sealed split.

    Attributes:
        id: hex digest of the signed specification.
        job: that opened it.
        person: who signed the specification.
        alpha_micros: probability of a wrong pass over all looks, in millionths.
        entry: number of its audit entry.
        verdict: pass, fail or underpowered; "" until the job says it.
        certificate: of a pass.
    """

    id: str
    job: int
    task: str
    task_digest: str
    dataset: str
    dataset_digest: str
    split: str
    person: str
    alpha_micros: int
    taken_us: int
    entry: int = 0
    verdict: str = ""
    certificate: str = ""


class Ledger:
    """The looks of one appliance.

    Args:
        database: an engine whose migrations include `TABLES`.
    """

    def __init__(self, database: Engine) -> None:
        self._database = database

    def take(
        self, look: Look, marks: Iterable[str], record: Callable[[Look, int], int]
    ) -> tuple[Look, int]:
        """Take a look, or find the one that the same job took before it was interrupted.

        Args:
            marks: of the groups that will be seen.
            record: writes the audit entry of a look and its number among all, and returns the
                entry's number once it is durable. Called inside the transaction.

        Returns:
            The look, and its number, from 1.

        Raises:
            StateRefused: `looks_spent`, `specification_used`; nothing was recorded then.
        """
        wanted = set(marks)
        with self._database.begin() as connection:
            earlier = _sharing(connection, wanted)
            for number, known in enumerate(earlier, 1):
                if known.id == look.id:
                    _check_job(known, look)
                    return known, number
            if known_rows := _select(connection, _LOOKS.c.id == look.id):
                _check_job(known_rows[0], look)
                raise StateRefused("specification_used", "It was used for other groups.")
            _check_left(earlier, look.task_digest)
            number = len(earlier) + 1
            entry = record(look, number)
            connection.execute(sa.insert(_LOOKS).values({**vars(look), "entry": entry}))
            connection.execute(
                sa.insert(_MARKS), [{"mark": mark, "look": look.id} for mark in sorted(wanted)]
            )
            return _select(connection, _LOOKS.c.id == look.id)[0], number

    def conclude(self, look_id: str, verdict: str, certificate: str) -> None:
        """Write the verdict of a look; one that is written stays."""
        with self._database.begin() as connection:
            connection.execute(
                sa.update(_LOOKS)
                .where(_LOOKS.c.id == look_id, _LOOKS.c.verdict == "")
                .values(verdict=verdict, certificate=certificate)
            )

    def counted(self, job: int) -> tuple[int, int] | None:
        """Looks taken at the groups that a job looked at, and those left for its task, as of now.

        None where the job took none.
        """
        with self._database.begin() as connection:
            for look in _select(connection, _LOOKS.c.job == job):
                own = connection.execute(sa.select(_MARKS.c.mark).where(_MARKS.c.look == look.id))
                looks = _sharing(connection, {str(mark) for (mark,) in own})
                return len(looks), left(looks, look.task_digest)
        return None

    def of_certificate(self, certificate: str) -> Look | None:
        """The look that ended in a certificate; None where it was taken elsewhere."""
        with self._database.begin() as connection:
            return next(iter(_select(connection, _LOOKS.c.certificate == certificate)), None)

    def looks(self, marks: Iterable[str]) -> list[Look]:
        """The looks that a split with these marks has behind it, the oldest first."""
        with self._database.begin() as connection:
            return _sharing(connection, set(marks))


def left(looks: list[Look], task_digest: str = "") -> int:
    """How many looks are left after these, for a task; for any other task by default."""
    if _passed_by_others(looks, task_digest):
        return 0
    return max(0, LOOKS - len(looks))


def holder(looks: list[Look]) -> Look | None:
    """The look that passed, whose task alone may look again; None while every task may."""
    return next((look for look in looks if look.verdict == "pass"), None)


def _passed_by_others(looks: list[Look], task_digest: str) -> bool:
    return any(look.verdict == "pass" and look.task_digest != task_digest for look in looks)


def _check_left(looks: list[Look], task_digest: str) -> None:
    if left(looks, task_digest):
        return
    if _passed_by_others(looks, task_digest):
        reason = "Another task passed on these groups, which ends their looks."
    else:
        reason = f"{len(looks)} of {LOOKS} looks at these groups are taken."
    raise StateRefused("looks_spent", reason)


def _check_job(known: Look, look: Look) -> None:
    if known.job != look.job:
        raise StateRefused("specification_used", f"Job {known.job} used this specification.")


def _sharing(connection: Connection, marks: set[str]) -> list[Look]:
    """Looks with a mark in common, oldest first."""
    found: set[str] = set()
    ordered = sorted(marks)
    for start in range(0, len(ordered), _CHUNK):
        some = ordered[start : start + _CHUNK]
        rows = connection.execute(sa.select(_MARKS.c.look).where(_MARKS.c.mark.in_(some)))
        found |= {str(look) for (look,) in rows}
    return _select(connection, _LOOKS.c.id.in_(sorted(found))) if found else []


def _select(connection: Connection, where: sa.ColumnElement[bool]) -> list[Look]:
    rows = connection.execute(
        sa.select(_LOOKS).where(where).order_by(_LOOKS.c.taken_us, _LOOKS.c.id)
    )
    return [Look(**row) for row in rows.mappings()]
