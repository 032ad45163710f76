"""Agreement of `appliance.db` and the audit log, from the last entry at which both agreed.

Rules:
- The agreed rows are kept under a code that only the holder of the log's key-encryption key can
  make. A log that lacks their place ends before the database: nothing is answered until a person
  decides.
- While a server runs, a row is behind its entry for a moment: a difference counts when two looks in
  a row have it. A row that never agreed was interrupted by a crash: it is completed as far as it
  takes something away, dropped otherwise.
- A difference holds its subject back until a person settles it.
"""

import contextlib
import hashlib
import hmac
import logging
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final, cast

import msgspec
from sqlalchemy import Engine, text
from sqlalchemy.exc import SQLAlchemyError

from appliance.audit.entry import LogEntry
from appliance.audit.log import AuditLog, Draft
from appliance.audit.reader import LogReader
from appliance.clock import Clock
from appliance.db import decoding, reading
from appliance.errors import AuditRefused, AuditUnavailable, StateRefused
from appliance.governance import log_state, rows
from appliance.governance.log_state import ANY, KINDS, TABLES, ProvenFacts, State, UnprovenRow
from appliance.host import host_key
from appliance.types import Held, Json, Told

TABLE: Final = """
CREATE TABLE agreement (
  id INTEGER PRIMARY KEY CHECK (id = 1),
  record BLOB NOT NULL,
  code BLOB NOT NULL
) STRICT;
"""
"""SQL script for appliance.db; a migration in the sense of `appliance.db`."""

AGREES: Final = "agrees"
"""The field of a `start` that says up to which entry log and database agreed."""
SYSTEM: Final = "appliance"
_RUNS: Final = ("start", "stop")
_IN_ENTRY: Final = 40_000
"""Bytes of settled facts in one entry."""
_log = logging.getLogger("appliance")


class Record(msgspec.Struct, frozen=True):
    """The last agreement of log and rows.

    Attributes:
        size: entries that were compared.
        leaf: hex leaf hash of the last of them.
        state: the facts.
    """

    size: int
    leaf: str
    state: dict[str, dict[str, ProvenFacts]]


@dataclass(frozen=True)
class AgreementFound:
    """The last comparison.

    Attributes:
        ends_early: why nothing is answered; empty where the log reaches as far as the rows.
        differences: that are held back, and those that only the log permits.
    """

    ends_early: str = ""
    differences: tuple[UnprovenRow, ...] = ()

    def held(self, *tables: str) -> frozenset[str]:
        """Subjects of these tables that are held back, and the subjects of lost certificates."""
        held = [d for d in self.differences if d.table in tables and d.permits]
        lost = [str(d.facts.extra.get("digest") or "") for d in held if d.what == "lost"]
        return frozenset([*(d.subject for d in held), *filter(None, lost)])

    def owners(self, *tables: str) -> frozenset[str]:
        """Owners of these tables' held subjects: models, queues, digests."""
        return frozenset(subject.rpartition("/")[0] for subject in self.held(*tables))

    def told(self) -> list[Told]:
        """Each difference that is held back; those about one thing have one subject."""
        held = (d for d in self.differences if d.permits)
        return [Told(f"{d.table} {d.subject}", d.sentence()) for d in held]

    def alarms(self) -> list[str]:
        """The decisions that a person must make, in sentences."""
        told = [self.ends_early] if self.ends_early else []
        return told + [d.sentence() for d in self.differences if d.permits]


@dataclass(frozen=True)
class _Found:
    """A comparison.

    Attributes:
        record: where it began; None where the whole log was read.
        last: the entry at its end.
    """

    record: Record | None
    last: LogEntry
    state: State
    rows: State
    differences: list[UnprovenRow]

    @property
    def size(self) -> int:
        return self.last.seq + 1


class Agreement:
    """Compares one database with one log.

    Args:
        secret: keys, the newest first, of the code over the agreed rows.
    """

    def __init__(
        self, database: Engine, reader: LogReader, audit: AuditLog, clock: Clock, secret: bytes
    ) -> None:
        self._database, self._reader, self._audit = database, reader, audit
        self._clock = clock
        self._secrets = [
            hashlib.sha256(b"agreement" + key).digest() for key in host_key.each(secret)
        ]
        self._seen: frozenset[tuple[str, str, str]] = frozenset()
        self._standing = AgreementFound()
        # A look that began before a person decided must not end after it.
        self._one = threading.RLock()
        self._readers: list[Callable[[], None]] = []
        self.size = 0

    @property
    def standing(self) -> AgreementFound:
        return self._standing

    @standing.setter
    def standing(self, found: AgreementFound) -> None:
        self._standing = found
        self._audit.hold_for("log_ends_early", found.ends_early)

    def held(self, *tables: str, owners: Sequence[str] = ()) -> Held:
        """A function to the subjects of these tables that are held back now.

        Args:
            owners: tables whose held subjects' owners are held back.
        """
        return lambda: self._standing.held(*tables) | self._standing.owners(*owners)

    def when_mended(self, read: Callable[[], None]) -> None:
        """Call `read` whenever rows were changed."""
        self._readers.append(read)

    def _mended(self) -> None:
        for read in self._readers:
            read()

    def begin(self) -> AgreementFound:
        """Compare at a start, before anything is answered; complete interrupted work."""
        try:
            with self._one:
                return self._begin()
        except (AuditRefused, AuditUnavailable) as error:
            self.standing = AgreementFound(f"Log and database cannot be compared: {error.message}")
            return self.standing

    def _begin(self) -> AgreementFound:
        found = self._compare()
        if found is None:
            return self.standing
        return self._completed(found, self._reader.newest_of(_RUNS) + 1)

    def _completed(self, found: _Found, since: int) -> AgreementFound:
        """Complete rows that never agreed, since they were not written after their entries.

        `since` is the first entry for which that is possible.
        """
        since = max(since, found.record.size if found.record else 0)
        if interrupted := [d for d in found.differences if d.seq >= since and not _stays(d)]:
            with contextlib.suppress(AuditUnavailable, SQLAlchemyError):  # it stays held back
                self._settle(interrupted, SYSTEM, "Its row was not written after its entry.")
            self._mended()
            found = self._compare() or found
        return self._stand(found)

    def look(self) -> AgreementFound:
        """Compare while a server runs; a difference counts when the look before had it, too."""
        with self._one:
            return self._look()

    def _look(self) -> AgreementFound:
        found = self._compare()
        if found is None:
            return self.standing
        before, self._seen = self._seen, frozenset(map(_named, found.differences))
        if not self._seen <= before:
            both = (d for d in found.differences if _named(d) in before)
            self.standing = AgreementFound("", tuple(both))
            return self.standing
        return self._completed(found, 0)

    def settle(self, actor: str, reason: str) -> AgreementFound:
        """Settle all differences by a person's decision: rows become as strict as the log, and
        count from here.

        `state_agrees` when there is nothing to decide.
        """
        with self._one:
            early = self.standing.ends_early
            found = self._compare(whole=bool(early))
            if found is None or not (early or found.differences):
                raise StateRefused("state_agrees", "Nothing is to be decided.")
            self._settle(found.differences, actor, reason, early)
            if early:
                self._save(self._compare(whole=True))
            self._mended()
            return self.begin()

    def close(self) -> None:
        """Keep the place of the end; otherwise the next start compares again."""
        with self._one, contextlib.suppress(SQLAlchemyError, AuditRefused, AuditUnavailable):
            found = None if self.standing.ends_early else self._compare()
            if found is not None and found.record is not None:
                agreed = found.record.size
                if all(d.seq < agreed for d in found.differences):  # or the next start completes it
                    self._stand(found)

    def _stand(self, found: _Found) -> AgreementFound:
        self.standing = AgreementFound("", tuple(found.differences))
        self.size = found.size
        self._save(found)
        return self.standing

    def _compare(self, *, whole: bool = False) -> _Found | None:
        """Compare log and rows now; None, with the standing, where the log ends too early.

        `whole` reads all of the log, whatever was kept.
        """
        record, broken = (None, False) if whole else self._record()
        first, size = self._reader.first, self._reader.size
        early = ""
        if record is not None:
            early = self._ends_early(record, first, size)
        elif broken and first:
            early = "appliance.db no longer keeps what the log said before it was pruned."
        if early:
            self.standing = AgreementFound(early)
            return None
        if record is not None:
            state = {table: dict(subjects) for table, subjects in record.state.items()}
        else:  # of what was pruned, no entry tells
            state = {table: {ANY: ProvenFacts()} for table in TABLES} if first else {}
        begun = record.size if record else first
        log_state.fold(state, (entry.body for entry in self._reader.since(begun, size, KINDS)))
        with reading(self._database) as connection, decoding("what the log proves"):
            there = rows.read(connection)
        found = log_state.differences(state, there)
        return _Found(record, self._reader.entry(size - 1), state, there, found)

    def _ends_early(self, record: Record, first: int, size: int) -> str:
        """The reason why the log is not the agreed one; "" where it is."""
        seq = record.size - 1
        if record.size > size:
            return f"The log ends with entry {size - 1}, and appliance.db knows entry {seq}."
        if seq < first:
            return f"appliance.db agrees with the log up to entry {seq}, and that was pruned."
        if self._reader.entry(seq).leaf.hex() != record.leaf:
            return f"Entry {seq} of the log is another one than appliance.db knows."
        return ""

    def _settle(
        self, found: Sequence[UnprovenRow], actor: str, reason: str, ends_early: str = ""
    ) -> None:
        with self._database.begin() as connection:
            rows.mend(connection, found, self._clock.wall_us())
            made = log_state.settled(found, rows.read(connection))
            drafts = []
            for part in _parts(made):
                drafts.append(
                    Draft.deed(
                        log_state.SETTLED,
                        actor,
                        reason=reason,
                        ends_early=ends_early,
                        settled=cast(Json, part),
                    )
                )
            self._audit.append(*drafts).result()
        for one in found:
            _log.warning("settled: %s", one.sentence())

    def _record(self) -> tuple[Record | None, bool]:
        """The kept record, and whether one is missing or altered."""
        with self._database.begin() as connection:
            row = connection.execute(text("SELECT record, code FROM agreement")).first()
        if row is None:
            started = self._reader.newest_of(("start",))
            return None, started >= 0 and AGREES in self._reader.entry(started).body
        data = bytes(row[0])
        if not any(hmac.compare_digest(code, bytes(row[1])) for code in self._codes(data)):
            _log.error("where log and database agreed was changed: the whole log is read")
            return None, True
        return msgspec.json.decode(data, type=Record), False

    def _save(self, found: _Found | None) -> None:
        if found is None or (found.record and found.record.size == found.size):
            return
        kept = Record(found.size, found.last.leaf.hex(), log_state.agreed(found.state, found.rows))
        data = msgspec.json.encode(kept)
        sql = text("INSERT OR REPLACE INTO agreement VALUES (1, :record, :code)")
        try:
            with self._database.begin() as connection:
                connection.execute(sql, {"record": data, "code": self._codes(data)[0]})
        except SQLAlchemyError as error:  # a full disk; it is compared again
            _log.warning("where log and database agree is not kept: %s", type(error).__name__)

    def _codes(self, data: bytes) -> list[bytes]:
        said = self._reader.origin.encode() + b"\n" + data
        return [hmac.digest(key, said, "sha256") for key in self._secrets]


def _named(found: UnprovenRow) -> tuple[str, str, str]:
    return found.table, found.subject, found.what


def _stays(found: UnprovenRow) -> bool:
    """True if no crash explains a difference, or the job that it stopped will end it.

    A key ends before its entry: its row never lacks what an entry says.
    """
    case = found.table, found.what
    return case in {("looks", "lost"), ("api_keys", "revived")}


def _parts(made: Sequence[dict[str, Json]]) -> Iterator[list[dict[str, Json]]]:
    """Non-empty lists that each fit into an entry."""
    part: list[dict[str, Json]] = []
    size = 0
    for one in made:
        more = len(msgspec.json.encode(one))
        if part and size + more > _IN_ENTRY:
            yield part
            part, size = [], 0
        part.append(one)
        size += more
    yield part
