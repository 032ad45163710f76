"""Incidents: an alarm from its beginning to its end, over restarts and on a full disk."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa

from appliance.db import open_database
from appliance.errors import NotFound
from appliance.incidents.history import AGAIN_US, TABLES, Incidents
from appliance.incidents.rules import Alarm

HOUR = 3_600_000_000


def alarm(code: str, subject: str = "", since_us: int | None = None) -> Alarm:
    return Alarm(code, "warning", subject, "It is so.", "Do it.", since_us)


@pytest.fixture
def database(tmp_path: Path) -> Iterator[sa.Engine]:
    engine = open_database(tmp_path / "a.db", (TABLES,))
    yield engine
    engine.dispose()


@pytest.fixture
def kept(database: sa.Engine) -> Incidents:
    return Incidents(database)


def test_an_alarm_is_the_same_until_it_is_gone(kept: Incidents) -> None:
    assert [a.since_us for a in kept.dated([alarm("a"), alarm("b", since_us=3)], 10)] == [10, 3]
    assert [a.since_us for a in kept.dated([alarm("a")], 20)] == [10]
    assert kept.dated([], 30) == ()
    assert [a.since_us for a in kept.dated([alarm("a")], 40)] == [40]


def test_each_beginning_and_end_is_told_once(kept: Incidents) -> None:
    first = kept.look([alarm("a"), alarm("a", "x")], 10)
    assert [(a.code, a.subject) for a in first.began] == [("a", ""), ("a", "x")]
    second = kept.look([alarm("a")], 20)
    assert second.began == () and [a.subject for a in second.ended] == ["x"]
    assert kept.look([alarm("a")], 30).ended == ()
    assert [(i.subject, i.ended_us) for i in kept.all()] == [("", None), ("x", 20)]


def test_a_look_of_another_does_not_take_the_telling_away(kept: Incidents) -> None:
    kept.dated([alarm("a")], 10)  # somebody reads the status first
    (told,) = kept.look([alarm("a")], 20).began
    assert told.since_us == 10


def test_the_next_threshold_of_one_fact_is_told_again(kept: Incidents) -> None:
    kept.look([alarm("certificate_ends", since_us=30)], 30)
    look = kept.look([alarm("certificate_ends", since_us=53)], 53)
    assert len(look.began) == 1 and look.ended == ()
    assert len(kept.all()) == 1


def test_a_fault_that_comes_and_goes_is_one_incident(kept: Incidents) -> None:
    for start in (0, 100, 200):
        kept.look([alarm("a")], start)
        kept.look([], start + 50)
    (one,) = kept.all()
    assert (one.times, one.began_us, one.ended_us) == (3, 0, 250)
    kept.look([alarm("a")], 250 + AGAIN_US)
    assert [(i.times, i.ended_us) for i in kept.all()] == [(1, None), (3, 250)]


def test_a_restart_goes_on_with_what_is_open(database: sa.Engine, kept: Incidents) -> None:
    kept.look([alarm("a"), alarm("b")], 10)
    kept.acknowledge(kept.all()[0].id, "ada", "disk ordered", 15)
    again = Incidents(database)
    (held,) = again.look([alarm("b")], 90).alarms
    assert (held.since_us, held.acked_by) == (10, "ada")
    assert [(i.code, i.ended_us) for i in again.all()] == [("b", None), ("a", 90)]


def test_an_end_over_a_restart_is_told_and_no_beginning_is_lost(
    database: sa.Engine, kept: Incidents
) -> None:
    kept.look([alarm("a"), alarm("b")], 10)
    again = Incidents(database)
    look = again.look([alarm("b")], 20)
    assert [(a.code, a.incident) for a in look.ended] == [("a", 1)]
    assert [a.code for a in look.began] == ["b"]  # whether it was delivered is not kept
    assert again.look([alarm("b")], 30).ended == ()


def test_an_acknowledgement_is_kept_with_its_words(kept: Incidents) -> None:
    look = kept.look([alarm("a")], 10)
    done = kept.acknowledge(look.alarms[0].incident, "ada", "disk ordered", 20)
    assert (done.acked_by, done.note, done.acked_us, done.ended_us) == (
        "ada",
        "disk ordered",
        20,
        None,
    )
    assert kept.dated([alarm("a")], 30)[0].acked_by == "ada"
    with pytest.raises(NotFound, match="no incident 99"):
        kept.acknowledge(99, "ada", "", 20)


def test_a_database_that_cannot_be_written_loses_no_alarm(
    database: sa.Engine, kept: Incidents
) -> None:
    with database.begin() as connection:
        connection.execute(sa.text("ALTER TABLE incidents RENAME TO away"))
    look = kept.look([alarm("a")], 10)
    assert [a.incident for a in look.began] == [0]
    with database.begin() as connection:
        connection.execute(sa.text("ALTER TABLE away RENAME TO incidents"))
    assert kept.look([alarm("a")], 20).alarms[0].incident == 1
    assert [(i.began_us, i.ended_us) for i in kept.all()] == [(10, None)]
