"""Incidents: each alarm from its beginning to its end, kept in `appliance.db`.

Rules:
- An alarm is the same incident while its code and subject are. One that begins again within an hour
  of its end opens the same incident and counts up `times`.
- A fact that knows its own time is believed; else the first look that found it counts.
- A database that cannot be written loses no alarm: the next look tries again.
"""

import contextlib
import threading
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields, replace
from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy import Connection, Engine
from sqlalchemy.exc import SQLAlchemyError

from appliance.errors import NotFound
from appliance.incidents.rules import Alarm, Level

TABLES: Final = """\
CREATE TABLE incidents (
  id INTEGER PRIMARY KEY AUTOINCREMENT,
  code TEXT NOT NULL,
  subject TEXT NOT NULL,
  level TEXT NOT NULL,
  message TEXT NOT NULL,
  next TEXT NOT NULL,
  times INTEGER NOT NULL,
  began_us INTEGER NOT NULL,
  ended_us INTEGER,
  acked_us INTEGER,
  acked_by TEXT NOT NULL DEFAULT '',
  note TEXT NOT NULL DEFAULT ''
) STRICT;
CREATE INDEX incidents_subject ON incidents (code, subject);
CREATE INDEX incidents_ended ON incidents (ended_us);
"""
AGAIN_US: Final = 3_600_000_000
"""Time after an end within which the same alarm opens the same incident."""
_KEPT_US: Final = 400 * 86_400_000_000


@dataclass(frozen=True)
class IncidentRecord:
    """One alarm and its history; times are microseconds since the epoch.

    Attributes:
        times: number of beginnings.
        ended_us: None while it lasts.
        acked_by, note: the person who acknowledged it, and their words.
    """

    id: int
    code: str
    subject: str
    level: Level
    message: str
    next: str
    times: int
    began_us: int
    ended_us: int | None
    acked_us: int | None
    acked_by: str
    note: str


_ROWS: Final = sa.table("incidents", *(sa.column(each.name) for each in fields(IncidentRecord)))


@dataclass(frozen=True)
class Look:
    """One look at the facts.

    Attributes:
        alarms: all that hold now, the most urgent first.
        began, ended: changes since the look before.
    """

    alarms: tuple[Alarm, ...]
    began: tuple[Alarm, ...]
    ended: tuple[Alarm, ...]


class Incidents:
    """Remembers alarms; callable from any thread. The migrations of `database` include `TABLES`."""

    def __init__(self, database: Engine) -> None:
        self._database = database
        self._lock = threading.Lock()
        found = self.all(ended=False)
        self._told: dict[tuple[str, str, int | None], Alarm] = {
            (one.code, one.subject, None): _alarm(one) for one in found
        }
        self._open = {(one.code, one.subject): one for one in found}
        self._first = {key: one.began_us for key, one in self._open.items()}

    def dated(self, alarms: Iterable[Alarm], now_us: int) -> tuple[Alarm, ...]:
        """The alarms with their times and incidents."""
        with self._lock:
            return self._dated(alarms, now_us)

    def look(self, alarms: Iterable[Alarm], now_us: int) -> Look:
        """The same, with the changes since the look before, which are kept; blocks."""
        with self._lock:
            dated = self._dated(alarms, now_us)
            now = {(alarm.code, alarm.subject, alarm.since_us): alarm for alarm in dated}
            began = tuple(alarm for key, alarm in now.items() if key not in self._told)
            left = {(alarm.code, alarm.subject): alarm for alarm in dated}
            ended = tuple(a for k, a in self._told.items() if k[:2] not in left)
            self._told = now
            with contextlib.suppress(SQLAlchemyError):  # a full disk is an alarm itself
                self._keep(left, now_us)
            return Look(self._dated(dated, now_us), began, ended)

    def all(self, ended: bool = True, most: int = 1_000) -> list[IncidentRecord]:
        """Kept incidents, open ones first, then the newest; with `ended` past ones, too."""
        wanted = sa.select(_ROWS).order_by(_ROWS.c.ended_us.is_not(None), _ROWS.c.id.desc())
        if not ended:
            wanted = wanted.where(_ROWS.c.ended_us.is_(None))
        with self._database.connect() as connection:
            rows = connection.execute(wanted.limit(most)).mappings()
            return [_incident(row) for row in rows]

    def find(self, number: int) -> IncidentRecord:
        """One incident. Raises NotFound (`incident_unknown`)."""
        with self._database.connect() as connection:
            wanted = sa.select(_ROWS).where(_ROWS.c.id == number)
            row = connection.execute(wanted).mappings().first()
        if row is None:
            raise NotFound("incident_unknown", f"There is no incident {number}.", param="id")
        return _incident(row)

    def acknowledge(self, number: int, person: str, note: str, now_us: int) -> IncidentRecord:
        """Note who takes care of an incident. Raises as `find`."""
        with self._lock:
            found = replace(self.find(number), acked_us=now_us, acked_by=person, note=note)
            with self._database.begin() as connection:
                _write(connection, found)
            if found.ended_us is None:
                self._open[found.code, found.subject] = found
            return found

    def _dated(self, alarms: Iterable[Alarm], now_us: int) -> tuple[Alarm, ...]:
        held = {(alarm.code, alarm.subject): alarm for alarm in alarms}
        self._first = {key: self._first.get(key, now_us) for key in held}
        return tuple(self._with_incident(key, alarm) for key, alarm in held.items())

    def _with_incident(self, key: tuple[str, str], alarm: Alarm) -> Alarm:
        since = self._first[key] if alarm.since_us is None else alarm.since_us
        one = self._open.get(key)
        if one is None:
            return replace(alarm, since_us=since)
        return replace(alarm, since_us=since, incident=one.id, acked_by=one.acked_by)

    def _keep(self, now: dict[tuple[str, str], Alarm], now_us: int) -> None:
        fresh = [key for key in now if key not in self._open]
        over = [key for key in self._open if key not in now]
        if not fresh and not over:
            return
        left = dict(self._open)
        with self._database.begin() as connection:
            for key in over:
                _write(connection, replace(left.pop(key), ended_us=now_us))
            for key in fresh:
                left[key] = _begun(connection, now[key], now_us)
            old = _ROWS.c.ended_us < now_us - _KEPT_US
            connection.execute(sa.delete(_ROWS).where(old))
        self._open = left


def _alarm(one: IncidentRecord) -> Alarm:
    """The alarm of an earlier process, whose end is told though nothing has begun in this one."""
    return Alarm(one.code, one.level, one.subject, one.message, one.next, one.began_us, one.id)


def _begun(connection: Connection, alarm: Alarm, now_us: int) -> IncidentRecord:
    """The incident of an alarm that begins: one that ended shortly before, or a new one."""
    wanted = (
        sa.select(_ROWS)
        .where(_ROWS.c.code == alarm.code, _ROWS.c.subject == alarm.subject)
        .where(_ROWS.c.ended_us > now_us - AGAIN_US)
        .order_by(_ROWS.c.id.desc())
    )
    row = connection.execute(wanted.limit(1)).mappings().first()
    told = {"level": alarm.level, "message": alarm.message, "next": alarm.next}
    if row is not None:
        again = _incident({**row, **told, "times": row["times"] + 1, "ended_us": None})
        _write(connection, again)
        return again
    since = now_us if alarm.since_us is None else alarm.since_us
    values = {"code": alarm.code, "subject": alarm.subject, **told, "times": 1, "began_us": since}
    made = connection.execute(sa.insert(_ROWS).values(values).returning(_ROWS))
    return _incident(made.mappings().one())


def _write(connection: Connection, incident: IncidentRecord) -> None:
    connection.execute(sa.update(_ROWS).where(_ROWS.c.id == incident.id).values(vars(incident)))


def _incident(row: Mapping[Any, Any]) -> IncidentRecord:
    return IncidentRecord(**row)
