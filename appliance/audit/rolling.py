"""Beginning a new segment of the log.

Rules: a segment ends only at a multiple of `SPAN`, so that tiles, inner nodes and spans never
straddle two files. The new file is complete and durable before it gets its name. It carries the
inner nodes, spans and key handovers of everything before it, which the verifier checks.
"""

from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from appliance.audit import prover, store
from appliance.audit.files import LogFiles, sync_directory
from appliance.audit.segments import Log
from appliance.audit.tables import SPAN
from appliance.errors import AuditRefused

_NEW: Final = ".new"
_DAY_US: Final = 86_400_000_000
_COPIED: Final = (
    ("SELECT level, idx, hash FROM node", "INSERT INTO node (level, idx, hash) VALUES (?, ?, ?)"),
    (
        "SELECT block, low_us, high_us FROM span",
        "INSERT INTO span (block, low_us, high_us) VALUES (?, ?, ?)",
    ),
)
_HANDOVER: Final = "INSERT INTO handover (size, record) VALUES (?, ?)"


@dataclass(frozen=True)
class SegmentLimits:
    """Age and length at which a segment ends, at the next multiple of 1,024 entries."""

    rows: int = 1 << 20
    days: int = 31


def room(first: int, began_us: int, size: int, now_us: int, limits: SegmentLimits) -> int | None:
    """Number of entries a segment may still take before it ends; None while it continues."""
    full = size - first >= limits.rows
    if size == first or not (full or now_us - began_us >= limits.days * _DAY_US):
        return None
    return -size % SPAN


def prepare(files: LogFiles, log: Log, first: int) -> Path | None:
    """Make the file of the segment that begins with an entry, durable under another name.

    None when it could not be made.
    """
    path = files.segment(first)
    unfinished = path.with_name(path.name + _NEW)
    try:
        _fill(unfinished, log)
    except (*store.FAILURES, AuditRefused):
        with suppress(OSError):
            sweep(files)
        return None
    return unfinished


def finish(files: LogFiles, unfinished: Path, first: int) -> Path:
    """Give the file its name, so that the log continues there."""
    path = unfinished.replace(files.segment(first))
    sync_directory(files.directory)
    return path


def sweep(files: LogFiles) -> None:
    """Remove the file of an interrupted beginning."""
    for left in files.directory.glob(f"log-*.db{_NEW}*"):
        left.unlink()


def _fill(path: Path, log: Log) -> None:
    engine = store.open_log(path)
    try:
        with engine.begin() as connection:
            for read, write in _COPIED:
                if rows := log.newest.dbapi.execute(read).fetchall():
                    connection.exec_driver_sql(write, rows)
            if records := [(h.size, h.encode()) for h in prover.handovers(log)]:
                connection.exec_driver_sql(_HANDOVER, records)
        with engine.connect() as connection:
            store.raw(connection).execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
    finally:
        engine.dispose()
