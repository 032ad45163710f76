"""The release in service; the database as it was before; the audit log never goes back."""

import sqlite3
from pathlib import Path

import pytest

from installer.host import answers, releases
from installer.host.answers import Layout
from installer.host.assemble import PYTHON
from installer.host.install import roll_back
from installer.host.ledger import Event, Ledger, open_ledger
from installer.host.problems import InstallError
from installer.host.service import Service


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    found = answers.layout(answers.combine(), user=True, home=tmp_path)
    for path in (found.releases / "1", found.releases / "2", found.data / "audit", found.state):
        path.mkdir(parents=True)
    return found


def database(layout: Layout, version: int, text: str, name: str = "appliance.db") -> None:
    connection = sqlite3.connect(layout.data / name)
    connection.execute("PRAGMA journal_mode=wal")
    connection.execute("CREATE TABLE IF NOT EXISTS t (x)")
    connection.execute("INSERT INTO t VALUES (?)", (text,))
    connection.execute(f"PRAGMA user_version = {version}")
    connection.commit()
    connection.close()


def rows(layout: Layout, name: str = "appliance.db") -> list[str]:
    connection = sqlite3.connect(layout.data / name)
    found = [row[0] for row in connection.execute("SELECT x FROM t")]
    connection.close()
    return found


def test_switching(layout: Layout) -> None:
    assert releases.current(layout) is None
    for release in ("1", "2", "1"):
        releases.switch(layout, release)
        assert releases.current(layout) == release
        assert (layout.current).resolve() == layout.releases / release
    releases.switch(layout, None)
    releases.switch(layout, None)
    assert releases.current(layout) is None


def test_the_database_goes_back_and_the_audit_log_does_not(layout: Layout) -> None:
    database(layout, 3, "before")
    assert releases.snapshot(layout, "2") == 3
    assert not releases.changed(layout, "2")
    database(layout, 4, "after")
    (layout.data / "audit" / "log.db").write_text("an entry of the new release")
    assert releases.changed(layout, "2")
    for _ in range(2):  # it may be repeated
        releases.put_back(layout, "2")
        assert rows(layout) == ["before"]
    assert (layout.data / "audit" / "log.db").read_text() == "an entry of the new release"


def test_a_log_of_writes_belongs_to_the_snapshot(layout: Layout) -> None:
    """A killed server leaves its last commits in the WAL."""
    writer = sqlite3.connect(layout.data / "appliance.db")
    writer.execute("PRAGMA journal_mode=wal")
    writer.execute("CREATE TABLE t (x)")
    writer.execute("PRAGMA user_version = 5")
    writer.execute("INSERT INTO t VALUES ('in the log')")
    writer.commit()
    assert (layout.data / "appliance.db-wal").stat().st_size > 0
    assert releases.snapshot(layout, "2") == 5
    writer.close()
    database(layout, 6, "after")
    releases.put_back(layout, "2")
    assert rows(layout) == ["in the log"]


def test_collections_go_back_with_the_database(layout: Layout) -> None:
    shelf, gone, fresh = (f"collections/{name}.db" for name in ("shelf", "gone", "fresh"))
    (layout.data / "collections").mkdir()
    for name in ("appliance.db", shelf, gone):
        database(layout, 1, "before", name)
    releases.snapshot(layout, "2")
    (layout.data / gone).unlink()
    database(layout, 1, "before", fresh)
    assert not releases.changed(layout, "2")
    database(layout, 1, "after")
    database(layout, 2, "after", shelf)
    assert releases.changed(layout, "2")  # though the schema of appliance.db is the same
    for _ in range(2):
        releases.put_back(layout, "2")
        assert rows(layout) == rows(layout, shelf) == ["before"]
    assert not releases.changed(layout, "2")
    assert not (layout.data / gone).exists() and rows(layout, fresh) == ["before"]


def test_a_file_that_is_no_database_is_named(layout: Layout) -> None:
    (layout.data / "appliance.db").write_bytes(b"no database" * 10)
    with pytest.raises(InstallError) as caught:
        releases.schema(layout.data / "appliance.db")
    assert caught.value.code == "data_unusable"


def test_what_was_before_is_found_over_repairs(layout: Layout) -> None:
    events = [
        Event("commit", {"release": "1", "previous": None, "counter": 1}),
        Event("commit", {"release": "2", "previous": "1", "counter": 2}),
        Event("commit", {"release": "2", "previous": "2", "counter": 2}),
    ]
    ledger = Ledger(layout.state / "ledger", events, "")
    assert releases.before(ledger, "2") == "1"
    assert releases.before(ledger, "1") is None
    assert releases.newest_counter(layout, ledger) == 2


def test_pruning_keeps_what_is_named(layout: Layout) -> None:
    (layout.releases / "0").mkdir()
    (layout.snapshots / "1").mkdir(parents=True)
    releases.prune(layout, {"1", "2", None})
    assert sorted(path.name for path in layout.releases.iterdir()) == ["1", "2"]
    releases.prune(layout, {"2"})
    assert not list(layout.snapshots.iterdir())


@pytest.mark.parametrize("reads", [True, False])
def test_only_a_release_that_reads_the_log_comes_back(
    layout: Layout, monkeypatch: pytest.MonkeyPatch, reads: bool
) -> None:
    database(layout, 3, "before")
    releases.snapshot(layout, "2")
    database(layout, 4, "after")
    releases.switch(layout, "2")
    python = layout.release("1") / "root" / PYTHON
    python.parent.mkdir(parents=True)
    python.write_text(f"#!/bin/sh\necho 'entry 24: of no known kind'; exit {int(not reads)}\n")
    python.chmod(0o755)
    monkeypatch.setattr(releases, "check", lambda layout, release: None)
    monkeypatch.setattr(releases, "describe", lambda layout, release: (None, answers.combine()))
    service = Service(managed=False, user=True, data=layout.data)
    with open_ledger(layout.state) as ledger:
        ledger.append("commit", release="2", previous="1", counter=2)
        if reads:
            assert roll_back(ledger, layout, service, with_snapshot=True) == "1"
            assert releases.current(layout) == "1" and rows(layout) == ["before"]
            return
        with pytest.raises(InstallError, match="of no known kind") as caught:
            roll_back(ledger, layout, service, with_snapshot=True)
    assert caught.value.code == "log_newer"
    assert releases.current(layout) == "2" and rows(layout) == ["before", "after"]
