"""The ledger of looks: every opening of a sealed split, its signer and purpose, and the looks left.

Rules:
- A look is taken before the split is opened: its audit entry is durable first, then its row.
- A split that shares more than `MOST` of its items or groups with a look inherits it, whatever its
  name, version or seal.
- A split has `LOOKS` looks, and spends alpha as its first look began. A pass ends them for all but
  the task that passed and its later versions; outcomes that leave end them for all.
- A signed specification takes one look, in one job.
- Rows are only added; a verdict is written once.
"""

import hashlib
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import Final

import sqlalchemy as sa
from sqlalchemy import Connection, Engine

from appliance.datasets.marks import SplitMarks, parts, shared
from appliance.errors import EvaluationRefused, StateRefused
from appliance.types import Held

LOOKS: Final = 4
"""Looks at a sealed split, which share alpha (Bonferroni)."""
MILLION: Final = 1_000_000
QUARTERS: Final = (250_000, 250_000, 250_000, 250_000)
FALLING: Final = (700_000, 100_000, 100_000, 100_000)
"""Shares of alpha in millionths: most of it for the look that most gates need only."""
MOST: Final = 0.05
"""The share of items or groups above which a split inherits the looks of another."""
UNSPENT: Final = "unspent"
"""The verdict of a look that ended before anything was answered."""
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

SHARES: Final = """
ALTER TABLE looks ADD COLUMN name TEXT NOT NULL DEFAULT '';
ALTER TABLE looks ADD COLUMN version INTEGER NOT NULL DEFAULT 0;
ALTER TABLE looks ADD COLUMN number INTEGER NOT NULL DEFAULT 0;
ALTER TABLE looks ADD COLUMN share_micros INTEGER NOT NULL DEFAULT 250000;
ALTER TABLE looks ADD COLUMN exported INTEGER NOT NULL DEFAULT 0;
CREATE TABLE look_items (
  mark TEXT NOT NULL,
  look TEXT NOT NULL REFERENCES looks (id),
  item INTEGER NOT NULL,
  PRIMARY KEY (mark, look, item)
) STRICT;
CREATE INDEX look_items_look ON look_items (look);
"""
"""A further migration: what each look spent, exports, and marks of items."""

_MARKS: Final = sa.table("look_marks", sa.column("mark"), sa.column("look"))
_ITEMS: Final = sa.table("look_items", *map(sa.column, ("mark", "look", "item")))


@dataclass(frozen=True)
class LedgerLook:
    """One opening of a sealed split.

    Attributes:
        id: hex digest of the signed specification.
        alpha_micros: probability of a wrong pass over all looks, in millionths.
        entry: number of its audit entry.
        verdict: pass, fail, underpowered, interrupted or unspent; "" before it.
        certificate: of a pass.
        name, version: the task's; "" of a route and of older looks.
        number: among the looks at the same; 0 of older looks.
        share_micros: spent alpha.
        exported: 1 once its outcomes have left.
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
    name: str = ""
    version: int = 0
    number: int = 0
    share_micros: int = QUARTERS[0]
    exported: int = 0


_LOOKS: Final = sa.table("looks", *(sa.column(each.name) for each in fields(LedgerLook)))


class LookLedger:
    """The looks of one appliance.

    Args:
        database: an engine whose migrations include `TABLES` and `SHARES`.
        held: ids of looks in which log and rows differ.
    """

    def __init__(self, database: Engine, held: Held = frozenset) -> None:
        self._database, self._held = database, held

    def take(
        self,
        look: LedgerLook,
        marks: SplitMarks,
        record: Callable[[LedgerLook, int], int],
        schedule: Sequence[int] = QUARTERS,
        elsewhere: Sequence[LedgerLook] = (),
    ) -> tuple[LedgerLook, int]:
        """Take a look, or find the one that the same job took before it was interrupted.

        Args:
            record: writes a look's audit entry with its number among all; returns the entry's
                number. Called inside the transaction.
            schedule: share of alpha of each look, by the signed terms.
            elsewhere: looks of the site's other appliances at the same.

        Raises:
            StateRefused: `looks_spent`, `specification_used`, `state_differs`; nothing was recorded
                then.
        """
        if other := sorted(self._held() - {look.id}):
            raise StateRefused("state_differs", f"The look {other[0]} is not as the log has it.")
        with self._database.begin() as connection:
            earlier = _sharing(connection, marks)
            for number, known in enumerate(earlier, 1):
                if known.id == look.id:
                    _check_job(known, look)
                    return known, known.number or number
            if known_rows := _select(connection, _LOOKS.c.id == look.id):
                _check_job(known_rows[0], look)
                raise StateRefused("specification_used", "It was used for other groups.")
            here = {known.id for known in earlier}
            others = [known for known in elsewhere if known.id not in here]
            behind = spent(earlier)
            behind += [  # at most what the looks so far may have spent
                replace(known, share_micros=schedule[min(place, LOOKS - 1)])
                for place, known in enumerate(spent(others), len(behind))
            ]
            _check_left(behind, schedule, look)
            number = len(behind) + 1
            taken = replace(look, number=number, share_micros=schedule[number - 1])
            _insert(connection, replace(taken, entry=record(taken, number)), marks)
            return _select(connection, _LOOKS.c.id == look.id)[0], number

    def note(self, look: LedgerLook, marks: SplitMarks) -> None:
        """Keep a look; of a known one, only its end."""
        with self._database.begin() as connection:
            known = next(iter(_select(connection, _LOOKS.c.id == look.id)), None)
            if known is None:
                _insert(connection, look, marks)
                return
            connection.execute(
                sa.update(_LOOKS)
                .where(_LOOKS.c.id == look.id)
                .values(
                    verdict=known.verdict or look.verdict,
                    certificate=known.certificate or look.certificate,
                    exported=max(known.exported, look.exported),
                    number=look.number or known.number,
                    share_micros=look.share_micros if look.number else known.share_micros,
                )
            )

    def all(self) -> list[tuple[LedgerLook, SplitMarks]]:
        """The two kinds of marks of groups are joined."""
        with self._database.begin() as connection:
            looks = _select(connection, sa.true())
            groups: dict[str, set[str]] = defaultdict(set)
            for mark, look in connection.execute(sa.select(_MARKS.c.mark, _MARKS.c.look)):
                groups[look].add(mark)
            items: dict[str, dict[int, list[str]]] = defaultdict(lambda: defaultdict(list))
            for mark, look, item in connection.execute(sa.select(_ITEMS)):
                items[look][item].append(mark)
        return [(look, _marks(groups[look.id], items[look.id])) for look in looks]

    def conclude(self, look_id: str, verdict: str, certificate: str) -> None:
        """Write the verdict of a look; a written one stays."""
        with self._database.begin() as connection:
            connection.execute(
                sa.update(_LOOKS)
                .where(_LOOKS.c.id == look_id, _LOOKS.c.verdict == "")
                .values(verdict=verdict, certificate=certificate)
            )

    def counted(self, job: int) -> tuple[int, int] | None:
        """Taken, and left for the job's task; None where it took none."""
        looks, look = self.beside(job)
        if look is None:
            return None
        return len(spent(looks)), len(remaining(looks, schedule([look], FALLING), *own(look)))

    def export(self, job: int) -> None:
        """Outcomes have left: the split has no look from now on."""
        with self._database.begin() as connection:
            connection.execute(sa.update(_LOOKS).where(_LOOKS.c.job == job).values(exported=1))

    def of_certificate(self, certificate: str) -> LedgerLook | None:
        """None where the look was taken elsewhere."""
        with self._database.begin() as connection:
            return next(iter(_select(connection, _LOOKS.c.certificate == certificate)), None)

    def beside(self, job: int) -> tuple[list[LedgerLook], LedgerLook | None]:
        """Looks at what a job's look saw, and that look."""
        with self._database.begin() as connection:
            own = next(iter(_select(connection, _LOOKS.c.job == job)), None)
            if own is None:
                return [], None
            of = connection.execute(sa.select(_MARKS.c.mark).where(_MARKS.c.look == own.id))
            groups = frozenset(str(mark) for (mark,) in of)
            return _select(connection, _LOOKS.c.id.in_(_by_groups(connection, groups))), own

    def looks(self, marks: SplitMarks) -> list[LedgerLook]:
        """Earlier looks of a split with these marks, the oldest first."""
        with self._database.begin() as connection:
            return _sharing(connection, marks)

    def known(self, marks: SplitMarks) -> list[str]:
        """Items seen by a look that the split does not inherit."""
        with self._database.begin() as connection:
            inherited = {look.id for look in _sharing(connection, marks)}
            seen = _by_items(connection, marks)
        return sorted({m for look, found in seen.items() if look not in inherited for m in found})


def _insert(connection: Connection, look: LedgerLook, marks: SplitMarks) -> None:
    connection.execute(sa.insert(_LOOKS).values(vars(look)))
    groups = [{"mark": mark, "look": look.id} for mark in sorted(marks.groups)]
    connection.execute(sa.insert(_MARKS), groups)
    items = [
        {"mark": mark, "look": look.id, "item": place}
        for place, held in enumerate(marks.items)
        for mark in parts(held)
    ]
    if items:
        connection.execute(sa.insert(_ITEMS).prefix_with("OR IGNORE"), items)


def _marks(groups: Iterable[str], items: Mapping[int, Sequence[str]]) -> SplitMarks:
    """Marks as in rows: the mark of an item is longer than its bands."""
    held = [":".join(sorted(items[n], key=lambda mark: -len(mark))) for n in sorted(items)]
    return SplitMarks(frozenset(groups), frozenset(), tuple(held))


def groups_digest(marks: SplitMarks) -> str:
    """SHA-256, as in the look's entry."""
    return hashlib.sha256("\n".join(sorted(marks.groups)).encode()).hexdigest()


def marks_digest(marks: SplitMarks) -> str:
    """SHA-256, as in the look's entry."""
    return hashlib.sha256("\n".join(sorted((*marks.groups, *marks.items))).encode()).hexdigest()


def spent(looks: Sequence[LedgerLook]) -> list[LedgerLook]:
    """The looks that count: all in which something was answered."""
    return [look for look in looks if look.verdict != UNSPENT]


def holder(looks: Sequence[LedgerLook]) -> LedgerLook | None:
    """The look that passed, whose task alone may look again; None while every task may."""
    return next((look for look in looks if look.verdict == "pass"), None)


def own(look: LedgerLook | None) -> tuple[str, str, int]:
    """Digest, name and version of its task."""
    return ("", "", 0) if look is None else (look.task_digest, look.name, look.version)


def schedule(looks: Sequence[LedgerLook], sealed: Sequence[int]) -> tuple[int, ...]:
    """A split's schedule of alpha: as its first look began, else as it was sealed."""
    behind = spent(looks)
    first = behind[0].share_micros if behind else sealed[0]
    return QUARTERS if first == QUARTERS[0] else FALLING


def remaining(
    looks: Sequence[LedgerLook],
    sealed: Sequence[int] = QUARTERS,
    task_digest: str = "",
    name: str = "",
    version: int = 0,
) -> tuple[int, ...]:
    """The shares of alpha of the remaining looks for a task; without one, for another task.

    Args:
        name, version: by the task's own definition.
    """
    behind = spent(looks)
    if any(look.exported for look in behind) or _passed_by_others(
        behind, task_digest, name, version
    ):
        return ()
    rest = schedule(behind, sealed)[len(behind) :]
    free = MILLION - sum(look.share_micros for look in behind)
    found: list[int] = []
    for share in rest:
        if sum(found) + share > free:
            break
        found.append(share)
    return tuple(found)


def _passed_by_others(
    looks: Sequence[LedgerLook], task_digest: str, name: str, version: int
) -> bool:
    return any(
        look.verdict == "pass"
        and look.task_digest != task_digest
        and not (name and look.name == name and version >= look.version)
        for look in looks
    )


def _check_left(looks: list[LedgerLook], schedule: Sequence[int], look: LedgerLook) -> None:
    after = sum(each.share_micros for each in looks) + schedule[min(len(looks), LOOKS - 1)]
    rest = remaining(looks, schedule, look.task_digest, look.name, look.version)
    if rest and after <= MILLION:
        return
    if any(each.exported for each in looks):
        reason = "Outcomes of these groups were exported, which ends their looks."
    elif _passed_by_others(looks, look.task_digest, look.name, look.version):
        reason = "Another task passed on these groups, which ends their looks."
    else:
        reason = f"{len(looks)} of {LOOKS} looks at these groups are taken, or alpha is spent."
    raise StateRefused("looks_spent", reason)


def check_open(look: LedgerLook) -> None:
    """Refuse to judge a look again that has its verdict: EvaluationRefused (`gate_interrupted`)."""
    if look.verdict:
        message = f"The look of job {look.job} ended before: {look.verdict}."
        raise EvaluationRefused("gate_interrupted", message)


def _check_job(known: LedgerLook, look: LedgerLook) -> None:
    if known.job != look.job:
        raise StateRefused("specification_used", f"Job {known.job} used this specification.")


def _sharing(connection: Connection, marks: SplitMarks) -> list[LedgerLook]:
    """The looks that a split inherits, the oldest first.

    A look whose items have marks is inherited from a share of more than `MOST` of the items, of the
    names or of the contents of groups on; one without by a single group.
    """
    found = set()
    names, contents = (_by_groups(connection, m) for m in (marks.names, marks.contents))
    items = _by_items(connection, marks)
    marked = _marked(connection) if marks.items else set()
    for look in names.keys() | contents.keys() | items.keys():
        if look not in marked:
            found.add(look)
            continue
        shares = (
            len(names.get(look, ())) / max(1, len(marks.names)),
            len(contents.get(look, ())) / max(1, len(marks.contents)),
            len(items.get(look, ())) / len(marks.items),
        )
        if max(shares) > MOST:
            found.add(look)
    return _select(connection, _LOOKS.c.id.in_(sorted(found))) if found else []


def _by_groups(connection: Connection, marks: Iterable[str]) -> dict[str, set[str]]:
    found: dict[str, set[str]] = defaultdict(set)
    for some in _chunks(sorted(marks)):
        for mark, look in connection.execute(
            sa.select(_MARKS.c.mark, _MARKS.c.look).where(_MARKS.c.mark.in_(some))
        ):
            found[look].add(mark)
    return found


def _by_items(connection: Connection, marks: SplitMarks) -> dict[str, list[str]]:
    held: dict[str, dict[str, list[int]]] = defaultdict(lambda: defaultdict(list))
    for some in _chunks(sorted({mark for item in marks.items for mark in parts(item)})):
        for mark, look, item in connection.execute(
            sa.select(_ITEMS).where(_ITEMS.c.mark.in_(some))
        ):
            held[look][mark].append(item)
    return {look: found for look, by in held.items() if (found := shared(marks.items, by))}


def _marked(connection: Connection) -> set[str]:
    return {look for (look,) in connection.execute(sa.select(_ITEMS.c.look).distinct())}


def _chunks(marks: list[str]) -> Iterator[list[str]]:
    for start in range(0, len(marks), _CHUNK):
        yield marks[start : start + _CHUNK]


def _select(connection: Connection, where: sa.ColumnElement[bool]) -> list[LedgerLook]:
    rows = connection.execute(
        sa.select(_LOOKS).where(where).order_by(_LOOKS.c.taken_us, _LOOKS.c.id)
    )
    return [LedgerLook(**row) for row in rows.mappings()]
