"""The monitor of accepted answers: draws, counts, and ends of certificates."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
import sqlalchemy as sa

from appliance.clock import FixedClock, iso
from appliance.db import open_database
from appliance.errors import StateRefused
from appliance.routing import monitor as monitors
from appliance.routing.answering import Accepted
from appliance.routing.catalogue import RouteStanding
from appliance.routing.definition import parse
from appliance.routing.monitor import Monitors
from appliance.routing.weighing import Basis, SealedAnswer
from appliance.statistics.betting import Monitor
from appliance.trust.statements import route as statements
from appliance.types import Caller, GenerationRequest, Principal
from appliance.wire.admin.routes import Traffic, Watched
from tests.evals.gates import policy
from tests.evals.test_gate_simulation import told
from tests.routing.example import ROUTE
from tests.trust.statements.test_route import certificate

TABLES = [monitors.TABLES, monitors.MISSING, monitors.WEIGHTS]


class World:
    def __init__(self, path: Path, share: float = 1.0, **more: Any) -> None:
        self.clock = FixedClock(1_790_000_000_000_000)
        self.alarms: list[tuple[str, str, str]] = []
        self.database = open_database(
            path / "a.db", [monitors.TABLES, monitors.MISSING, monitors.WEIGHTS]
        )
        read = statements.verify(certificate(), policy())
        self.standing = RouteStanding(parse(ROUTE.encode()), "1" * 64, 1, read)
        self.share, self.more, self.number = share, more, 0
        self.restart()

    def restart(self) -> None:
        self.monitors = Monitors(
            self.database, self.clock, lambda: b"secret", self.share, 7,
            lambda: 30, self.alarm, **self.more,
        )  # fmt: skip

    def alarm(self, *alarm: str) -> None:
        if alarm[0] not in {taken for taken, _, _ in self.alarms}:
            self.alarms.append((alarm[0], alarm[1], alarm[2]))

    async def accept(
        self,
        count: int = 1,
        text: str = "mit",
        confidence: int = 900_000,
        group: str = "",
        **more: Any,
    ) -> None:
        for _ in range(count):
            self.number += 1
            caller = Caller(Principal("k", "app", **more), f"req-{self.number}", "", "/")
            asked = GenerationRequest("licences", prompt="x")
            self.monitors.note(Accepted(self.standing, caller, asked, text, confidence, group))
        await self.monitors.settled()

    def label_all(self, label: str) -> int:
        done = 0
        while (sample := self.monitors.next("licences")) is not None:
            self.monitors.label("licences", sample.id, label, "uid:0")
            done += 1
        return done

    def pass_days(self, days: int = 1) -> None:
        self.clock.advance(days * 86_400)

    def weights(self) -> Traffic | None:
        return self.seen.traffic

    @property
    def seen(self) -> Watched:
        assert self.standing.certificate is not None
        return self.monitors.standing(self.standing.certificate.id)


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    made = World(tmp_path)
    yield made
    made.database.dispose()


async def test_right_answers_are_evidence_for_nothing(world: World) -> None:
    for _ in range(3):
        await world.accept(4)
        assert world.label_all("mit") == 4
        world.pass_days()
        world.monitors.settle()
    assert (world.seen.labelled, world.seen.wrong, world.seen.days) == (12, 0, 3)
    assert world.seen.evidence < 1 and not world.alarms


async def test_a_label_that_differs_overrides_and_one_that_is_missing_says_nothing(
    world: World,
) -> None:
    await world.accept(2)
    for label in ("mit", "gpl"):
        sample = world.monitors.next("licences")
        assert sample is not None and world.monitors.overridden(sample.request_id) is None
        world.monitors.label("licences", sample.id, label, "uid:0")
        assert world.monitors.overridden(sample.request_id) is (label == "gpl")
    assert world.monitors.overridden("req-unknown") is None


async def test_wrong_answers_take_the_certificate_away_once(world: World) -> None:
    for _ in range(4):
        await world.accept(4)
        world.label_all("gpl")
        world.pass_days()
        world.monitors.settle()
    ((taken, route, reason),) = world.alarms
    assert world.standing.certificate is not None
    assert (taken, route) == (world.standing.certificate.id, "licences")
    assert "evidence" in reason and "error of 5 %" in reason
    world.alarms.clear()
    world.monitors.settle()
    assert len(world.alarms) == 1  # told until it is done: the first time it may have failed


async def test_a_day_is_settled_when_it_is_over_and_labelled(world: World) -> None:
    await world.accept(2)
    world.label_all("mit")
    world.monitors.settle()
    assert world.seen.days == 0  # the day is not over
    world.pass_days()
    await world.accept(1)
    world.monitors.settle()
    world.monitors.settle()
    assert world.seen.days == 1  # once, and without the next day
    world.pass_days()
    world.monitors.settle()
    assert world.seen.days == 1  # the next day's label is missing


async def test_a_christmas_without_labels_convicts_nobody(world: World) -> None:
    """Labels of twelve days are missing; all other answers are right."""
    for day in range(40):
        await world.accept(2)
        if not 10 <= day < 22:
            world.label_all("mit")
        world.pass_days()
        world.monitors.settle()
        if day == 23:
            (notice,) = world.monitors.notices()
            assert (notice.route, notice.code) == ("licences", "route_unwatched")
            assert world.seen.unwatched
    assert not world.alarms and not world.monitors.notices() and not world.seen.unwatched
    assert world.seen.evidence < 1


async def test_a_day_that_waits_for_a_label_holds_no_other_day_back(world: World) -> None:
    await world.accept(1)
    world.pass_days()
    await world.accept(1)
    world.pass_days()
    first = world.monitors.next("licences")
    assert first is not None
    world.monitors.label("licences", first.id + 1, "mit", "uid:0")
    world.monitors.settle()
    assert world.seen.days == 1
    world.monitors.label("licences", first.id, "mit", "uid:0")
    world.monitors.settle()
    assert world.seen.days == 2


async def test_a_route_that_nobody_watches_goes_to_its_safe_side(world: World) -> None:
    for day in range(45):
        await world.accept(2)
        if day % 2:  # the control, below: a half of the labels is given
            world.label_all("mit")
        world.pass_days()
        world.monitors.settle()
    assert not world.alarms
    for _ in range(60):
        await world.accept(2)
        world.pass_days()
        world.monitors.settle()
    ((_, route, reason),) = world.alarms
    assert route == "licences" and reason.startswith("not watched")


async def test_an_erasure_of_all_samples_of_a_certificate_stops_no_monitor(world: World) -> None:
    await world.accept(1)
    world.pass_days(9)
    world.monitors.settle()
    assert world.monitors.notices()  # the control: the monitor keeps that it is not watched
    world.monitors.erase(["req-1"])
    world.monitors.settle()
    assert not world.monitors.notices() and not world.alarms


async def quarter(world: World, leaves_out: Callable[[Any], bool]) -> None:
    """Twelve weeks of days, one of eight answers wrong; some labels come late."""
    for _ in range(84):
        await world.accept(7)
        await world.accept(1, text="gpl", confidence=600_000)
        world.pass_days()
        with world.database.begin() as connection:
            rows = connection.execute(
                sa.text(
                    "SELECT * FROM route_samples WHERE label = '' "
                    "AND (settled = 0 AND day >= :day OR again_us > 0)"
                ),
                {"day": iso(world.clock.wall_us() - 86_400_000_000)[:10]},
            ).all()
        for row in rows:
            if row.again_us or not leaves_out(row):
                world.monitors.label("licences", row.id, "mit", "uid:0")
        world.monitors.settle()


async def test_labels_left_out_where_answers_are_wrong_are_found(world: World) -> None:
    await quarter(world, lambda row: row.answer == "gpl")
    assert world.seen.missing_doubtful and world.seen.missing_sure == 0.0
    assert world.seen.asked_again_wrong == world.seen.asked_again > 5
    assert [notice.code for notice in world.monitors.notices()] == ["route_missing_wrong"]


async def test_labels_left_out_by_chance_are_no_alarm(world: World) -> None:
    await quarter(world, lambda row: row.answer == "mit" and row.id % 7 == 0)
    assert world.seen.asked_again > 5 and not world.seen.asked_again_wrong
    assert not world.monitors.notices()


async def test_traffic_that_weighs_otherwise_is_told(tmp_path: Path) -> None:
    """As in the dataset for weeks, then one customer sends most; a restart keeps the counts."""
    answers = tuple(SealedAnswer(f"g{n}", 1, False) for n in range(90))
    found = Basis("answers", 0.05, 0.05, 0.05, answers)
    asked: list[str] = []

    def basis(certificate: str) -> Basis:
        asked.append(certificate)
        return found

    world = World(tmp_path, share=0.0, basis=basis)
    await world.accept(1)
    world.monitors.settle()
    assert world.weights() is None  # the route does not say whose a request is
    route = msgspec.structs.replace(world.standing.route, group_from="key")
    world.standing = replace(world.standing, route=route)
    seen: list[Traffic | None] = []
    for _ in range(24):
        for n in range(90):
            await world.accept(1, group=f"g{n}")
        world.pass_days()
        world.monitors.settle()
        seen.append(world.weights())
    assert not any(seen[:14])
    usual = seen[-1]
    assert usual is not None and not usual.beyond
    assert (usual.groups, usual.unknown, usual.error) == (90, 0.0, 0.03)
    assert not world.monitors.notices() and len(asked) == 1
    await world.accept(9_000, group="g50")
    world.monitors.settle()
    world.restart()
    world.monitors.settle()
    busy = world.weights()
    assert busy is not None and busy.beyond and busy.effective < 3
    (notice,) = world.monitors.notices()
    assert (notice.route, notice.code) == ("licences", "route_weights")
    with world.database.begin() as connection:
        kept = connection.execute(sa.text("SELECT group_mark FROM route_traffic")).scalars().all()
    assert len(set(kept)) == 90 and {len(mark) for mark in kept} == {32}  # no names
    world.pass_days(40)
    await world.accept(1, group="g1")
    world.monitors.settle()
    assert world.weights() is None and not world.monitors.notices()  # that was long ago


async def test_a_failure_stops_no_alarm_and_loses_no_count(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The sealed answers cannot be read; the database is away for a moment."""

    def unreadable(certificate: str) -> Basis:
        raise OSError(certificate)

    world = World(tmp_path, basis=unreadable)
    route = msgspec.structs.replace(world.standing.route, group_from="key")
    world.standing = replace(world.standing, route=route)
    await world.accept(3, group="a")
    world.pass_days(21)

    def away(*more: Any) -> None:
        raise sa.exc.OperationalError("", {}, OSError("away"))

    with monkeypatch.context() as patched, pytest.raises(sa.exc.OperationalError):
        patched.setattr(monitors, "_count", away)
        world.monitors.settle()
    for _ in range(4):
        await world.accept(4, group="a")
        world.label_all("gpl")
        world.pass_days()
        world.monitors.settle()
    assert len(world.alarms) == 1 and "cannot be weighed" in caplog.text
    with world.database.begin() as connection:
        counted = connection.exec_driver_sql("SELECT sum(answers) FROM route_traffic")
        assert counted.scalar_one() == 19


async def test_more_groups_than_are_counted_have_none(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(monitors, "MOST_GROUPS", 3)
    route = msgspec.structs.replace(world.standing.route, group_from="key")
    world.standing = replace(world.standing, route=route)
    for n in range(5):
        await world.accept(2, group=f"g{n}")
    await world.accept(1, group="g0")
    world.monitors.settle()
    await world.accept(1, group="g4")
    world.monitors.settle()
    with world.database.begin() as connection:
        rows = connection.execute(sa.text("SELECT group_mark, answers FROM route_traffic")).all()
    assert sorted(count for mark, count in rows if mark) == [2, 2, 3]
    assert [count for mark, count in rows if not mark] == [5]


async def test_a_certificate_by_answers_bets_by_answers(world: World) -> None:
    """A day of one wrong label beside days of many right ones; control: by day."""
    held = world.standing.certificate
    assert held is not None
    evidence = []
    for weight in ("answers", ""):
        wanted = msgspec.structs.replace(held.wanted, weight=weight)
        world.standing = replace(
            world.standing, certificate=replace(held, id=weight.rjust(64, "0"), wanted=wanted)
        )
        for count, label in ((20, "mit"), (1, "gpl"), (20, "mit")):
            await world.accept(count)
            world.label_all(label)
            world.pass_days()
            world.monitors.settle()
        evidence.append(world.seen.evidence)
    assert evidence[0] < 1 < evidence[1]


async def test_a_label_is_given_once_and_to_a_sample_of_the_route(world: World) -> None:
    await world.accept(1)
    sample = world.monitors.next("licences")
    assert sample is not None and sample.request_id == "req-1"
    for route, number in (("another", sample.id), ("licences", 99)):
        with pytest.raises(StateRefused) as caught:
            world.monitors.label(route, number, "mit", "uid:0")
        assert caught.value.code == "item_unknown"
    world.monitors.label("licences", sample.id, "mit", "uid:0")
    with pytest.raises(StateRefused):
        world.monitors.label("licences", sample.id, "gpl", "uid:0")
    assert (world.seen.labelled, world.seen.wrong) == (1, 0)


async def test_a_label_that_means_the_answer_counts_as_right(world: World) -> None:
    await world.accept(2, text='{"part":"hose"}')
    for said, right in (('{"part": "hose"}', True), ('{"part": "pump"}', False)):
        sample = world.monitors.next("licences")
        assert sample is not None
        world.monitors.label("licences", sample.id, said, "uid:0", lambda _, right=right: right)  # type: ignore[misc]
    assert (world.seen.labelled, world.seen.wrong) == (2, 1)


async def test_texts_that_the_log_does_not_keep_are_not_drawn(world: World) -> None:
    await world.accept(1, content="off")
    await world.accept(1, content="commit-only")
    assert world.monitors.next("licences") is None
    await world.accept(1, content="encrypted")
    assert world.monitors.next("licences") is not None


async def test_the_sample_is_a_share_that_only_the_secret_tells(tmp_path: Path) -> None:
    world = World(tmp_path, share=0.25)
    await world.accept(200)
    drawn = world.label_all("mit")
    assert 25 <= drawn <= 75
    none = World(_fresh(tmp_path / "none"), share=0.0)
    await none.accept(50)
    assert none.label_all("mit") == 0
    for each in (world, none):
        each.database.dispose()


def _fresh(path: Path) -> Path:
    path.mkdir()
    return path


def run(rate: float, groups: int, each: int, generator: np.random.Generator, *, days: bool) -> int:
    """Labels until the alarm; 0 without one. Groups of several labels differ much."""
    monitor, spread = Monitor(0.05), 0.1
    for group in range(groups):
        chance = rate
        if each > 1:
            chance = generator.beta(rate * (1 / spread - 1), (1 - rate) * (1 / spread - 1))
        wrong = (generator.random(each) < chance).tolist()
        for share in [sum(wrong) / each] if days else map(float, wrong):
            monitor.observe(share)
        if monitor.alarm(0.05):
            return (group + 1) * each
    return 0


def alarms(
    count: int, rate: float, groups: int, each: int = 1, *, days: bool = True
) -> tuple[float, float]:
    generator = np.random.default_rng(11)
    found = [run(rate, groups, each, generator, days=days) for _ in range(count)]
    raised = [labels for labels in found if labels]
    return len(raised) / count, float(np.median(raised)) if raised else 0.0


def test_days_are_bets_and_labels_are_not() -> None:
    assert alarms(40, 0.05, 40, 50)[0] <= 0.1
    assert alarms(40, 0.05, 40, 50, days=False)[0] > 0.1  # the control: a bet a label
    power, median = alarms(30, 0.1, 1_000)
    assert power > 0.9 and median <= 260


@pytest.mark.slow
def test_false_alarms_and_detection_in_many_runs() -> None:
    for groups, each in ((2_000, 1), (100, 20), (40, 50)):
        share = alarms(1_000, 0.05, groups, each)[0]
        told(f"{groups} days of {each} labels at the bound: {share:.1%} false alarms")
        assert share <= 0.05
    control = alarms(1_000, 0.05, 40, 50, days=False)[0]
    told(f"control, a bet a label: {control:.1%} false alarms")
    assert control > 0.1
    power, median = alarms(1_000, 0.1, 2_000)
    told(f"10 % true error: found in {power:.1%}, after {median:.0f} labels in the median")
    assert median <= 200
