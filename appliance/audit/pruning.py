"""Prune entries: which beginning of a log was removed, and who approved it.

Rules:
- At least `PEOPLE` different people approve, each in an entry of its own.
- The prune entry is durable before the files go; opening the log finishes an interrupted removal.
- Whole segments go, never the newest, with the content keys of their entries.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Final, cast

import msgspec

from appliance.audit import store
from appliance.audit.entry import MAX_INT, Digest, readable
from appliance.audit.files import LogFiles, sync_directory
from appliance.audit.keyring import Keyring
from appliance.audit.merkle import Frontier
from appliance.audit.segments import Log, LogSegment
from appliance.audit.tables import SPAN

KIND: Final = "prune"
APPROVAL: Final = "prune_approval"
PEOPLE: Final = 2
_KEYS: Final = 4_096


@dataclass(frozen=True)
class Pruned:
    """Content of a prune entry.

    Attributes:
        before: the first entry that stays.
        root: hex root of the tree of the removed entries.
        approvals: entries of the kind `prune_approval`.
    """

    seq: int
    before: int
    root: str
    approvals: tuple[int, ...]


class SignedPrune(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A prune, and the approvals that people signed."""

    before: Annotated[int, msgspec.Meta(ge=0, le=MAX_INT)]
    root: Digest
    envelopes: tuple[str, ...]


@dataclass(frozen=True)
class SegmentFacts:
    """A file of the log.

    Attributes:
        first, end: its entries are first ≤ seq < end.
        latest_us: the latest wall time of any entry below `end`; None for the newest segment.
    """

    first: int
    end: int
    size: int
    latest_us: int | None


def facts(files: LogFiles, log: Log) -> list[SegmentFacts]:
    """The files of a log, oldest first."""
    found = []
    for segment in log.segments:
        newest = segment is log.newest
        end = store.size(log) if newest else segment.end
        latest = None if newest else latest_before(log, end)
        size = files.segment(segment.first).stat().st_size
        found.append(SegmentFacts(segment.first, end, size, latest))
    return found


def prunes(log: Log) -> list[Pruned]:
    """All prune entries, oldest first; malformed ones are left to the verifier."""
    found = []
    for raw in store.of_kind(log, KIND):
        body = readable(raw)
        if body is not None:
            approvals = tuple(cast("list[int]", body["approvals"]))
            found.append(Pruned(body["seq"], body["before"], body["root"], approvals))
    return found


def newest(log: Log) -> SignedPrune | None:
    """The prune before the first entry."""
    found = [prune for prune in prunes(log) if prune.before == log.first]
    if not found:
        return None
    rows = (row for seq in found[-1].approvals for row in store.leaves(log, seq, seq + 1))
    envelopes = tuple(str((readable(row[3]) or {}).get("envelope")) for row in rows)
    return SignedPrune(log.first, found[-1].root, envelopes)


def missing_beginning(log: Log) -> int | None:
    """The first entry that is missing although no prune entry says so; None where all is well."""
    allowed = max((pruned.before for pruned in prunes(log)), default=0)
    return allowed if log.first > allowed else None


def approved(log: Log, prune: Pruned) -> bool:
    """True if enough people approved exactly this; their signatures are not checked here.

    Approvals are newer than the removed entries, so those of the prune that the log begins with are
    there; those of an earlier prune may have been pruned since, which does not matter.
    """
    if prune.before < log.first and any(seq < log.first for seq in prune.approvals):
        return True
    names = set()
    for seq in prune.approvals:
        for row in store.leaves(log, seq, seq + 1) if prune.before <= seq < prune.seq else ():
            body = readable(row[3]) or {}
            told = (body.get("kind"), body.get("before"), body.get("root"))
            if told == (APPROVAL, prune.before, prune.root):
                names.add(str(body["name"]))
    return len(names) >= PEOPLE


def root_before(log: Log, size: int) -> str:
    """Hex root of the tree of the first entries."""
    return Frontier.at(size, store.subtree(log)).root().hex()


def latest_before(log: Log, size: int) -> int:
    """The latest wall time of the first entries, a multiple of `SPAN`, in microseconds."""
    sql = "SELECT max(high_us) FROM span WHERE block < ?"
    (found,) = log.newest.dbapi.execute(sql, (size // SPAN,)).fetchone()
    return int(found or 0)


def least_witnessed(log: Log) -> int | None:
    """The fewest entries that any of the log's witnesses has seen last; None without witnesses."""
    seen: dict[str, int] = {}
    for raw in store.of_kind(log, "witness"):
        body = readable(raw)
        if body is not None:
            seen[body["key"]] = max(seen.get(body["key"], 0), body["size"])
    return min(seen.values(), default=None)


def remove(files: LogFiles, log: Log, keyring: Keyring, before: int) -> list[Path]:
    """Remove the segments wholly below an entry, their content keys first; the removed files."""
    gone = [segment for segment in log.segments[:-1] if segment.end <= before]
    for segment in gone:
        _destroy_keys(segment, keyring)
    paths = [files.segment(segment.first) for segment in gone]
    for path in paths:  # the oldest first: what is left always begins at one place
        path.unlink()
        for beside in ("-wal", "-shm"):
            path.with_name(path.name + beside).unlink(missing_ok=True)
    if paths:
        sync_directory(files.directory)
    return paths


def _destroy_keys(segment: LogSegment, keyring: Keyring) -> None:
    rows = segment.dbapi.execute("SELECT dek FROM leaf WHERE dek IS NOT NULL")
    while ids := [row[0] for row in rows.fetchmany(_KEYS)]:
        keyring.forget(ids)
    keyring.destroy(())
