"""Logs of several epochs, and an attacker's keys."""

from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from appliance.audit.epoch import EpochLimits
from appliance.audit.files import LogFiles, read_private
from appliance.audit.host import Moment
from appliance.audit.log import AuditLog
from appliance.clock import FixedClock
from tests.audit.logs import ask, new_log


class Moments:
    def __init__(self) -> None:
        self.moment = Moment(1_764_000_000_000_000, "boot-1", 1_000_000)

    def now(self) -> Moment:
        return self.moment

    def advance(self, seconds: float, boot: str = "boot-1") -> None:
        mono = self.moment.mono_us + int(seconds * 1_000_000)
        self.moment = Moment(self.moment.time_us, boot, mono)


def open_epochs(
    directory: Path, moments: Moments | None = None, limits: EpochLimits | None = None
) -> AuditLog:
    return AuditLog.open(
        directory,
        clock=FixedClock(),
        content="encrypted",
        reserve_bytes=0,
        epochs=limits,
        moments=moments,
    )


def epochs_log(directory: Path, count: int = 3) -> tuple[Path, list[Ed25519PrivateKey]]:
    """Each epoch has an intent and an outcome. Entry 0 is genesis; epoch e > 0 begins at entry 3e +
    1 and ends with its handover; the last one is open and empty.
    """
    new_log(directory)
    keys = [read_private(LogFiles(directory).signing)]
    with open_epochs(directory) as log:
        for number in range(count):
            ask(log, f"r{number}")
            log.new_epoch().result()
            keys.append(read_private(LogFiles(directory).signing))
    return directory, keys
