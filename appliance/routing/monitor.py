"""The monitor of accepted answers: does the bound of a certificate still hold?

Rules:
- A secret uniform sample of the accepted answers waits for labels; the text stays in the log,
  encrypted, and only answers whose texts the log keeps are drawn.
- Answers of later stages, and labels of deferred inputs, never count.
- One bet a day, on the weighted share of wrong labels (`weighing`), once all are given or overdue.
  An overdue label counts neither way.
- Up to ten overdue answers of each fortnight are drawn and asked again: labels may be missing where
  answers are wrong.
- Evidence of 1 / delta, or too many labels missing for too long, ends the certificate: recorded
  first, then done.
- Answers are counted by group for five weeks; a group is kept as a keyed hash of its name.
Source: `statistics.betting`.
"""

import asyncio
import hashlib
import hmac
import itertools
import json
import logging
import threading
from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final, Literal

import sqlalchemy as sa
from sqlalchemy import Connection, Engine

from appliance.clock import Clock, iso
from appliance.db import SealedText
from appliance.errors import ApplianceError, StateRefused
from appliance.routing.answering import Accepted
from appliance.routing.confidence import MILLION
from appliance.routing.weighing import Basis, bet, compared
from appliance.statistics import betting
from appliance.statistics.betting import Monitor
from appliance.text import many, percent
from appliance.wire.admin.routes import Traffic, Watched

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
MISSING: Final = """
ALTER TABLE route_samples ADD COLUMN confidence_micros INTEGER NOT NULL DEFAULT -1;
ALTER TABLE route_samples ADD COLUMN again_us INTEGER NOT NULL DEFAULT 0;
ALTER TABLE route_monitors ADD COLUMN unwatched_us INTEGER NOT NULL DEFAULT 0;
CREATE INDEX route_samples_due ON route_samples (certificate, due_us);
"""
"""Confidence of an answer; until when it is asked again; since when too many labels are missing."""
WEIGHTS: Final = """
ALTER TABLE route_samples ADD COLUMN weight TEXT NOT NULL DEFAULT '';
ALTER TABLE route_samples ADD COLUMN group_mark TEXT NOT NULL DEFAULT '';
ALTER TABLE route_monitors ADD COLUMN heaviest REAL NOT NULL DEFAULT 0;
CREATE TABLE route_traffic (
  certificate TEXT NOT NULL,
  week INTEGER NOT NULL,
  group_mark TEXT NOT NULL,
  route TEXT NOT NULL,
  answers INTEGER NOT NULL,
  PRIMARY KEY (certificate, week, group_mark)
) STRICT;
"""
"""How answers weigh; the heaviest day so far; answers by group, "" where none is reported."""

_SAMPLES: Final = sa.table(
    "route_samples",
    *map(
        sa.column,
        (
            "id", "certificate", "route", "request_id", "key_id", "day", "bound_micros",
            "delta_micros", "due_us", "actor", "settled", "confidence_micros", "again_us",
            "weight", "group_mark",
        ),
    ),
    sa.column("answer", SealedText),
    sa.column("label", SealedText),
)  # fmt: skip
TEXTS: Final = _SAMPLES
_MONITORS: Final = sa.table(
    "route_monitors", *map(sa.column, ("certificate", "state", "unwatched_us", "heaviest"))
)
_TRAFFIC: Final = sa.table(
    "route_traffic",
    *map(sa.column, ("certificate", "week", "group_mark", "route", "answers")),
)
_DAY_US: Final = 86_400_000_000
_WEEK_US: Final = 7 * _DAY_US
_FORTNIGHT_US: Final = 14 * _DAY_US
MOST_MISSING: Final = 0.2
"""Share of a fortnight's labels that may be missing."""
ASKED_AGAIN: Final = 10
"""Overdue answers of a fortnight that are asked again."""
WEEKS: Final = 4
"""Weeks before this one whose answers are counted by group."""
MOST_GROUPS: Final = 10_000
"""Groups of a week that are counted by themselves."""
LEAST_ANSWERS: Final = 200
"""Answers from which weights are compared."""
_LOOK_S: Final = 60.0
_ERASED: Final = "\0erased"
"""In place of an answer; no model and no person says this."""
_FAULTS: Final = (ApplianceError, OSError, sa.exc.SQLAlchemyError)
_log = logging.getLogger("appliance")


@dataclass(frozen=True)
class Sample:
    """An answer that waits for a label, until `due` (ISO 8601)."""

    id: int
    request_id: str
    key_id: str
    due: str


@dataclass(frozen=True)
class Notice:
    """A message to people about a route."""

    route: str
    code: Literal["route_unwatched", "route_missing_wrong", "route_weights"]
    message: str


class Monitors:
    """Samples and evidence of all certificates.

    Args:
        secret: keeps the drawn answers unpredictable.
        share: drawn part of the accepted answers, 0 to 1.
        days: until a label is overdue.
        grace_days: how long too many labels may be missing, by the trust policy.
        alarm: suspends a certificate, unless it is suspended: certificate, route, reason.
        basis: the sealed answers that a certificate rests on; None where they are not here.
    """

    def __init__(
        self,
        database: Engine,
        clock: Clock,
        secret: Callable[[], bytes],
        share: float,
        days: int,
        grace_days: Callable[[], int],
        alarm: Callable[[str, str, str], None],
        basis: Callable[[str], Basis | None] = lambda certificate: None,
    ) -> None:
        self._database, self._clock, self._secret = database, clock, secret
        self._share, self._days, self._alarm = share, days, alarm
        self._grace_days, self._basis = grace_days, basis
        self._writing: set[asyncio.Task[None]] = set()
        self._answers: Counter[tuple[str, str, int, str]] = Counter()
        self._counting = threading.Lock()  # held for no more than one count or a swap
        self._weighed: dict[str, tuple[str, Traffic]] = {}
        self._bases: dict[str, Basis | None] = {}

    def note(self, answer: Accepted) -> None:
        """Called in the event loop."""
        certificate = answer.standing.certificate
        kept = answer.caller.principal.content in (None, "encrypted")
        if certificate is None:
            return
        now, mark = self._clock.wall_us(), self._mark(answer.group)
        if answer.standing.route.group_from:
            week = now // _WEEK_US
            with self._counting:
                self._answers[certificate.origin, answer.standing.route.id, week, mark] += 1
        if not kept or not self._drawn(answer, certificate.origin):
            return
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
            "confidence_micros": answer.confidence_micros,
            "weight": certificate.wanted.weight,
            "group_mark": mark,
        }
        writing = asyncio.create_task(asyncio.to_thread(self._keep, row))
        self._writing.add(writing)
        writing.add_done_callback(self._writing.discard)

    async def settled(self) -> None:
        await asyncio.gather(*self._writing)

    async def watch(self) -> None:
        """Settle days as they pass, forever."""
        while True:
            try:
                await asyncio.to_thread(self.settle)
            except _FAULTS as error:
                _log.warning("the monitor of routes cannot look: %s", error)
            await asyncio.sleep(_LOOK_S)

    def next(self, route: str) -> Sample | None:
        until = sa.func.max(_SAMPLES.c.due_us, _SAMPLES.c.again_us)
        wanted = (
            sa.select(_SAMPLES.c.id, _SAMPLES.c.request_id, _SAMPLES.c.key_id, until)
            .where(
                _SAMPLES.c.route == route,
                _SAMPLES.c.label == "",
                until > self._clock.wall_us(),
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
        """Keep a person's label.

        Args:
            same: whether an answer counts as the label, though it is written otherwise; then the
                answer itself is kept as its label.

        Raises:
            StateRefused: `item_unknown`: no sample of the route, labelled already, or settled.
        """
        where = (
            _SAMPLES.c.id == sample,
            _SAMPLES.c.route == route,
            _SAMPLES.c.label == "",
            sa.or_(_SAMPLES.c.settled == 0, _SAMPLES.c.again_us > 0),
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
        """None where there is no label."""
        wanted = sa.select(_SAMPLES.c.answer, _SAMPLES.c.label).where(
            _SAMPLES.c.request_id == request_id, _SAMPLES.c.label != ""
        )
        with self._database.begin() as connection:
            row = connection.execute(wanted).first()
        return None if row is None else str(row[0]) != str(row[1])

    def holds(self, ids: Collection[str]) -> Mapping[str, int]:
        asked = sa.select(_SAMPLES.c.route, sa.func.count()).where(_of(ids))
        with self._database.begin() as connection:
            found = connection.execute(asked.group_by(_SAMPLES.c.route)).all()
        return {str(route): int(count) for route, count in found}

    def erase(self, ids: Collection[str]) -> None:
        """Erase answers and labels; whether they were equal stays, since days are counted by it.

        A sample without a label is deleted, since it can no longer get one.
        """
        same = _SAMPLES.c.answer == _SAMPLES.c.label
        label = sa.case((same, _ERASED), else_=f"not {_ERASED}")
        with self._database.begin() as connection:
            connection.execute(sa.delete(_SAMPLES).where(_of(ids), _SAMPLES.c.label == ""))
            connection.execute(
                sa.update(_SAMPLES)
                .where(_of(ids))
                .values(answer=_ERASED, label=label, group_mark="")
            )

    def settle(self) -> None:
        now, grace_us = self._clock.wall_us(), self._grace_days() * _DAY_US
        self._keep_counts(now)
        with self._database.begin() as connection:
            known = connection.execute(sa.select(_SAMPLES.c.certificate).distinct()).scalars()
            for certificate in known.all():
                self._settle(connection, str(certificate), now)
                self._miss(connection, str(certificate), now)
            alarms = _alarms(connection, now - grace_us)
            lately = _lately(connection, now)
        for certificate, route, reason in alarms:  # again and again, until it is done
            try:
                self._alarm(certificate, route, reason)
            except _FAULTS as error:
                _log.warning("the certificate of %s is still in use: %s", route, error)
        weights = {}
        for (certificate, route), counted in lately.items():
            try:
                weighed = self._compared(certificate, counted)
            except _FAULTS as error:
                _log.warning("the answers of %s cannot be weighed: %s", route, error)
                continue
            if weighed is not None:
                weights[certificate] = route, weighed
        self._weighed = weights

    def standing(self, certificate: str) -> Watched:
        with self._database.begin() as connection:
            rows = connection.execute(
                sa.select(_SAMPLES).where(_SAMPLES.c.certificate == certificate)
            ).all()
            monitor, unwatched, _ = _monitor(connection, certificate, 0.5)
        weighed = self._weighed.get(certificate)
        now = self._clock.wall_us()
        labelled = [row for row in rows if row.label]
        again = [row for row in labelled if row.again_us]
        due = sorted((r for r in rows if r.due_us <= now), key=lambda r: int(r.confidence_micros))
        half = len(due) // 2
        return Watched(
            waiting=sum(not row.label and row.due_us > now for row in rows),
            labelled=len(labelled),
            wrong=sum(row.answer != row.label for row in labelled),
            days=monitor.groups,
            evidence=monitor.evidence,
            missing=sum(not row.label for row in due),
            missing_doubtful=_missing_share(due[:half]),
            missing_sure=_missing_share(due[half:]),
            asked_again=len(again),
            asked_again_wrong=sum(row.answer != row.label for row in again),
            unwatched=iso(unwatched) if unwatched else "",
            traffic=None if weighed is None else weighed[1],
        )

    def notices(self) -> list[Notice]:
        """Notices of too few labels, or of missing ones that are wrong more often."""
        now, found = self._clock.wall_us(), []
        recent = (_SAMPLES.c.due_us > now - 2 * self._grace_days() * _DAY_US,)
        with self._database.begin() as connection:
            known = connection.execute(
                sa.select(_SAMPLES.c.certificate, _SAMPLES.c.route).where(*recent).distinct()
            ).all()
            for certificate, route in known:
                since = _monitor(connection, certificate, 0.5)[1]
                if since:
                    message = f"more than {percent(MOST_MISSING)} of its labels are missing"
                    found.append(
                        Notice(route, "route_unwatched", f"{message} since {iso(since)[:10]}")
                    )
                if (wrong := _missing_wrong(connection, certificate)) is not None:
                    found.append(Notice(route, "route_missing_wrong", wrong))
        for route, weighed in self._weighed.values():
            if weighed.beyond:
                message = (
                    f"its answers to {weighed.groups} groups weigh as {weighed.effective:.0f} of "
                    f"one size; with these weights at most {percent(weighed.error)} are wrong"
                )
                found.append(Notice(route, "route_weights", message))
        return found

    def _drawn(self, answer: Accepted, certificate: str) -> bool:
        ticket = self._ticket(f"{certificate}/{answer.caller.request_id}")
        return ticket < self._share * 2**64

    def _ticket(self, said: str) -> int:
        ticket = hmac.new(self._secret(), said.encode(), hashlib.sha256).digest()[:8]
        return int.from_bytes(ticket, "big")

    def _keep(self, row: Mapping[str, object]) -> None:
        try:
            with self._database.begin() as connection:
                connection.execute(sa.insert(_SAMPLES).values(row))
        except sa.exc.SQLAlchemyError as error:
            _log.warning("a sample of %s is lost: %s", row["route"], error)

    def _keep_counts(self, now: int) -> None:
        with self._counting:
            counted, self._answers = self._answers, Counter()
        try:
            with self._database.begin() as connection:
                _count(connection, counted, now)
        except sa.exc.SQLAlchemyError:
            with self._counting:
                self._answers.update(counted)
            raise

    def _settle(self, connection: Connection, certificate: str, now: int) -> None:
        rows = connection.execute(
            sa.select(_SAMPLES)
            .where(_SAMPLES.c.certificate == certificate, _SAMPLES.c.settled == 0)
            .order_by(_SAMPLES.c.day, _SAMPLES.c.id)
        ).all()
        if not rows:
            return
        bound = rows[0].bound_micros / MILLION
        monitor, unwatched, heaviest = _monitor(connection, certificate, bound)
        answers = _of_groups(connection, certificate)
        done: list[str] = []
        for day in sorted({row.day for row in rows} - {iso(now)[:10]}):
            that = [row for row in rows if row.day == day]
            if any(not row.label and row.due_us > now for row in that):
                continue
            if labelled := [row for row in that if row.label]:
                heaviest = bet(monitor, that[0].weight, _wrongs(labelled), answers, heaviest)
            done.append(day)
        if not done:
            return
        connection.execute(
            sa.update(_SAMPLES)
            .where(_SAMPLES.c.certificate == certificate, _SAMPLES.c.day.in_(done))
            .values(settled=1)
        )
        _keep_monitor(connection, certificate, monitor, unwatched, heaviest)

    def _compared(self, certificate: str, answers: Counter[str]) -> Traffic | None:
        if certificate not in self._bases:
            found = self._basis(certificate)
            if found is not None:
                marked = tuple(replace(a, group=self._mark(a.group)) for a in found.answers)
                found = replace(found, answers=marked)
            self._bases[certificate] = found
        basis = self._bases[certificate]
        named = {mark: count for mark, count in answers.items() if mark}
        if basis is None or not named or answers.total() < LEAST_ANSWERS:
            return None
        return compared(basis, named, answers[""])

    def _mark(self, group: str) -> str:
        said = f"group/{group}".encode()
        return hmac.new(self._secret(), said, hashlib.sha256).hexdigest()[:32] if group else ""

    def _miss(self, connection: Connection, certificate: str, now: int) -> None:
        mine = _SAMPLES.c.certificate == certificate
        due = connection.execute(
            sa.select(_SAMPLES).where(
                mine, _SAMPLES.c.due_us > now - _FORTNIGHT_US, _SAMPLES.c.due_us <= now
            )
        ).all()
        share = _missing_share(due) or 0.0
        bound = due[0].bound_micros / MILLION if due else 0.5
        monitor, unwatched, heaviest = _monitor(connection, certificate, bound)
        since = (unwatched or now) if share > MOST_MISSING else 0
        if since != unwatched:
            _keep_monitor(connection, certificate, monitor, since, heaviest)
        ended = now // _FORTNIGHT_US * _FORTNIGHT_US
        window = (_SAMPLES.c.due_us > ended - _FORTNIGHT_US, _SAMPLES.c.due_us <= ended)
        rows = connection.execute(sa.select(_SAMPLES).where(mine, *window)).all()
        if any(row.again_us for row in rows):
            return
        overdue = [row for row in rows if not row.label]
        overdue.sort(key=lambda row: self._ticket(f"again/{certificate}/{row.request_id}"))
        connection.execute(
            sa.update(_SAMPLES)
            .where(_SAMPLES.c.id.in_([row.id for row in overdue[:ASKED_AGAIN]]))
            .values(again_us=now + self._days * _DAY_US)
        )


def _of(ids: Collection[str]) -> "sa.ColumnElement[bool]":
    return _SAMPLES.c.request_id.in_(ids) & (_SAMPLES.c.answer != _ERASED)


def _wrongs(labelled: Sequence[sa.Row[Any]]) -> list[tuple[bool, str]]:
    return [(row.answer != row.label, row.group_mark) for row in labelled]


def _count(connection: Connection, counted: Counter[tuple[str, str, int, str]], now: int) -> None:
    connection.execute(sa.delete(_TRAFFIC).where(_TRAFFIC.c.week < now // _WEEK_US - WEEKS))
    known: dict[tuple[str, int], set[str]] = {}
    for (certificate, route, week, mark), count in counted.items():
        here = (_TRAFFIC.c.certificate == certificate, _TRAFFIC.c.week == week)
        if (certificate, week) not in known:
            marks = connection.execute(sa.select(_TRAFFIC.c.group_mark).where(*here))
            known[certificate, week] = {str(each) for each in marks.scalars()}
        held = known[certificate, week]
        kept = mark if mark in held or len(held) < MOST_GROUPS else ""
        if kept in held:
            adding = sa.update(_TRAFFIC).where(*here, _TRAFFIC.c.group_mark == kept)
            connection.execute(adding.values(answers=_TRAFFIC.c.answers + count))
            continue
        held.add(kept)
        row = {"certificate": certificate, "week": week, "group_mark": kept, "route": route}
        connection.execute(sa.insert(_TRAFFIC).values({**row, "answers": count}))


def _lately(connection: Connection, now: int) -> dict[tuple[str, str], Counter[str]]:
    found: dict[tuple[str, str], Counter[str]] = defaultdict(Counter)
    before = set()
    for row in connection.execute(sa.select(_TRAFFIC)):
        found[row.certificate, row.route][row.group_mark] += int(row.answers)
        if row.week <= now // _WEEK_US - WEEKS + 1:
            before.add((row.certificate, row.route))
    return {each: answers for each, answers in found.items() if each in before}


def _of_groups(connection: Connection, certificate: str) -> dict[str, int]:
    total = sa.func.sum(_TRAFFIC.c.answers)
    wanted = sa.select(_TRAFFIC.c.group_mark, total).group_by(_TRAFFIC.c.group_mark)
    mine = wanted.where(_TRAFFIC.c.certificate == certificate, _TRAFFIC.c.group_mark != "")
    return {str(mark): int(count) for mark, count in connection.execute(mine)}


def _missing_share(due: Sequence[sa.Row[Any]]) -> float | None:
    return sum(not row.label for row in due) / len(due) if due else None


def _missing_wrong(connection: Connection, certificate: str) -> str | None:
    """Evidence, by one bet a day, that answers with missing labels break the bound."""
    rows = connection.execute(
        sa.select(_SAMPLES)
        .where(
            _SAMPLES.c.certificate == certificate, _SAMPLES.c.again_us > 0, _SAMPLES.c.label != ""
        )
        .order_by(_SAMPLES.c.day, _SAMPLES.c.id)
    ).all()
    if not rows:
        return None
    monitor, heaviest = Monitor(rows[0].bound_micros / MILLION), 0.0
    answers = _of_groups(connection, certificate)
    for _, day in itertools.groupby(rows, lambda row: row.day):
        heaviest = bet(monitor, rows[0].weight, _wrongs(list(day)), answers, heaviest)
    if not monitor.alarm(rows[0].delta_micros / MILLION):
        return None
    wrong = sum(row.answer != row.label for row in rows)
    return f"of {many(len(rows), 'answer')} whose labels were missing, {wrong} are wrong"


def _keep_monitor(
    connection: Connection, certificate: str, monitor: Monitor, since: int, heaviest: float
) -> None:
    connection.execute(sa.delete(_MONITORS).where(_MONITORS.c.certificate == certificate))
    row = {
        "certificate": certificate,
        "state": json.dumps(monitor.state()),
        "unwatched_us": since,
        "heaviest": heaviest,
    }
    connection.execute(sa.insert(_MONITORS).values(row))


def _alarms(connection: Connection, patience_us: int) -> list[tuple[str, str, str]]:
    found = []
    for certificate, state, unwatched, _ in connection.execute(sa.select(_MONITORS)).all():
        monitor = betting.read(json.loads(state))
        row = connection.execute(
            sa.select(_SAMPLES.c.route, _SAMPLES.c.delta_micros)
            .where(_SAMPLES.c.certificate == certificate)
            .limit(1)
        ).first()
        if row is None:  # all were erased, none had a label
            continue
        if monitor.alarm(row.delta_micros / MILLION):
            reason = (
                f"labels of {many(monitor.groups, 'day')} are evidence against an "
                f"accepted error of {percent(monitor.bound)}"
            )
        elif unwatched and unwatched <= patience_us:
            reason = (
                f"not watched: more than {percent(MOST_MISSING)} of its labels are missing since "
                f"{iso(unwatched)[:10]}"
            )
        else:
            continue
        found.append((str(certificate), str(row.route), reason))
    return found


def _monitor(connection: Connection, certificate: str, bound: float) -> tuple[Monitor, int, float]:
    """The bets, since when too many labels are missing, the heaviest day; 0: none."""
    known = connection.execute(
        sa.select(_MONITORS).where(_MONITORS.c.certificate == certificate)
    ).first()
    if known is None:
        return Monitor(bound), 0, 0.0
    monitor = betting.read(json.loads(known.state))
    return monitor, int(known.unwatched_us), float(known.heaviest)
