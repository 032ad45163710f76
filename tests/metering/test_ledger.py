"""The sums follow a real log: once each, over crashes, another log, and what was pruned."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
import sqlalchemy as sa
from sqlalchemy import Engine

from appliance.audit.entry import LogEntry
from appliance.audit.log import AuditLog
from appliance.audit.reader import LogReader
from appliance.db import open_database
from appliance.metering import ledger as module
from appliance.metering.ledger import CENTRES, TABLES, UsageLedger
from tests.audit.logs import ask, intent, new_log, open_log, outcome


class Metered:
    def __init__(self, log: AuditLog, reader: LogReader, database: Engine) -> None:
        self.log, self.reader, self.database = log, reader, database

    def requests(self, by: str = "model") -> dict[str, int]:
        ledger = UsageLedger(self.database, self.reader)  # as after a restart
        ledger.follow()
        found = ledger.used(by, "month")  # type: ignore[arg-type]
        return {name: sums.requests for (_, name), sums in found.items()}


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Metered]:
    new_log(tmp_path / "log")
    database = open_database(tmp_path / "a.db", (TABLES, CENTRES))
    with open_log(tmp_path / "log") as log:
        reader = LogReader(tmp_path / "log")
        yield Metered(log, reader, database)
        reader.close()
    database.dispose()


def test_a_count_in_portions_misses_nothing(site: Metered, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_BATCH", 3)
    for number in range(5):
        ask(site.log, f"r{number}")
    ledger, left = UsageLedger(site.database, site.reader), list[int]()
    while not left or left[-1]:
        left.append(ledger.follow(seconds=0).left)
    assert left == [8, 5, 2, 0]
    assert site.requests() == {"m1": 5}


def test_each_entry_is_read_once(site: Metered, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_BATCH", 3)  # pairs are torn apart by the batches
    for number in range(5):
        ask(site.log, f"r{number}")
    assert site.requests() == {"m1": 5}
    (asked,) = site.log.append(intent("late")).result()
    read: list[int] = []
    since = site.reader.since

    def noted(first: int, end: int, kinds: Sequence[str]) -> Iterator[LogEntry]:
        read.append(first)
        return since(first, end, kinds)

    monkeypatch.setattr(site.reader, "since", noted)
    assert site.requests() == {"m1": 5}
    site.log.append(outcome(asked.seq, "late")).result()
    assert site.requests() == {"m1": 6} == site.requests()
    assert read == [11, 12]


def test_a_crash_between_two_batches_counts_nothing_twice(
    site: Metered, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_BATCH", 4)
    for number in range(6):
        ask(site.log, f"r{number}")
    keep = module._keep

    def dies(connection: sa.Connection, place: module.UsagePlace) -> None:
        if place.next > 8:
            raise OSError("the power is gone")
        keep(connection, place)

    monkeypatch.setattr(module, "_keep", dies)
    with pytest.raises(OSError):
        site.requests()
    monkeypatch.setattr(module, "_keep", keep)
    assert site.requests() == {"m1": 6}


def test_another_log_begins_again(site: Metered, tmp_path: Path) -> None:
    ask(site.log, "r")
    assert site.requests() == {"m1": 1}
    new_log(tmp_path / "other")
    with open_log(tmp_path / "other") as other:
        other.append(intent("x", model="m2")).result()
        other.append(outcome(1, "x")).result()
        other.append(intent("y")).result()
        reader = LogReader(tmp_path / "other")
        assert Metered(other, reader, site.database).requests() == {"m2": 1}
        reader.close()
    assert site.requests() == {"m1": 1}


def test_a_log_that_was_pruned_says_from_when_it_knows(
    site: Metered, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(3):
        ask(site.log, f"r{number}")
    ledger = UsageLedger(site.database, site.reader)
    begun = ledger.follow().known_us
    assert begun == site.reader.entry(0).time_us
    monkeypatch.setattr(LogReader, "first", 3)  # pruned after it was counted: nothing is missing
    assert site.requests() == {"m1": 3} and ledger.follow().known_us == begun
    with site.database.begin() as connection:
        connection.execute(sa.update(module._PLACE).values(next=2, known_us=begun - 9))
    assert ledger.follow().known_us == site.reader.entry(3).time_us  # entry 2 was not counted


def test_sums_are_taken_over_from_a_release_without_cost_centres(
    site: Metered, tmp_path: Path
) -> None:
    older = sa.table("used", *map(sa.column, ("hour", "requests", *_NAMES, *_REST)))
    place = sa.table("used_place", *map(sa.column, ("one", "next", "leaf", "known_us")))
    ask(site.log, "r1")
    database = open_database(tmp_path / "old.db", (TABLES,))
    with database.begin() as connection:
        row = {"hour": 7, "requests": 5, **dict.fromkeys(_NAMES, "x"), **dict.fromkeys(_REST, 0)}
        connection.execute(sa.insert(older).values(row))
        leaf = site.reader.entry(site.reader.size - 1).leaf
        counted = {"one": 1, "next": site.reader.size, "leaf": leaf, "known_us": 3}
        connection.execute(sa.insert(place).values(counted))
    database.dispose()
    newer = open_database(tmp_path / "old.db", (TABLES, CENTRES))
    site.log.append(intent("late", end_user_cost_centre="4711")).result()
    site.log.append(outcome(site.reader.size - 1, "late")).result()
    taken = Metered(site.log, site.reader, newer)
    assert taken.requests("cost_centre") == {"": 5, "4711": 1}
    with newer.connect() as connection:
        assert connection.execute(sa.select(older.c.requests)).all() == [(5,)]  # as it was
    newer.dispose()


_NAMES = ("key_id", "app", "person", "task", "model")
_REST = ("answers", "failed", "prompt_tokens", "completion_tokens", "busy_us")
