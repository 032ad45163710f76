"""Logs of several segments, and their pruning."""

from collections.abc import Callable
from pathlib import Path

from appliance.audit.epoch import EpochLimits
from appliance.audit.log import AuditLog, Draft
from appliance.audit.pruning import APPROVAL, KIND
from appliance.audit.reader import LogReader
from appliance.audit.rolling import SegmentLimits
from appliance.clock import FixedClock
from appliance.types import Json, Receipt
from tests.audit.logs import admin, ask, intent, new_log, outcome

ROWS = 1_024
_NEVER = 1 << 30  # seconds


def open_segments(directory: Path, clock: FixedClock | None = None) -> AuditLog:
    """A log that begins a new segment every 1,024 entries.

    No key ends by its age: a copy of a log may be opened much later.
    """
    return AuditLog.open(
        directory,
        clock=clock or FixedClock(),
        content="encrypted",
        epochs=EpochLimits(seconds=_NEVER, idle_seconds=_NEVER),
        reserve_bytes=0,
        segments=SegmentLimits(rows=ROWS),
    )


def fill(log: AuditLog, size: int) -> None:
    """A commit ends wherever a segment may."""
    while log.size < size:
        count = min(400, size - log.size, ROWS - log.size % ROWS)
        log.append(*(admin(f"{log.size + n}") for n in range(count))).result()


def segmented(directory: Path, segments: int = 3) -> Path:
    """So many segments of 1,024 entries, the last one just begun.

    Each has a request, a change of keys, and an intent whose outcome is in the next one.
    """
    new_log(directory)
    with open_segments(directory) as log:
        for number in range(segments - 1):
            some(log, f"s{number}")
            fill(log, (number + 1) * ROWS - 1)
            (asked,) = log.append(intent(f"across-{number}")).result()
            log.append(outcome(asked.seq, f"across-{number}")).result()
        some(log, "last")
    return directory


def some(log: AuditLog, name: str) -> None:
    ask(log, name)
    log.new_epoch().result()


def prune(
    log: AuditLog,
    directory: Path,
    before: int,
    *people: str,
    root: str = "",
    envelope: Callable[[str], str] = lambda name: "{}",
) -> Receipt:
    """Prune as these people approved; `envelope` signs for one of them."""
    root = root or LogReader(directory).root_before(before)
    fields: dict[str, Json] = {"actor": "uid:0", "before": before, "root": root}
    given = [Draft(APPROVAL, {**fields, "name": n, "envelope": envelope(n)}) for n in people]
    approvals = [log.append(one).result()[0].seq for one in given]
    (receipt,) = log.append(
        Draft(KIND, {**fields, "reason": "old", "approvals": [*approvals]})
    ).result()
    return receipt
