"""Changes of keys, and crashes between the steps; test_faults.py has faults in each call."""

from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from appliance.audit import epoch
from appliance.audit.epoch import EpochLimits
from appliance.audit.files import LogFiles, private_pem, read_private
from appliance.audit.reader import LogReader
from appliance.audit.search import Query
from appliance.audit.verification.verify import verify_log
from appliance.errors import AuditRefused
from tests.audit.epochs import Moments, epochs_log, open_epochs
from tests.audit.logs import admin, new_log, open_log

pytestmark = pytest.mark.durable


def reasons(directory: Path) -> list[str]:
    reader = LogReader(directory)
    try:
        return [str(e.body["reason"]) for e in reader.search(Query(kind="key_handover")).entries]
    finally:
        reader.close()


def test_a_key_signs_for_so_long_and_so_many_entries(tmp_path: Path) -> None:
    directory, moments = new_log(tmp_path / "log"), Moments()
    with open_epochs(directory, moments, EpochLimits(seconds=600, rows=20)) as log:
        first = reasons(directory)  # the log was made in another boot, so it seems
        log.append(admin("a")).result()
        moments.advance(599)
        log.append(admin("b")).result()
        before = reasons(directory)
        moments.advance(2)
        log.append(admin("c")).result()
        after_time = reasons(directory)
        log.append(*(admin(str(n)) for n in range(30))).result()
    assert before[len(first) :] == [] or before == ["time"]
    assert after_time == [*before, "time"]
    assert reasons(directory) == [*after_time, "rows"]
    assert verify_log(directory).ok


def test_idle_logs_change_keys_too(tmp_path: Path) -> None:
    directory, moments = new_log(tmp_path / "log"), Moments()
    with open_epochs(directory, moments) as log:
        log.append(admin("a")).result()
        log.new_epoch().result()
        size = log.size
        moments.advance(3_599)
        assert log._session.keeper.due(size) is None
        moments.advance(2)
        assert log._session.keeper.due(size) == "idle"
        moments.advance(0, boot="boot-2")
        assert log._session.keeper.due(size) == "idle"
        moments.advance(-5_000)
        assert log._session.keeper.seconds_left(size) == 0
    assert verify_log(directory).ok


def test_the_writer_wakes_by_itself(tmp_path: Path) -> None:
    directory = new_log(tmp_path / "log")
    with open_epochs(directory, limits=EpochLimits(seconds=1)) as log:
        log.append(admin("a")).result()
        while not log._session.writer.epoch.number:  # the test's own limit ends a hang
            log.append(admin("b")).result()
    assert "time" in reasons(directory)


def test_control_a_young_epoch_goes_on(tmp_path: Path) -> None:
    directory = new_log(tmp_path / "log")
    for _ in range(3):
        with open_log(directory) as log:
            log.append(admin("x")).result()
    assert reasons(directory) == []


def test_old_keys_are_in_no_file(tmp_path: Path) -> None:
    directory, keys = epochs_log(tmp_path / "log")
    everything = b"".join(p.read_bytes() for p in directory.iterdir())
    for key in keys[:-1]:
        assert private_pem(key) not in everything
        assert key.private_bytes_raw() not in everything
    assert private_pem(keys[-1]) in everything  # the control
    assert not LogFiles(directory).signing_next.exists()


def test_the_old_file_is_overwritten_where_it_lies(tmp_path: Path) -> None:
    path = tmp_path / "key"
    path.write_bytes(b"secret")
    twin = tmp_path / "twin"
    twin.hardlink_to(path)
    epoch.overwrite(path)
    assert twin.read_bytes() == bytes(6)
    epoch.overwrite(tmp_path / "none")


# Case 42: each state that a crash between two steps leaves behind.


def crashed(directory: Path, *, recorded: bool, overwritten: bool = False) -> None:
    """Put the files back to the middle of the last change of keys."""
    files = LogFiles(directory)
    other = Ed25519PrivateKey.generate()
    if recorded:
        files.signing.replace(files.signing_next)
        files.signing.write_bytes(bytes(10) if overwritten else private_pem(other))
    else:
        files.signing_next.write_bytes(private_pem(other))


@pytest.mark.parametrize(("recorded", "overwritten"), [(False, False), (True, False), (True, True)])
def test_42_a_crash_during_a_change_of_keys(
    tmp_path: Path, recorded: bool, overwritten: bool
) -> None:
    directory, keys = epochs_log(tmp_path / "log")
    crashed(directory, recorded=recorded, overwritten=overwritten)
    with open_log(directory) as log:
        log.append(admin("on")).result()
    files = LogFiles(directory)
    assert private_pem(read_private(files.signing)) == private_pem(keys[-1])
    assert not files.signing_next.exists()
    assert verify_log(directory).ok


def test_42_a_next_key_torn_by_a_crash(tmp_path: Path) -> None:
    directory, _ = epochs_log(tmp_path / "log")
    LogFiles(directory).signing_next.write_bytes(b"-----BEGIN PRI")
    with open_log(directory) as log:
        log.new_epoch().result()
    assert verify_log(directory).ok


def test_a_log_without_its_key_is_not_continued(tmp_path: Path) -> None:
    directory, keys = epochs_log(tmp_path / "log")
    LogFiles(directory).signing.write_bytes(private_pem(keys[0]))
    with pytest.raises(AuditRefused) as caught:
        open_log(directory)
    assert caught.value.code == "audit_corrupt"
