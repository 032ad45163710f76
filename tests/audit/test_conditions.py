"""A running log's environment: forks, endless readers, removed files, backups.

The numbers in names are those of the design's faults.
"""

import os
import shutil
import subprocess
from pathlib import Path

import pysqlite3.dbapi2
import pytest

from appliance.audit import log as log_module
from appliance.audit.log import AuditLog
from appliance.audit.verification.verify import verify_log
from appliance.errors import AuditUnavailable, StateRefused
from tests.audit.disks import again, mounted
from tests.audit.logs import admin, ask, found, intent, new_log, open_log
from tests.conftest import need_tool

pytestmark = [pytest.mark.long, pytest.mark.durable]


def refused(log: AuditLog) -> str:
    error = log.append(admin("x")).exception()
    assert isinstance(error, AuditUnavailable)
    return error.message


def alarm(log: AuditLog) -> str | None:
    return log.alarm


def test_45_a_second_writer_is_refused_and_the_first_goes_on(tmp_path: Path) -> None:
    directory = new_log(tmp_path / "log")
    with open_log(directory) as log:
        with pytest.raises(StateRefused) as caught:
            open_log(directory)
        assert caught.value.code == "data_locked"
        ask(log, "r1")
    assert found(directory) == []


def test_46_a_fork_with_the_handle_writes_nothing(tmp_path: Path) -> None:
    directory = new_log(tmp_path / "log")
    with open_log(directory) as log:
        ask(log, "before")
        child = os.fork()
        if child == 0:
            said = refused(log)
            log.close()  # harmless
            os._exit(0 if "belongs to the process" in said else 1)
        assert os.waitpid(child, 0)[1] == 0
        ask(log, "after")
    report = verify_log(directory)
    assert (report.ok, report.entries) == (True, 5)


def test_47_a_reader_that_never_ends_raises_an_alarm(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    directory = new_log(tmp_path / "log")
    monkeypatch.setattr(log_module, "ALARM_WAL_BYTES", 20 << 20)
    with open_log(directory) as log:
        reader = pysqlite3.dbapi2.connect(str(directory / "log.db"), isolation_level=None)
        reader.execute("BEGIN")
        reader.execute("SELECT count(*) FROM leaf").fetchone()
        assert alarm(log) is None
        for number in range(50):
            log.append(intent(str(number), bytes(1 << 19))).result()
        assert "keeps them from it" in str(alarm(log))
        reader.execute("COMMIT")
        reader.close()
        log.append(admin("x")).result()
        log.append(admin("x")).result()
        assert alarm(log) is None
    assert found(directory) == []


def test_49_a_file_system_that_becomes_read_only_latches_and_loses_nothing(tmp_path: Path) -> None:
    """ext4's reaction to a disk error, by its option `abort`."""
    mount = need_tool("mount")
    place = tmp_path / "disk"
    with mounted(place, "ext4", 32):
        directory = new_log(place / "log")
        log = open_log(directory)
        promised = ask(log, "before")  # the control: it could be written
        subprocess.run([mount, "-o", "remount,abort", place], check=True)
        assert "until it is opened again" in refused(log)
        with pytest.raises(OSError, match="ead-only"):
            (place / "x").touch()
        log.close()
    with again(place.with_suffix(".image"), tmp_path / "repaired") as repaired:
        with open_log(repaired / "log") as opened:
            opened.append(admin("on")).result()
        report = verify_log(repaired / "log", receipts=promised)
        assert (report.ok, report.open_intents) == (True, 0)


@pytest.mark.parametrize("how", ["unlink", "rename", "replace"])
def test_50_a_database_that_is_moved_while_open_latches(tmp_path: Path, how: str) -> None:
    directory = new_log(tmp_path / "log")
    path = directory / "log.db"
    with open_log(directory) as log:
        ask(log, "before")
        twin = shutil.copyfile(path, tmp_path / "twin")
        if how == "unlink":
            path.unlink()
        elif how == "rename":
            path.rename(tmp_path / "elsewhere")
        else:
            Path(twin).replace(path)
        assert "until it is opened again" in refused(log)
        assert log.latched is not None


def test_54_a_backup_under_writes_verifies(tmp_path: Path) -> None:
    directory, to = new_log(tmp_path / "log"), tmp_path / "backup"
    with open_log(directory) as log:
        ask(log, "before")
        futures = [log.append(*(intent(f"{n}-{k}") for k in range(20))) for n in range(20)]
        to.mkdir()
        for name in ("HEAD", "genesis.pub", "kek"):  # HEAD before the database
            shutil.copy(directory / name, to)
        for name in ("log.db", "keys.db"):  # keys are there before the entries that name them
            source = pysqlite3.dbapi2.connect(f"file:{directory}/{name}?mode=ro", uri=True)
            target = pysqlite3.dbapi2.connect(str(to / name))
            source.backup(target)
            source.close()
            target.close()
        for future in futures:
            future.result()
    report = verify_log(to)
    assert report.ok, report.problems
    assert report.entries >= 3


def test_54_control_a_head_that_is_newer_than_the_copied_database_is_a_finding(
    tmp_path: Path,
) -> None:
    directory, to = new_log(tmp_path / "log"), tmp_path / "backup"
    with open_log(directory) as log:
        ask(log, "before")
    shutil.copytree(directory, to)
    with open_log(directory) as log:
        ask(log, "after")
    shutil.copy(directory / "HEAD", to)
    assert (3, "tail_missing") in found(to)


def verified_while_written(directory: Path, times: int) -> None:
    with open_log(directory) as log:
        for number in range(times):
            futures = [log.append(admin(f"{number} {n}")) for n in range(3)]
            assert found(directory) == []
            for future in futures:
                future.result()
            if number % 50 == 49:
                log.new_epoch().result()
    assert found(directory) == []


def test_55_verification_under_writes_raises_no_false_alarm(tmp_path: Path) -> None:
    verified_while_written(new_log(tmp_path / "log"), 60)


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_55_a_thousand_verifications_under_writes(tmp_path: Path) -> None:
    verified_while_written(new_log(tmp_path / "log"), 1_000)
