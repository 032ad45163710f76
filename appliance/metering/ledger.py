"""The sums of usage, kept in `appliance.db` next to how far the log was read.

Rules:
- The log is the source: each `follow` reads the entries since the one before, none twice. Sums and
  place are written together, so a crash counts nothing twice.
- Counting a whole log, as after a restore, takes minutes: `follow` takes a limit of time.
- A log without the place's entry is another log, as after a restore: the sums begin again.
- Pruned entries stay counted.
"""

import math
import threading
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Final

import sqlalchemy as sa
from sqlalchemy import Connection, Engine
from sqlalchemy.dialects.sqlite import insert

from appliance.audit.reader import LogReader
from appliance.metering.usage_sums import (
    HOUR_US,
    KINDS,
    UsageCount,
    UsageSubject,
    UsageSums,
    period_of,
)
from appliance.types import UsedBy, UsedPer

TABLES: Final = """\
CREATE TABLE used (
  hour INTEGER NOT NULL,
  key_id TEXT NOT NULL,
  app TEXT NOT NULL,
  person TEXT NOT NULL,
  task TEXT NOT NULL,
  model TEXT NOT NULL,
  requests INTEGER NOT NULL,
  answers INTEGER NOT NULL,
  failed INTEGER NOT NULL,
  prompt_tokens INTEGER NOT NULL,
  completion_tokens INTEGER NOT NULL,
  busy_us INTEGER NOT NULL,
  PRIMARY KEY (hour, key_id, app, person, task, model)
) STRICT, WITHOUT ROWID;
CREATE TABLE used_place (
  one INTEGER PRIMARY KEY CHECK (one = 1),
  next INTEGER NOT NULL,
  leaf BLOB NOT NULL,
  known_us INTEGER NOT NULL
) STRICT;
"""
CENTRES: Final = """\
CREATE TABLE spent (
  hour INTEGER NOT NULL,
  key_id TEXT NOT NULL,
  app TEXT NOT NULL,
  person TEXT NOT NULL,
  cost_centre TEXT NOT NULL,
  task TEXT NOT NULL,
  model TEXT NOT NULL,
  requests INTEGER NOT NULL,
  answers INTEGER NOT NULL,
  failed INTEGER NOT NULL,
  prompt_tokens INTEGER NOT NULL,
  completion_tokens INTEGER NOT NULL,
  busy_us INTEGER NOT NULL,
  PRIMARY KEY (hour, key_id, app, person, cost_centre, task, model)
) STRICT, WITHOUT ROWID;
INSERT INTO spent SELECT
  hour, key_id, app, person, '', task, model,
  requests, answers, failed, prompt_tokens, completion_tokens, busy_us
FROM used;
CREATE TABLE spent_place (
  one INTEGER PRIMARY KEY CHECK (one = 1),
  next INTEGER NOT NULL,
  leaf BLOB NOT NULL,
  known_us INTEGER NOT NULL
) STRICT;
INSERT INTO spent_place SELECT * FROM used_place;
"""
"""With cost centres. A release that is put back goes on with its own sums."""
_BATCH: Final = 4_096
_SUBJECTS: Final = tuple(one.name for one in fields(UsageSubject))
_SUMS: Final = tuple(one.name for one in fields(UsageSums))
_ROWS: Final = sa.table("spent", *map(sa.column, (*_SUBJECTS, *_SUMS)))
_PLACE: Final = sa.table("spent_place", *map(sa.column, ("one", "next", "leaf", "known_us")))


@dataclass(frozen=True)
class UsagePlace:
    """Place up to which the log was read.

    Attributes:
        next: the first entry that is not counted.
        leaf: hash of the entry before.
        known_us: time from which on nothing is missing.
    """

    next: int
    leaf: bytes
    known_us: int


@dataclass(frozen=True)
class UsageProgress:
    """Progress of the count.

    Attributes:
        known_us: time from which on nothing is missing.
        left: entries that are not counted yet.
    """

    known_us: int
    left: int


class UsageLedger:
    """Answers who used what; callable from any thread.

    Args:
        database: an engine whose migrations include `TABLES` and `CENTRES`.
    """

    def __init__(self, database: Engine, reader: LogReader) -> None:
        self._database, self._reader = database, reader
        self._lock = threading.Lock()

    def follow(self, seconds: float = math.inf) -> UsageProgress:
        """Count the new entries, for about so long; raises as `LogReader.entry`."""
        end = time.monotonic() + seconds
        while True:
            with self._lock:
                place = self._counted(self._place())
            left = self._reader.size - place.next
            if left <= 0 or time.monotonic() >= end:
                return UsageProgress(place.known_us, max(0, left))

    def _counted(self, place: UsagePlace) -> UsagePlace:
        """The place after the next batch of entries."""
        end = min(place.next + _BATCH, self._reader.size)
        if end <= place.next:
            return place
        count = UsageCount(self._reader.entry)
        count.add(self._reader.since(place.next, end, KINDS))
        after = UsagePlace(end, self._reader.entry(end - 1).leaf, place.known_us)
        with self._database.begin() as connection:
            _add(connection, count.sums)
            _keep(connection, after)
        return after

    def used(
        self,
        by: UsedBy,
        per: UsedPer,
        since_us: int = 0,
        until_us: int | None = None,
        key_id: str | None = None,
    ) -> dict[tuple[str, str], UsageSums]:
        """Sums by period and name, the oldest first, as of the last `follow`.

        Args:
            since_us, until_us: whole hours; the one of `until_us` is included.
            key_id: of one key only.
        """
        name, sums = _ROWS.c[by], [sa.func.sum(_ROWS.c[one]) for one in _SUMS]
        wanted = sa.select(_ROWS.c.hour, name, *sums).where(_ROWS.c.hour >= since_us // HOUR_US)
        if until_us is not None:
            wanted = wanted.where(_ROWS.c.hour <= until_us // HOUR_US)
        if key_id is not None:
            wanted = wanted.where(_ROWS.c.key_id == key_id)
        found: dict[tuple[str, str], UsageSums] = {}
        order = wanted.group_by(_ROWS.c.hour, name).order_by(_ROWS.c.hour, name)
        with self._database.connect() as connection:
            for hour, named, *numbers in connection.execute(order):
                at = period_of(hour, per), named
                found[at] = found.get(at, UsageSums()).plus(UsageSums(*numbers))
        return dict(sorted(found.items()))

    def _place(self) -> UsagePlace:
        """Place to continue from; the sums of another log are dropped."""
        first, reader = self._reader.first, self._reader
        with self._database.connect() as connection:
            row = connection.execute(sa.select(_PLACE)).first()
        if row is not None and row.next > first:
            found = reader.range(row.next - 1, 1)
            if [one.leaf for one in found] == [row.leaf]:
                return UsagePlace(row.next, row.leaf, row.known_us)
        elif row is not None and row.next == first:
            return UsagePlace(row.next, row.leaf, row.known_us)
        # Sums of another log, or of one that was pruned by a release that did not count.
        with self._database.begin() as connection:
            if row is None or row.next > first:
                connection.execute(sa.delete(_ROWS))
            place = UsagePlace(first, b"", reader.entry(first).time_us)
            _keep(connection, place)
        return place


def _add(connection: Connection, sums: Mapping[UsageSubject, UsageSums]) -> None:
    if not sums:
        return
    rows = [{**asdict(subject), **asdict(found)} for subject, found in sums.items()]
    made = insert(_ROWS).on_conflict_do_update(
        index_elements=_SUBJECTS,
        set_={name: _ROWS.c[name] + sa.literal_column(f"excluded.{name}") for name in _SUMS},
    )
    connection.execute(made, rows)


def _keep(connection: Connection, place: UsagePlace) -> None:
    connection.execute(sa.delete(_PLACE))
    connection.execute(sa.insert(_PLACE).values(one=1, **asdict(place)))
