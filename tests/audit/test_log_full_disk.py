"""A file system of a few MiB that really fills up under the log."""

import itertools
from collections.abc import Iterator
from pathlib import Path

import pytest

from appliance.audit.log import AuditLog
from appliance.audit.reader import LogReader
from appliance.audit.verification.verify import verify_log
from appliance.clock import FixedClock
from appliance.errors import AuditUnavailable
from tests.audit.disks import fill, mounted, until_refused
from tests.audit.logs import ORIGIN, admin, intent, new_log, open_log, outcome

pytestmark = pytest.mark.durable

MIB = 1 << 20


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    with mounted(tmp_path / "disk", "tmpfs", 8) as place:
        yield place


def test_a_full_disk_latches_the_log_and_loses_nothing(disk: Path) -> None:
    directory = new_log(disk / "log")
    log = open_log(directory)
    asked = log.append(*(intent(f"r{n}") for n in range(100))).result()
    filler = fill(disk, 300_000)
    ends = (outcome(r.seq, f"r{n}", bytes(20_000)) for n, r in enumerate(asked))
    receipts, message = until_refused(map(log.append, ends))
    assert receipts
    assert "until it is opened again" in message
    # Latched for good, also when there is space again.
    filler.unlink()
    for draft in (admin("x"), outcome(asked[99].seq, "r99")):
        assert isinstance(log.append(draft).exception(), AuditUnavailable)
    assert log.latched is not None
    log.close()

    with open_log(directory) as again:
        again.append(admin("recovered")).result()
    report = verify_log(directory, receipts=[*asked, *receipts])
    assert report.ok, report.problems
    assert report.open_intents == 0
    _, closing = LogReader(directory).find_request("r99", "k1")
    assert closing is not None
    assert closing.body["status"] == "unknown"


def test_the_reserve_keeps_room_for_outcomes(disk: Path) -> None:
    directory = new_log(disk / "log")
    with open_log(directory, reserve=2 * MIB) as log:
        receipts, message = until_refused(
            log.append(intent(f"r{n}", bytes(20_000))) for n in itertools.count()
        )
        assert "MiB are free" in message
        for number, asked in enumerate(receipts):
            log.append(outcome(asked.seq, f"r{number}", b"short")).result()
        assert verify_log(directory).open_intents == 0
    assert verify_log(directory).ok


def test_new_work_goes_on_by_itself_when_there_is_space_again(disk: Path) -> None:
    directory = new_log(disk / "log")
    with open_log(directory, reserve=2 * MIB) as log:
        filler = fill(disk, MIB)
        assert "MiB are free" in (log.latched or "")
        assert isinstance(log.append(admin("x")).exception(), AuditUnavailable)
        filler.unlink()
        assert log.append(admin("x")).result()


def test_opening_and_creating_on_a_full_disk_say_so(disk: Path) -> None:
    directory = new_log(disk / "log")
    with open_log(directory) as log:
        log.append(*(intent(str(n)) for n in range(20))).result()
    filler = fill(disk, 0)
    with pytest.raises(AuditUnavailable):
        open_log(directory)
    with pytest.raises(AuditUnavailable):
        AuditLog.create(disk / "other", origin=ORIGIN, profile="lab", clock=FixedClock())
    filler.unlink()
    open_log(directory).close()
    assert verify_log(directory).ok
