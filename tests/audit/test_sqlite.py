"""An SQLite that is too old or ignores a pragma is refused at the start (case 53).

The driver is the real one, with another version, or with a pragma of another value whose statement
does not reach SQLite.
"""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from unittest import mock

import pysqlite3.dbapi2 as driver
import pytest

from appliance import db
from appliance.audit.store import raw
from appliance.audit.verification.verify import verify_log
from appliance.errors import StateRefused
from tests.audit.logs import admin, ask, intent, new_log, open_log

pytestmark = pytest.mark.durable

Driver = Callable[..., None]
OTHERWISE = {"synchronous": 1, "recursive_triggers": 0, "foreign_keys": 0, "secure_delete": 0}
PRAGMAS = ("journal_mode", *OTHERWISE)


class Connection(driver.Connection):  # type: ignore[misc]
    deaf = ""

    def cursor(self, *_: Any) -> Any:
        return super().cursor(Cursor)


class Cursor(driver.Cursor):  # type: ignore[misc]
    def execute(self, sql: str, *values: Any) -> Any:
        ignored = Connection.deaf and sql.startswith(f"PRAGMA {Connection.deaf} =")
        return self if ignored else super().execute(sql, *values)


@pytest.fixture
def other(monkeypatch: pytest.MonkeyPatch) -> Iterator[Driver]:
    class Module:
        sqlite_version_info = driver.sqlite_version_info

        def __getattr__(self, name: str) -> Any:
            return getattr(driver, name)

        def connect(self, path: str, **options: Any) -> Any:
            connection = driver.connect(path, factory=Connection, **options)
            if Connection.deaf in OTHERWISE:
                value = OTHERWISE[Connection.deaf]
                driver.Connection.cursor(connection).execute(f"PRAGMA {Connection.deaf} = {value}")
            return connection

    def use(version: tuple[int, ...] = driver.sqlite_version_info, deaf: str = "") -> None:
        module = Module()
        module.sqlite_version_info = version
        monkeypatch.setattr(db, "pysqlite3", mock.Mock(dbapi2=module))
        monkeypatch.setattr(Connection, "deaf", deaf)

    yield use
    monkeypatch.undo()


def contents(directory: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in directory.iterdir()}


def left_open(directory: Path) -> Path:
    with open_log(new_log(directory)) as log:
        ask(log, "r1")
        log.append(intent("r2")).result()
    return directory


def refused(directory: Path) -> str:
    before = contents(directory)
    with pytest.raises(StateRefused) as caught:
        open_log(directory)
    assert caught.value.code == "database_unusable"
    assert contents(directory) == before
    return caught.value.message


@pytest.mark.parametrize("version", [(3, 46, 1), (3, 51, 2)])
def test_53_an_old_sqlite_is_refused_and_nothing_changes(
    tmp_path: Path, other: Driver, version: tuple[int, ...]
) -> None:
    directory = left_open(tmp_path / "log")
    other(version)
    assert "too old" in refused(directory)
    with pytest.raises(StateRefused):
        new_log(tmp_path / "new")
    assert not (tmp_path / "new" / "genesis.pub").exists()  # it is no log


@pytest.mark.parametrize("pragma", PRAGMAS)
def test_53_a_pragma_that_does_not_hold_is_refused_and_nothing_changes(
    tmp_path: Path, other: Driver, pragma: str
) -> None:
    directory = left_open(tmp_path / "log")
    if pragma == "journal_mode":  # it lies in the file
        for name in ("log.db", "keys.db"):
            database = driver.connect(str(directory / name))
            database.execute("PRAGMA journal_mode = DELETE")
            database.close()
    other(deaf=pragma)
    assert f"keeps {pragma} at" in refused(directory)


@pytest.mark.parametrize("version", [(3, 51, 3), driver.sqlite_version_info])
def test_53_control_the_same_with_what_is_needed_goes_on(
    tmp_path: Path, other: Driver, version: tuple[int, ...]
) -> None:
    directory = left_open(tmp_path / "log")
    other(version)
    with open_log(directory) as log:
        log.append(admin("x")).result()
    report = verify_log(directory)
    assert (report.ok, report.open_intents, report.entries) == (True, 0, 6)


def test_53_what_is_read_back_is_what_the_writer_has(tmp_path: Path) -> None:
    with open_log(new_log(tmp_path / "log")) as log:
        writing = raw(log._session.connection)
        found = {name: writing.execute(f"PRAGMA {name}").fetchone()[0] for name in PRAGMAS[:4]}
        assert found == {
            "journal_mode": "wal", "synchronous": 2, "recursive_triggers": 1, "foreign_keys": 1,
        }  # fmt: skip
        assert log._session.keyring._dbapi.execute("PRAGMA secure_delete").fetchone() == (1,)
