"""The monitor of accepted answers: does the bound of a certificate still hold?

Rules:
- A secret uniform sample of the answers that a first stage was let give waits for labels; the text
  stays in the log, encrypted, and only answers whose texts the log keeps are drawn.
- Answers of later stages, and labels of what was deferred, never count.
- One bet a day, on the share of the day's sample that was wrong; a label that is overdue counts as
  wrong; days are settled in their order, each once.
- When the evidence reaches 1 / delta, the certificate is out of use: recorded first, then done.
- Who labels sees the input and not the answer.
Source: `statistics.betting`.
"""

import asyncio
import hashlib
import hmac
import json
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy import Connection, Engine

from appliance.clock import Clock, iso
from appliance.errors import ApplianceError, StateRefused
from appliance.routing.answering import Accepted
from appliance.routing.confidence import MILLION
from appliance.statistics import betting
from appliance.statistics.betting import Monitor

TABLES: Final = """
CREATE TABLE route_samples (
  id INTEGER PRIMARY KEY,
  certificate TEXT NOT NULL,
  route TEXT NOT NULL,
  request_id TEXT NOT NULL UNIQUE,
  key_id TEXT NOT NULL,
  day TEXT NOT NULL,
  answer TEXT NOT NULL,
  bound_micros INTEGER NOT NULL,
  delta_micros INTEGER NOT NULL,
  due_us INTEGER NOT NULL,
  label TEXT NOT NULL DEFAULT '',
  actor TEXT NOT NULL DEFAULT '',
  settled INTEGER NOT NULL DEFAULT 0
) STRICT;
CREATE INDEX route_samples_open ON route_samples (certificate, settled, day);
CREATE TABLE route_monitors (
  certificate TEXT PRIMARY KEY,
  state TEXT NOT NULL
) STRICT;
"""
"""SQL script for appliance.db; a migration in the sense of `appliance.db`."""

_SAMPLES: Final = sa.table(
    "route_samples",
    *map(
        sa.column,
        (
            "id", "certificate", "route", "request_id", "key_id", "day", "answer", "bound_micros",
            "delta_micros", "due_us", "label", "actor", "settled",
        ),
    ),
)  # fmt: skip
_MONITORS: Final = sa.table("route_monitors", sa.column("certificate"), sa.column("state"))
_DAY_US: Final = 86_400_000_000
_LOOK_S: Final = 60.0
_log = logging.getLogger("appliance")


@dataclass(frozen=True)
class Sample:
    """An answer that waits for a label.

    Attributes:
        due: when it is overdue, ISO 8601.
    """

    id: int
    request_id: str
    key_id: str
    due: str


@dataclass(frozen=True)
class Standing:
    """What the monitor of a certificate has seen.

    Attributes:
        waiting: answers without a label.
        days: bets that were settled.
        evidence: how many times over the bets multiplied what was staked; 1 / delta is the alarm.
    """

    waiting: int
    labelled: int
    wrong: int
    days: int
    evidence: float


class Monitors:
    """The samples and the evidence of all certificates.

    Args:
        database: an engine whose migrations include `TABLES`.
        secret: nobody outside can say from it which answers are drawn.
        share: of the accepted answers that is drawn, 0 to 1.
        days: until a label is overdue.
        alarm: takes a certificate out of use, if it is in use: certificate, route, reason.
    """

    def __init__(
        self,
        database: Engine,
        clock: Clock,
        secret: Callable[[], bytes],
        share: float,
        days: int,
        alarm: Callable[[str, str, str], None],
    ) -> None:
        self._database, self._clock, self._secret = database, clock, secret
        self._share, self._days, self._alarm = share, days, alarm
        self._writing: set[asyncio.Task[None]] = set()

    def note(self, answer: Accepted) -> None:
        """Draw from the answers that a first stage was let give; called in the event loop."""
        certificate = answer.standing.certificate
        kept = answer.caller.principal.content in (None, "encrypted")
        if certificate is None or not kept or not self._drawn(answer, certificate.origin):
            return
        now = self._clock.wall_us()
        row = {
            "certificate": certificate.origin,
            "route": answer.standing.route.id,
            "request_id": answer.caller.request_id,
            "key_id": answer.caller.principal.key_id,
            "day": iso(now)[:10],
            "answer": answer.text,
            "bound_micros": certificate.wanted.error_micros,
            "delta_micros": certificate.wanted.delta_micros,
            "due_us": now + self._days * _DAY_US,
        }
        writing = asyncio.create_task(asyncio.to_thread(self._keep, row))
        self._writing.add(writing)
        writing.add_done_callback(self._writing.discard)

    async def settled(self) -> None:
        """Wait until all that was drawn is kept."""
        await asyncio.gather(*self._writing)

    async def watch(self) -> None:
        """Settle days as they pass, for ever."""
        while True:
            try:
                await asyncio.to_thread(self.settle)
            except (ApplianceError, sa.exc.SQLAlchemyError) as error:
                _log.warning("the monitor of routes cannot look: %s", error)
            await asyncio.sleep(_LOOK_S)

    def next(self, route: str) -> Sample | None:
        """The oldest answer of a route that waits for a label and is not overdue."""
        wanted = (
            sa.select(_SAMPLES.c.id, _SAMPLES.c.request_id, _SAMPLES.c.key_id, _SAMPLES.c.due_us)
            .where(
                _SAMPLES.c.route == route,
                _SAMPLES.c.label == "",
                _SAMPLES.c.settled == 0,
                _SAMPLES.c.due_us > self._clock.wall_us(),
            )
            .order_by(_SAMPLES.c.id)
            .limit(1)
        )
        with self._database.begin() as connection:
            row = connection.execute(wanted).first()
        return None if row is None else Sample(int(row[0]), str(row[1]), str(row[2]), iso(row[3]))

    def label(
        self,
        route: str,
        sample: int,
        label: str,
        actor: str,
        same: Callable[[str], bool] | None = None,
    ) -> None:
        """Keep what a person says is right.

        Args:
            same: whether an answer counts as what was said, though it is written otherwise; then
                the answer itself is kept as its label.

        Raises:
            StateRefused: `item_unknown` for one that is no sample of the route, has its label, or
                is settled.
        """
        where = (
            _SAMPLES.c.id == sample,
            _SAMPLES.c.route == route,
            _SAMPLES.c.label == "",
            _SAMPLES.c.settled == 0,
        )
        with self._database.begin() as connection:
            answer = connection.execute(sa.select(_SAMPLES.c.answer).where(*where)).scalar()
            if answer is not None:
                kept = answer if same is not None and same(answer) else label
                connection.execute(
                    sa.update(_SAMPLES).where(*where).values(label=kept, actor=actor)
                )
        if answer is None:
            raise StateRefused("item_unknown", f"No sample {sample} of {route} waits for a label.")

    def overridden(self, request_id: str) -> bool | None:
        """Whether a person's label differs from what was answered; None where there is none."""
        wanted = sa.select(_SAMPLES.c.answer, _SAMPLES.c.label).where(
            _SAMPLES.c.request_id == request_id, _SAMPLES.c.label != ""
        )
        with self._database.begin() as connection:
            row = connection.execute(wanted).first()
        return None if row is None else str(row[0]) != str(row[1])

    def settle(self) -> None:
        """Settle the days that are over and wholly labelled or overdue, and raise alarms."""
        with self._database.begin() as connection:
            open_ = connection.execute(
                sa.select(_SAMPLES.c.certificate).where(_SAMPLES.c.settled == 0).distinct()
            ).scalars()
            for certificate in open_.all():
                self._settle(connection, str(certificate))
            alarms = _alarms(connection)
        for alarm in alarms:  # again and again, until it is done
            self._alarm(*alarm)

    def standing(self, certificate: str) -> Standing:
        """What the monitor of a certificate has seen."""
        mine = _SAMPLES.c.certificate == certificate
        with self._database.begin() as connection:
            rows = connection.execute(
                sa.select(_SAMPLES.c.answer, _SAMPLES.c.label).where(mine)
            ).all()
            monitor = _monitor(connection, certificate, 0.5)
        labelled = [(answer, label) for answer, label in rows if label]
        return Standing(
            waiting=len(rows) - len(labelled),
            labelled=len(labelled),
            wrong=sum(answer != label for answer, label in labelled),
            days=monitor.groups,
            evidence=monitor.evidence,
        )

    def _drawn(self, answer: Accepted, certificate: str) -> bool:
        said = f"{certificate}/{answer.caller.request_id}".encode()
        ticket = hmac.new(self._secret(), said, hashlib.sha256).digest()[:8]
        return int.from_bytes(ticket, "big") < self._share * 2**64

    def _keep(self, row: dict[str, Any]) -> None:
        try:
            with self._database.begin() as connection:
                connection.execute(sa.insert(_SAMPLES).values(row))
        except sa.exc.SQLAlchemyError as error:
            _log.warning("a sample of %s is lost: %s", row["route"], error)

    def _settle(self, connection: Connection, certificate: str) -> None:
        """Settle the days of one certificate."""
        now = self._clock.wall_us()
        today = iso(now)[:10]
        rows = connection.execute(
            sa.select(_SAMPLES)
            .where(_SAMPLES.c.certificate == certificate, _SAMPLES.c.settled == 0)
            .order_by(_SAMPLES.c.day, _SAMPLES.c.id)
        ).all()
        monitor = _monitor(connection, certificate, rows[0].bound_micros / MILLION)
        done: list[str] = []
        for day in sorted({row.day for row in rows}):
            that = [row for row in rows if row.day == day]
            if day >= today or any(not row.label and row.due_us > now for row in that):
                break
            monitor.observe(wrong_share([(row.answer, row.label) for row in that]))
            done.append(day)
        if not done:
            return
        connection.execute(
            sa.update(_SAMPLES)
            .where(_SAMPLES.c.certificate == certificate, _SAMPLES.c.day.in_(done))
            .values(settled=1)
        )
        connection.execute(sa.delete(_MONITORS).where(_MONITORS.c.certificate == certificate))
        state = json.dumps(monitor.state())
        connection.execute(sa.insert(_MONITORS).values(certificate=certificate, state=state))


def wrong_share(pairs: Sequence[tuple[str, str]]) -> float:
    """The share of answers that are not what was labelled; without a label it is wrong."""
    return sum(answer != label for answer, label in pairs) / len(pairs)


def _alarms(connection: Connection) -> list[tuple[str, str, str]]:
    """Certificates whose evidence reached the alarm, with their routes and why."""
    found = []
    for certificate, state in connection.execute(sa.select(_MONITORS)).all():
        monitor = betting.read(json.loads(state))
        row = connection.execute(
            sa.select(_SAMPLES.c.route, _SAMPLES.c.delta_micros)
            .where(_SAMPLES.c.certificate == certificate)
            .limit(1)
        ).one()
        if monitor.alarm(row.delta_micros / MILLION):
            reason = (
                f"{monitor.groups} days of labels are evidence against an accepted error of "
                f"{monitor.bound:.1%}"
            )
            found.append((str(certificate), str(row.route), reason))
    return found


def _monitor(connection: Connection, certificate: str, bound: float) -> Monitor:
    known = connection.execute(
        sa.select(_MONITORS.c.state).where(_MONITORS.c.certificate == certificate)
    ).first()
    return Monitor(bound) if known is None else betting.read(json.loads(known[0]))
