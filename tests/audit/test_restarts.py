"""Restarts, crashes, reboots, jumping clocks at random: never a false alarm (case 48, goal G8)."""

import random
from pathlib import Path

import pytest

from appliance.audit.epoch import EpochLimits
from appliance.audit.files import LogFiles
from appliance.audit.host import Moment
from appliance.audit.rolling import SegmentLimits
from appliance.audit.session import Session
from appliance.audit.verification.verify import verify_log
from appliance.clock import FixedClock
from appliance.errors import AuditRefused
from appliance.types import Receipt
from tests.audit.logs import Intruder, admin, intent, new_log, outcome, signed_change

pytestmark = pytest.mark.durable

DAY = 86_400_000_000
JUMPS = (0, 0, 0, 0, 1_000_000, 700_000_000, -DAY, DAY, 365 * DAY, -365 * DAY)


class Host:
    def __init__(self, dice: random.Random) -> None:
        self._dice = dice
        self._moment = Moment(1_764_000_000_000_000, "boot-0", 5_000_000)

    def now(self) -> Moment:
        at = self._moment
        wall = max(0, at.time_us + self._dice.choice(JUMPS))
        self._moment = Moment(wall, at.boot_id, at.mono_us + self._dice.randrange(2_000_000))
        return self._moment

    def reboot(self) -> None:
        boot = f"boot-{self._dice.randrange(10**9)}"
        self._moment = Moment(self._moment.time_us, boot, self._dice.randrange(1_000_000))


def begin(directory: Path, host: Host) -> Session:
    return Session.begin(
        LogFiles(directory), mode="commit-only", clock=FixedClock(),
        limits=EpochLimits(seconds=60, rows=25, idle_seconds=600), moments=host,
        segments=SegmentLimits(rows=1_000),
    )  # fmt: skip


def some_work(writing: Session, dice: random.Random) -> list[Receipt]:
    """A few entries; an intent may lack its outcome at the end."""
    made: list[Receipt] = []
    for _ in range(dice.randrange(3)):
        name = str(dice.random())
        (asked,) = writing.commit([[intent(name)]])
        assert isinstance(asked, tuple)
        made += asked
        if dice.random() < 0.7:
            (answered,) = writing.commit([[outcome(asked[0].seq, name), admin("x")]])
            assert isinstance(answered, tuple)
            made += answered
        writing.roll()
    return made


def restart(directory: Path, times: int, seed: int) -> int:
    """So many starts, with checks on the way; the number of entries."""
    dice = random.Random(seed)
    host = Host(dice)
    receipts: list[Receipt] = []
    for number in range(times):
        writing = begin(directory, host)
        if dice.random() < 0.5:
            writing.commit([], "start")
        receipts += some_work(writing, dice)
        end = dice.random()
        if end < 0.4:
            writing.close()
        else:  # the process is gone: nothing is settled, HEAD perhaps
            if end < 0.7:
                writing.write_head()
            writing.abandon()
        if dice.random() < 0.3:
            host.reboot()
        if number % 100 == 99:
            first = max(0, receipts[-1].seq - 500) if receipts else 0
            assert verify_log(directory, first=first).problems == ()
    report = verify_log(directory, receipts=receipts)
    assert report.problems == ()
    return report.entries


def test_48_restarts_and_clock_steps_raise_no_false_alarm(tmp_path: Path) -> None:
    assert restart(new_log(tmp_path / "log"), 120, 1) > 200


def test_48_control_the_same_log_changed_raises_one(tmp_path: Path) -> None:
    directory = new_log(tmp_path / "log")
    restart(directory, 20, 2)
    intruder = Intruder(directory)
    last = intruder.rows()[-1]
    signed_change(intruder, last.seq, lambda fields: fields.update(mono_us=-1))
    assert verify_log(directory).problems
    with pytest.raises(AuditRefused):
        intruder.sql("DELETE FROM leaf WHERE seq > 3")
        begin(directory, Host(random.Random(1)))


@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("part", range(10))
def test_48_ten_thousand_restarts(tmp_path: Path, part: int) -> None:
    assert restart(new_log(tmp_path / "log"), 1_000, 100 + part) > 1_500
