"""Another program fills the disk: begun work is recorded to its end (cases 35 to 39, 41)."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from appliance.audit import store
from appliance.audit.ballast import FILE_BYTES, SLACK, WAL_BYTES, Ballast
from appliance.audit.epoch import EpochLimits
from appliance.audit.log import AuditLog, Draft
from appliance.audit.reader import LogReader
from appliance.audit.verification.verify import verify_log
from appliance.errors import AuditUnavailable
from appliance.types import Receipt
from tests.audit.disks import fill, filled_by_another, mounted, until_refused
from tests.audit.logs import admin, copy, intent, new_log, open_log, outcome

pytestmark = [pytest.mark.long, pytest.mark.durable]

MIB = 1 << 20
BALLAST = 8 * MIB
REQUESTS = 100


@pytest.fixture(params=["tmpfs", "ext4"])
def disk(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Path]:
    with mounted(tmp_path / "disk", request.param, 96) as place:
        yield place


def opened(directory: Path, ballast: int = BALLAST, rows: int = 10_000) -> AuditLog:
    return open_log(directory, ballast=ballast, reserve=MIB, epochs=EpochLimits(rows=rows))


def begun(log: AuditLog) -> list[Receipt]:
    return list(log.append(*(intent(f"r{n}") for n in range(REQUESTS))).result())


def ends(log: AuditLog, asked: list[Receipt], size: int) -> tuple[list[Receipt], str]:
    """Outcomes with texts of this size, up to the first refusal, and its message."""
    drafts = [outcome(r.seq, f"r{n}", bytes(size)) for n, r in enumerate(asked)]
    drafts.append(Draft("stop", {}))
    return until_refused(map(log.append, drafts))


def blocks(path: Path) -> int:
    """Bytes on the disk, not its length."""
    return path.stat().st_blocks * 512


def whole(directory: Path) -> bool:
    """True if file and WAL have their blocks."""
    wal = directory / "log.db-wal"
    return (blocks(directory / "ballast") >= FILE_BYTES) and (blocks(wal) >= WAL_BYTES + BALLAST)


def free(disk: Path) -> int:
    facts = os.statvfs(disk)
    return facts.f_bavail * facts.f_frsize


@pytest.mark.parametrize("greedy", [False, True], ids=["once", "greedy"])
def test_38_what_began_ends_although_another_program_took_the_disk(
    disk: Path, *, greedy: bool
) -> None:
    directory = new_log(disk / "log")
    # Keys change on the way; the file of the new one is not safe from a program that is faster.
    log = opened(directory, rows=10_000 if greedy else 60)
    assert whole(directory)
    asked = begun(log)
    with filled_by_another(disk, greedy=greedy):
        assert free(disk) < 4_096
        assert isinstance(log.append(admin("x")).exception(), AuditUnavailable)
        assert "MiB are free" in (log.latched or "")
        receipts, message = ends(log, asked, 20_000)
        assert (len(receipts), message) == (REQUESTS + 1, "")
        assert not whole(directory)
        log.close()
    report = verify_log(directory, receipts=[*asked, *receipts])
    assert report.ok, report.problems
    assert report.open_intents == 0
    assert LogReader(directory).entry(receipts[-1].seq).body["epoch"] == (0 if greedy else 2)
    with opened(directory) as again:
        assert whole(directory)
        again.append(admin("recovered")).result()
    assert verify_log(directory).ok


def test_38_control_without_a_ballast_they_do_not(disk: Path) -> None:
    directory = new_log(disk / "log")
    log = opened(directory, ballast=0)
    asked = begun(log)
    with filled_by_another(disk):
        receipts, message = ends(log, asked, 20_000)
        assert len(receipts) < REQUESTS
        assert "until it is opened again" in message
        log.close()
    with opened(directory):
        pass
    report = verify_log(directory, receipts=[*asked, *receipts])
    assert report.ok, report.problems
    assert report.open_intents == 0


@pytest.mark.parametrize("told", [True, False], ids=["told", "control"])
def test_38_no_space_to_move_the_wal_is_no_failed_commit(
    disk: Path, monkeypatch: pytest.MonkeyPatch, *, told: bool
) -> None:
    """The disk was filled after the writer had looked. Control: any other error of SQLite's."""
    directory = new_log(disk / "log")
    log = opened(directory)
    asked = begun(log)
    with filled_by_another(disk):
        monkeypatch.setattr(Ballast, "free", lambda _: 1 << 40)
        if not told:
            monkeypatch.setattr(store, "full", lambda _: False)
        receipts, message = ends(log, asked, 20_000)
        assert (len(receipts) == REQUESTS + 1) == told
        assert ("until it is opened again" in message) != told
        log.close()
        monkeypatch.undo()
    with opened(directory):
        pass
    report = verify_log(directory, receipts=[*asked, *receipts])
    assert report.ok, report.problems


def test_39_a_ballast_that_does_not_last_latches_and_loses_nothing(disk: Path) -> None:
    directory = new_log(disk / "log")
    log = opened(directory, ballast=MIB)
    asked = begun(log)
    with filled_by_another(disk):
        receipts, message = ends(log, asked, 300_000)
        assert 10 < len(receipts) < REQUESTS
        assert "until it is opened again" in message
        log.close()
    with opened(directory) as again:
        assert whole(directory)
        again.append(admin("recovered")).result()
    report = verify_log(directory, receipts=[*asked, *receipts])
    assert report.ok, report.problems
    assert report.open_intents == 0
    _, closing = LogReader(directory).find_request(f"r{REQUESTS - 1}", "k1")
    assert closing is not None
    assert closing.body["status"] == "unknown"


def test_41_recovery_on_a_full_disk_closes_what_is_open(disk: Path) -> None:
    log = opened(new_log(disk / "running"))
    asked = begun(log)
    dead = copy(disk / "running", disk / "log")  # as after a kill
    with filled_by_another(disk):
        with opened(dead) as again:
            assert "MiB are free" in (again.latched or "")
            assert again.size > 2 * REQUESTS
        assert not whole(dead)
    log.close()
    report = verify_log(dead, receipts=asked)
    assert report.ok, report.problems
    assert report.open_intents == 0
    with opened(dead) as again:
        assert again.latched is None
        assert whole(dead)


def test_41_control_without_a_ballast_it_cannot_be_opened(disk: Path) -> None:
    log = opened(new_log(disk / "running"), ballast=0)
    begun(log)
    dead = copy(disk / "running", disk / "log")
    with filled_by_another(disk), pytest.raises(AuditUnavailable):
        opened(dead, ballast=0)
    log.close()


def test_new_work_waits_until_the_ballast_is_whole_again(disk: Path) -> None:
    directory = new_log(disk / "log")
    with opened(directory) as log:
        asked = begun(log)
        with filled_by_another(disk):
            ends(log, asked, 20_000)
        filler = fill(disk, 3 * MIB)  # more than the reserve
        assert isinstance(log.append(admin("x")).exception(), AuditUnavailable)
        filler.unlink()
        assert log.append(admin("x")).result()
        assert whole(directory)


def made(place: Path, ahead: int, end: int = 0) -> Ballast:
    ballast = Ballast(place / "ballast", ahead)
    ballast.serve(place / "wal")
    ballast.make(end)
    return ballast


def test_a_ballast_is_blocks_and_not_a_length(disk: Path) -> None:
    made(disk, BALLAST)
    assert blocks(disk / "ballast") >= FILE_BYTES
    assert blocks(disk / "wal") >= WAL_BYTES + BALLAST
    for name, size in (("ballast", FILE_BYTES), ("wal", WAL_BYTES + BALLAST)):
        with (disk / name).open("wb") as file:  # as a copy that leaves out zeros has it
            file.truncate(size)
    sparse = Ballast(disk / "ballast", BALLAST)
    sparse.serve(disk / "wal")
    assert sparse.missing(0) == FILE_BYTES + WAL_BYTES + BALLAST
    sparse.make(0)
    assert sparse.missing(0) == 0
    assert blocks(disk / "wal") >= WAL_BYTES + BALLAST


def test_it_stays_ahead_of_what_is_in_the_wal(disk: Path) -> None:
    ballast = made(disk, BALLAST)
    assert ballast.missing(WAL_BYTES) == 0
    assert ballast.missing(WAL_BYTES + 1) == WAL_BYTES
    ballast.make(WAL_BYTES + 1)
    assert blocks(disk / "wal") >= 2 * WAL_BYTES + BALLAST


def test_what_does_not_fit_takes_nothing_from_what_is_there(disk: Path) -> None:
    ballast = made(disk, BALLAST)
    (disk / "wal").write_bytes(b"frames")
    before = free(disk)
    with pytest.raises(OSError, match="space"):
        ballast.make(1 << 40)
    assert (disk / "wal").read_bytes() == b"frames"
    assert before - free(disk) < 64 << 10


def test_none_is_none(disk: Path) -> None:
    made(disk, BALLAST)
    assert made(disk, 0).missing(1 << 40) == 0
    assert not (disk / "ballast").exists()


def test_the_file_is_cut_by_what_is_needed(disk: Path) -> None:
    ballast = made(disk, BALLAST)
    ballast.make_room()
    assert ballast.missing(0) == 0  # there is room enough
    with filled_by_another(disk):
        ballast.make_room()
        assert ballast.missing(0) == SLACK
        assert free(disk) >= SLACK
        ballast.make_room(1 << 40)
        assert ballast.missing(0) == FILE_BYTES
        ballast.make_room()
