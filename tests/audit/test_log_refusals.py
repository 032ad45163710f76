"""Refusals to record: a full queue, a failed commit, a short disk."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from appliance.audit import log as log_module
from appliance.audit.log import AuditLog, Draft
from appliance.audit.reader import LogReader
from appliance.audit.search import Query
from appliance.audit.verification.verify import verify_log
from appliance.errors import (
    AuditRefused,
    AuditUnavailable,
)
from appliance.types import Json
from tests.audit.logs import Intruder, admin, intent, new_log, open_log, outcome
from tests.audit.writing import file_size_limit, refusal, writer_held


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    return new_log(tmp_path / "log")


@pytest.fixture
def log(directory: Path) -> Iterator[AuditLog]:
    with open_log(directory) as opened:
        yield opened


def test_a_full_queue_refuses_new_work_and_takes_outcomes(
    log: AuditLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(log_module, "MAX_WAITING", 5)
    (asked,) = log.append(intent("r1")).result()
    with writer_held(log):
        waiting = [log.append(admin(str(n))) for n in range(5)]
        refused = log.append(admin("one too many"))
        ending = log.append(outcome(asked.seq, "r1"))
    assert "wait for the disk" in refusal(refused).message
    assert all(f.result() for f in [*waiting, ending])
    assert log.append(admin("again")).result()


def test_waiting_bytes_are_bounded(log: AuditLog, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(log_module, "MAX_WAITING_BYTES", 1_000)
    with writer_held(log):
        taken = log.append(intent("r1", b"x" * 900))
        refused = log.append(intent("r2", b"x" * 101))
    assert refusal(refused).code == "audit_unavailable"
    taken.result()
    assert log.append(intent("r2", b"x" * 900)).result()


# Content modes.


# The disk.


def test_a_failed_commit_latches_until_the_log_is_opened_again(directory: Path) -> None:
    log = open_log(directory)
    (asked,) = log.append(intent("r1")).result()
    with file_size_limit((directory / "log.db-wal").stat().st_size + 5_000):
        lost = log.append(intent("r2", bytes(100_000)))
        assert refusal(lost).code == "audit_unavailable"
    assert isinstance(lost.exception(), AuditUnavailable)
    assert log.latched is not None
    assert "until it is opened again" in log.latched
    # The disk is fine again, but what is on it is not known.
    for draft in (admin("x"), outcome(asked.seq, "r1")):
        assert refusal(log.append(draft)).code == "audit_unavailable"
    log.close()
    with open_log(directory) as again:
        assert again.latched is None
        again.append(admin("x")).result()
    last = LogReader(directory).search(Query(kind="outcome")).entries[0].body
    assert (last["intent"], last["status"]) == (asked.seq, "unknown")
    assert verify_log(directory).ok


def test_everything_that_waited_behind_a_failed_commit_fails(directory: Path) -> None:
    log = open_log(directory)
    with file_size_limit((directory / "log.db-wal").stat().st_size + 5_000):
        with writer_held(log):
            futures = [log.append(intent(str(n), bytes(100_000))) for n in range(600)]
        codes = {refusal(f).code for f in futures}
    assert codes == {"audit_unavailable"}
    log.close()


def test_keys_that_cannot_be_stored_latch_too(directory: Path) -> None:
    log = open_log(directory)
    log.append(admin("x")).result()
    with file_size_limit((directory / "log.db-wal").stat().st_size):
        assert refusal(log.append(intent("r1"))).code == "audit_unavailable"
    assert log.latched is not None
    log.close()
    open_log(directory).close()


def test_below_the_reserve_only_ends_of_work_are_recorded(directory: Path) -> None:
    with open_log(directory) as log:
        (asked,) = log.append(intent("r1")).result()
        log.close()
    reserve = 1 << 60
    with open_log(directory, reserve=reserve) as log:
        # Opening closed the intent, although space is short.
        assert LogReader(directory).find_request("r1", "k1")[1] is not None
        assert log.latched is not None
        assert "MiB are free" in log.latched
        for draft in (intent("r2"), admin("x")):
            refused = refusal(log.append(draft))
            assert refused.code == "audit_unavailable"
            assert "MiB are free" in refused.message
        worker: dict[str, Json] = {"model": "m1", "event": "exit"}
        assert log.append(Draft("worker", worker), Draft("stop", {})).result()
        # A server starts on a short disk, or it could not say why it refuses.
        assert log.new_epoch().exception() is None
        assert log.append(Draft("start", {})).result()
        mixed = log.append(Draft("stop", {}), admin("x"))
        assert refusal(mixed).code == "audit_unavailable"
    assert asked.seq == 1
    assert verify_log(directory).ok


def test_an_outcome_passes_below_the_reserve(
    directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with open_log(directory, reserve=1) as log:
        (asked,) = log.append(intent("r1")).result()
        monkeypatch.setattr(log, "_reserve", 1 << 60)
        assert refusal(log.append(intent("r2"))).code == "audit_unavailable"
        assert log.append(outcome(asked.seq, "r1")).result()
        monkeypatch.setattr(log, "_reserve", 1)
        assert log.latched is None
        assert log.append(intent("r2")).result()


def test_an_unreachable_directory_counts_as_a_shortage(directory: Path, tmp_path: Path) -> None:
    with open_log(directory) as log:
        directory.rename(tmp_path / "elsewhere")
        assert log.latched is not None
        assert "cannot be reached" in log.latched
        (tmp_path / "elsewhere").rename(directory)
        assert log.latched is None


def test_a_long_wal_is_moved_into_the_database(directory: Path) -> None:
    with open_log(directory) as log:
        before = (directory / "log.db").stat().st_size
        for n in range(40):
            log.append(intent(str(n), bytes(1 << 19))).result()
        log.append(admin("x")).result()
        assert (directory / "log.db").stat().st_size > before + (4 << 20)
    assert verify_log(directory).ok


def test_an_intruder_beside_a_running_log_is_found_by_the_next_opening(directory: Path) -> None:
    with open_log(directory) as log:
        log.append(admin("a"), admin("b")).result()
    Intruder(directory).sql("UPDATE leaf SET body = x'7b7d' WHERE seq = 1")
    with pytest.raises(AuditRefused) as caught:
        open_log(directory)
    assert caught.value.code == "audit_corrupt"
