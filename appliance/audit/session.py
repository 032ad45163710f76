"""The one writing session of an audit directory: lock, databases, keys and writer together.

Rules:
- The end of the log is checked, unused content keys are swept and open intents closed as `unknown`
  before anything new is written.
- Every failure of driver or disk leaves here as AuditUnavailable (`audit_unavailable`).
- If a new segment cannot be begun, the log continues in the old one until the next place.
- `close` settles HEAD, unused keys and the WAL; `abandon`, after a failed commit, writes nothing.
"""

import dataclasses
import os
from collections.abc import Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Self, cast

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from sqlalchemy import Connection, Engine

from appliance.audit import eraser, erasures, pruning, recovery, rolling, store
from appliance.audit.ballast import Ballast
from appliance.audit.checkpoint import VerifierKey, check_origin
from appliance.audit.content import KEY_BYTES
from appliance.audit.entry import NO_ENTRY, Draft, LogEntry
from appliance.audit.epoch import EpochKeeper, EpochLimits, current_key
from appliance.audit.files import (
    LogFiles,
    private_pem,
    replace,
    sync_directory,
    write_new,
    write_secret,
)
from appliance.audit.handover import Epoch
from appliance.audit.host import HostMoments, Moments, uuid7
from appliance.audit.keyring import Keyring
from appliance.audit.merkle import Frontier
from appliance.audit.rolling import SegmentLimits
from appliance.audit.segments import Log, Segments
from appliance.audit.store import unavailable
from appliance.audit.writer import Tail, Writer
from appliance.clock import Clock
from appliance.errors import ApplianceError, AuditRefused, StateRefused
from appliance.types import Receipt

_BATCH: Final = 512


@dataclass(frozen=True)
class _Newest:
    """The segment that grows.

    Attributes:
        log: all segments, read through this one's connection and those of `older`.
        older: closes the connections to older segments.
        began_us: wall time of its first entry, or of now when it has none.
    """

    path: Path
    place: tuple[int, int]
    engine: Engine
    connection: Connection
    log: Log
    older: ExitStack
    began_us: int

    def close(self) -> None:
        self.older.close()
        self.connection.close()
        self.engine.dispose()


@dataclass
class Session:
    """Everything that writing needs."""

    files: LogFiles
    lock: int
    newest: _Newest
    keyring: Keyring
    writer: Writer
    keeper: EpochKeeper
    moments: Moments
    limits: SegmentLimits
    ballast: Ballast

    @property
    def connection(self) -> Connection:
        return self.newest.connection

    @classmethod
    def begin(
        cls,
        files: LogFiles,
        *,
        mode: str,
        clock: Clock,
        limits: EpochLimits,
        segments: SegmentLimits | None = None,
        moments: Moments | None = None,
        ballast_bytes: int = 0,
    ) -> Self:
        """Open the log as its one writer.

        The missing part of the ballast is not made yet.
        """
        files.check_present()
        lock = files.lock()
        try:
            with unavailable("The audit log cannot be opened"):
                files.check_untouched()
                moments = moments or HostMoments(clock)
                rolling.sweep(files)
                ballast = Ballast(files.ballast, ballast_bytes)
                ballast.make_room()
                session, intents = cls._checked(files, lock, mode, clock, limits, moments, ballast)
                session.limits = segments or SegmentLimits()
                session._recover(intents)
        except BaseException:
            os.close(lock)
            raise
        return session

    @classmethod
    def _checked(
        cls,
        files: LogFiles,
        lock: int,
        mode: str,
        clock: Clock,
        limits: EpochLimits,
        moments: Moments,
        ballast: Ballast,
    ) -> tuple[Self, list[LogEntry]]:
        public = files.verifier_key()
        *older, (first, path) = files.segments()
        for _, old in older:  # of an older version, perhaps
            store.open_log(old).dispose()
        newest = _opened(files, first, path, moments)
        try:
            end = recovery.read_end(newest.log, public, _head(files))
            key = current_key(files, end.epoch)
            keyring = Keyring(files.keys, files.key_encryption_key(), clock)
        except BaseException:
            newest.close()
            raise
        writer = Writer(
            newest.connection, keyring, end.tail,
            epoch=end.epoch, key=key, mode=mode, moments=moments, ballast=ballast,
        )  # fmt: skip
        keeper = EpochKeeper(files, end.epoch, end.began, limits, moments)
        return cls(
            files, lock, newest, keyring, writer, keeper, moments, SegmentLimits(), ballast
        ), end.intents

    def commit(
        self, groups: Sequence[Sequence[Draft]], reason: str | None = None
    ) -> list[tuple[Receipt, ...] | AuditRefused]:
        """Store drafts as `Writer.commit` does, and change the key when it is due.

        `reason` changes the key in any case.
        """
        size = self.writer.size + sum(map(len, groups))
        reason = reason or self.keeper.due(size)
        self.ballast.make_room()
        if reason is None:
            results = self.writer.commit(groups)
        else:
            results = self.writer.commit(groups, self.keeper.prepare(), reason)
            self.keeper.advance(self.writer.epoch)
        for drafts, result in zip(groups, results, strict=True):
            if not isinstance(result, AuditRefused):
                self._follow(drafts)
        return results

    def _follow(self, drafts: Sequence[Draft]) -> None:
        """Carry out what durable entries order."""
        for draft in drafts:
            if draft.kind == erasures.KIND:
                entries = cast("list[int]", draft.fields["entries"])
                eraser.destroy(self.newest.log, self.keyring, entries)
            elif draft.kind == pruning.KIND:
                self._prune(cast(int, draft.fields["before"]))

    def _prune(self, before: int) -> None:
        newest = self.newest
        if pruning.remove(self.files, newest.log, self.keyring, before):
            newest.older.close()  # or the disk space stays taken
            first, dbapi = newest.log.newest.first, store.raw(newest.connection)
            log, older = _log(self.files, dbapi, first)
            self.newest = dataclasses.replace(newest, log=log, older=older)

    def room(self) -> int | None:
        """Number of entries that may be committed at once so that the segment ends in its place."""
        first, size = self.newest.log.newest.first, self.writer.size
        now_us = self.moments.now().time_us
        return rolling.room(first, self.newest.began_us, size, now_us, self.limits)

    def roll(self) -> None:
        """Begin a new segment if one is due here."""
        if self.room() != 0 or self.writer.cramped or self.missing_ballast:
            return
        first = self.writer.size
        self.writer.checkpoint("TRUNCATE")
        unfinished = rolling.prepare(self.files, self.newest.log, first)
        if unfinished is None:
            return
        path = rolling.finish(self.files, unfinished, first)
        newest = _opened(self.files, first, path, self.moments)
        self.writer.move(newest.connection)
        self.newest.close()
        self.newest = newest
        with suppress(OSError):  # new work waits for it
            self.make_ballast()

    @property
    def missing_ballast(self) -> int:
        return self.ballast.missing(self.writer.wal_end)

    def make_ballast(self) -> None:
        self.ballast.make(self.writer.wal_end)

    def _recover(self, intents: list[LogEntry]) -> None:
        try:
            log = self.newest.log
            self._prune(max((pruned.before for pruned in pruning.prunes(log)), default=0))
            log = self.newest.log
            self.keyring.sweep(lambda key_id: store.names_key(log, key_id))
            eraser.destroy_again(log, self.keyring)
            drafts = [recovery.unknown_outcome(intent) for intent in intents]
            for start in range(0, len(drafts), _BATCH):
                (result,) = self.commit([drafts[start : start + _BATCH]])
                if isinstance(result, ApplianceError):
                    raise result
            if drafts:
                self.write_head()
        except BaseException:
            self._let_go()
            raise

    def check_place(self) -> None:
        """Check that the next start will find the open database.

        OSError if it was moved, removed or replaced.
        """
        if _place(self.newest.path) != self.newest.place:
            raise OSError(f"{self.newest.path.name} is not the file that is open")

    def write_head(self) -> None:
        if self.writer.note:
            replace(self.files.head, self.writer.note)

    def close(self) -> None:
        try:
            self.ballast.make_room()
            self.keyring.destroy_unused()
            if not self.writer.cramped:
                self.writer.checkpoint("TRUNCATE")
            self.write_head()
        finally:
            self.abandon()

    def abandon(self) -> None:
        self._let_go()
        os.close(self.lock)

    def _let_go(self) -> None:
        self.keyring.abandon()
        self.newest.close()


def create(directory: Path, *, origin: str, profile: str, clock: Clock) -> None:
    """As `AuditLog.create`."""
    check_origin(origin)
    files = LogFiles(directory)
    with unavailable("The audit log cannot be created"):
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        if any(directory.iterdir()):
            raise StateRefused("data_exists", f"{directory} is not empty.")
        key = Ed25519PrivateKey.generate()
        public = VerifierKey(origin, key.public_key().public_bytes_raw())
        write_secret(files.signing, private_pem(key))
        write_secret(files.kek, os.urandom(KEY_BYTES))
        genesis = Draft(
            "genesis",
            {
                "origin": origin,
                "profile": profile,
                "public_key": public.public.hex(),
                "instance": uuid7(clock.wall_us()),
            },
        )
        _write_genesis(files, genesis, public, key, clock)
        # Last: a directory without genesis.pub is not an audit log.
        write_new(files.genesis, public.encode().encode() + b"\n", 0o644)
        sync_directory(directory.absolute().parent)


def _write_genesis(
    files: LogFiles, genesis: Draft, public: VerifierKey, key: Ed25519PrivateKey, clock: Clock
) -> None:
    epoch, moments, ballast = Epoch.first(public), HostMoments(clock), Ballast(files.ballast, 0)
    newest = _opened(files, 0, files.segment(0), moments)
    keyring = Keyring(files.keys, files.key_encryption_key(), clock)
    writer = Writer(
        newest.connection, keyring, Tail(Frontier(), NO_ENTRY, None, {}),
        epoch=epoch, key=key, mode="off", moments=moments, ballast=ballast,
    )  # fmt: skip
    keeper = EpochKeeper(files, epoch, moments.now(), EpochLimits(), moments)
    limits = SegmentLimits()
    session = Session(
        files, files.lock(), newest, keyring, writer, keeper, moments, limits, ballast
    )
    try:
        (result,) = writer.commit([[genesis]])
        if isinstance(result, ApplianceError):
            raise result
    except BaseException:
        session.abandon()
        raise
    session.close()


def _opened(files: LogFiles, first: int, path: Path, moments: Moments) -> _Newest:
    engine = store.open_log(path)
    try:
        connection = engine.connect()
        dbapi = store.raw(connection)
        log, older = _log(files, dbapi, first)
        sql = "SELECT time_us FROM leaf ORDER BY seq LIMIT 1"
        began = dbapi.execute(sql).fetchall() or [[moments.now().time_us]]
        store.guard(dbapi)
        return _Newest(path, _place(path), engine, connection, log, older, began[0][0])
    except BaseException:
        engine.dispose()
        raise


def _log(files: LogFiles, dbapi: Any, first: int) -> tuple[Log, ExitStack]:
    older = ExitStack()
    reading = Segments(files)
    older.callback(reading.close)
    return reading.opened_beside(dbapi, first, older), older


def _place(path: Path) -> tuple[int, int]:
    facts = path.stat()
    return facts.st_dev, facts.st_ino


def _head(files: LogFiles) -> bytes:
    try:
        return files.head.read_bytes()
    except FileNotFoundError as error:
        message = "HEAD, the newest signed head next to the database, is missing."
        raise AuditRefused("audit_corrupt", message) from error
