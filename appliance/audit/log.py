"""The audit log as the product writes it: no record, no answer.

Rules:
- One process writes (flock), in one thread, through one connection. All waiting entries share one
  disk sync. A commit waits a fraction of the last commit's time for clients that were just
  answered, or they would share it by halves; while a crowd is served, for `CROWD_SECONDS`.
- A receipt exists only for durable, signed entries.
- After an error of a commit the state on disk is unknown: the log latches until it is opened again.
- Below the disk reserve new work is refused; outcomes, worker events, starts and stops may use it,
  and the ballast (ballast.py) once the disk is full.
- The queue of new work is bounded. Entries that end work are always taken.
"""

import os
import threading
import time
from collections import deque
from collections.abc import Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final, Self, TypeAlias

from appliance.audit import session
from appliance.audit.ballast import WAL_BYTES
from appliance.audit.entry import Draft
from appliance.audit.epoch import EpochLimits
from appliance.audit.files import MODES, LogFiles
from appliance.audit.host import Moments
from appliance.audit.rolling import SegmentLimits
from appliance.audit.session import Session
from appliance.audit.store import FAILURES, code, reason
from appliance.clock import Clock
from appliance.errors import ApplianceError, AuditRefused, AuditUnavailable, UsageError
from appliance.types import Json, Receipt

__all__ = ["AuditLog", "Draft", "Receipt"]

MAX_BATCH: Final = 512
MAX_WAITING: Final = 8_192
MAX_WAITING_BYTES: Final = 256 << 20
HEAD_SECONDS: Final = 1.0
LOOK_SECONDS: Final = 0.1
"""For so long after there was room, work begins without a look; each commit looks."""
GATHER: Final = 0.5
"""Wait for clients that were just answered, as a part of the last commit's time."""
GATHER_SECONDS: Final = 0.1
"""A commit that took longer counts as this long."""
CROWD: Final = 2
"""Requests under way, besides those whose entries wait, of which more entries come soon."""
CROWD_SECONDS: Final = 0.005
"""From one commit to the next while there are so many: each costs as much as eight entries."""
ALARM_WAL_BYTES: Final = 4 * WAL_BYTES
_ENDS_WORK: Final = frozenset({"outcome", "worker", "job_end", "start", "stop"})
"""Entries that may use the reserve: the ends of what began, and the start of the server, which then
says why it refuses everything else."""

Receipts: TypeAlias = tuple[Receipt, ...]


@dataclass(frozen=True)
class _Waiting:
    drafts: tuple[Draft, ...]
    future: "Future[Receipts]"
    cost: int
    new_key: bool = False

    @property
    def ends_work(self) -> bool:
        return all(draft.kind in _ENDS_WORK for draft in self.drafts)


class AuditLog:
    """An open log. `create` once, then `open`; `append` from any thread.

    Attributes:
        people: of actors whom a directory knows, the fields that their entries have, too.
    """

    def __init__(self, writing: Session, reserve_bytes: int) -> None:
        self._session, self._reserve = writing, reserve_bytes
        self.people: dict[str, Mapping[str, Json]] = {}
        self._process = os.getpid()
        self._waiting: deque[_Waiting] = deque()
        self._cost = 0
        self._changed = threading.Condition()
        self._wanted = 1  # entries for which the writer wakes up
        self._roomy = -LOOK_SECONDS  # when there was room last
        self._failure: str | None = None
        self._code = "audit_unavailable"
        self._closing = False
        self._held: dict[str, str] = {}
        self._head_due: float | None = None
        # The last commit: how many were answered, when, and how many seconds it had taken.
        self._answered, self._answered_at, self._took = 0, 0.0, 0.0
        self._thread = threading.Thread(target=self._run, name="audit-writer", daemon=True)

    @staticmethod
    def create(directory: Path, *, origin: str, profile: str, clock: Clock) -> None:
        """Make a log with its keys, its first entry and the first signed head (`data_exists`).

        Args:
            origin: name of the log, like a URL without scheme; unique to this appliance.
            profile: `lab` or `site`; stays in entry 0.
        """
        session.create(directory, origin=origin, profile=profile, clock=clock)

    @classmethod
    def open(
        cls,
        directory: Path,
        *,
        clock: Clock,
        content: str,
        reserve_bytes: int,
        epochs: EpochLimits | None = None,
        segments: SegmentLimits | None = None,
        moments: Moments | None = None,
        ballast_bytes: int = 0,
    ) -> Self:
        """Become the writer of a log; first closes open intents as `unknown`.

        Raises:
            AuditRefused: `audit_corrupt` when the log may not be continued, `audit_key_invalid`.
        """
        if content not in MODES:
            raise UsageError("config_invalid", f"Audit content mode {content!r} is unknown.")
        limits = epochs or EpochLimits()
        writing = Session.begin(
            LogFiles(directory),
            mode=content,
            clock=clock,
            limits=limits,
            segments=segments,
            moments=moments,
            ballast_bytes=ballast_bytes,
        )
        log = cls(writing, reserve_bytes)
        if log._shortage() is None:
            log._make_ballast()
        log._thread.start()
        return log

    def append(self, *drafts: Draft) -> "Future[Receipts]":
        """Record drafts in consecutive entries, all or none.

        Returns:
            A future of one receipt per draft, resolved when they are durable; it cannot be
            cancelled. It fails with AuditUnavailable (`audit_unavailable`) when the log cannot be
            written, and with AuditRefused (`audit_entry_invalid`) when a draft cannot be an entry.
        """
        drafts = tuple(map(self._named, drafts))
        future: Future[Receipts] = Future()
        future.set_running_or_notify_cancel()
        cost = sum(len(text) for draft in drafts for text in draft.contents.values())
        try:
            for draft in drafts:
                draft.check()
            with self._changed:
                self._admit(_Waiting(drafts, future, cost))
        except ApplianceError as refusal:
            future.set_exception(refusal)
        return future

    def _named(self, draft: Draft) -> Draft:
        known = self.people.get(str(draft.fields.get("actor")), {})
        return replace(draft, fields={**known, **draft.fields}) if known else draft

    def new_epoch(self) -> "Future[Receipts]":
        """End the signing key's epoch; resolved when the next key signs and the old one is
        destroyed.
        """
        future: Future[Receipts] = Future()
        future.set_running_or_notify_cancel()
        try:
            with self._changed:
                self._admit(_Waiting((), future, 0, new_key=True))
        except ApplianceError as refusal:
            future.set_exception(refusal)
        return future

    @property
    def latched(self) -> str | None:
        """The reason why new work is refused, or None. A shortage of disk space ends by itself."""
        return self.unwritable or next(iter(self._held.values()), None)

    @property
    def unwritable(self) -> str | None:
        return self._refusal() or self._shortage()

    def held(self, code: str) -> str:
        return self._held.get(code, "")

    def hold_for(self, code: str, why: str) -> None:
        """Refuse new work ; "" for `why` ends it."""
        self._held = {k: v for k, v in {**self._held, code: why}.items() if v}

    def check(self) -> None:
        """Refuse new work before it begins.

        Raises:
            AuditUnavailable: `audit_unavailable` when it cannot be recorded; codes of `hold_for`.
        """
        roomy = time.monotonic() - self._roomy < LOOK_SECONDS
        if why := self._refusal() if roomy else self.unwritable:
            raise AuditUnavailable("audit_unavailable", why)
        for held in self._held.items():
            raise AuditUnavailable(*held)

    @property
    def alarm(self) -> str | None:
        """A problem that needs an operator while the log continues, or None."""
        waiting = self._session.writer.wal_bytes
        if waiting < ALARM_WAL_BYTES:
            return None
        return (
            f"{waiting >> 20} MiB of the audit log wait to be moved into its database: a program"
            " that reads log.db keeps them from it, and the disk fills."
        )

    @property
    def size(self) -> int:
        return self._session.writer.size

    def close(self) -> None:
        """Commit waiting entries, write HEAD, release the lock. Safe to repeat."""
        if os.getpid() != self._process:
            return
        with self._changed:
            if self._closing:
                return
            self._closing = True
            self._changed.notify()
        self._thread.join()
        if self._failure is not None:
            self._session.abandon()
            return
        try:
            self._session.close()
        except FAILURES as error:
            # What was acknowledged is durable; opening again settles the rest.
            self._failure = f"Closing the audit log failed ({reason(error)})."

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _refusal(self) -> str | None:
        if os.getpid() != self._process:  # a fork has the handle and no writer
            return "The audit log belongs to the process that opened it."
        return self._failure or ("The audit log is closed." if self._closing else None)

    def _admit(self, waiting: _Waiting) -> None:
        refusal = self._refusal()
        full = len(self._waiting) >= MAX_WAITING or self._cost + waiting.cost > MAX_WAITING_BYTES
        if refusal is None and full and not waiting.ends_work:
            refusal = "Too many audit entries wait for the disk."
        if refusal is not None:
            raise _cannot(refusal, self._code)
        self._waiting.append(waiting)
        self._cost += waiting.cost
        if len(self._waiting) >= self._wanted:
            self._changed.notify()

    def _run(self) -> None:
        while (batch := self._take()) is not None:
            try:
                self._commit(batch)
                self._session.roll()
                self._write_head()
            except Exception as error:
                # Whatever it was: what is on disk is unknown now.
                self._latch(error, batch)
                return

    def _take(self) -> list[_Waiting] | None:
        """Take at most one batch of waiting entries: empty when HEAD or a key is due; None at the
        end.
        """
        with self._changed:
            while not self._waiting:
                if self._closing:
                    return None
                if not self._changed.wait(self._seconds_to_work()):
                    return []
            most = min(self._session.room() or MAX_BATCH, MAX_BATCH)
            self._gather(most)
            batch: list[_Waiting] = []
            entries = 0
            while self._waiting and (not batch or entries + len(self._waiting[0].drafts) <= most):
                batch.append(self._waiting.popleft())
                entries += len(batch[-1].drafts)
                self._cost -= batch[-1].cost
            return batch

    def _gather(self, most: int) -> None:
        """Wait for the clients that were just answered, and for a crowd.

        Args:
            most: how many entries fit into the commit.
        """
        crowd = self._session.writer.under_way
        if crowd - len(self._waiting) >= CROWD:
            self._await(min(crowd, most), CROWD_SECONDS)
        if self._answered > 1:
            self._await(min(len(self._waiting) + self._answered, most), GATHER * self._took)

    def _await(self, wanted: int, seconds: float) -> None:
        """Wait for so many entries, until so long after the last commit."""
        self._wanted = wanted
        left = self._answered_at + seconds - time.monotonic()
        self._changed.wait_for(
            lambda: self._closing or len(self._waiting) >= self._wanted, max(0.0, left)
        )
        self._wanted = 1

    def _commit(self, batch: list[_Waiting]) -> None:
        if not batch and self._session.keeper.due(self.size) is None:
            return
        self._session.check_place()
        shortage = self._shortage()
        if shortage is None and self._session.missing_ballast:
            shortage = self._make_ballast()
        taken = [w for w in batch if shortage is None or w.ends_work]
        reason = "start" if any(w.new_key for w in taken) else None
        begun = time.monotonic()
        results = self._session.commit([w.drafts for w in taken], reason)
        self._took = min(time.monotonic() - begun, GATHER_SECONDS)
        for waiting, result in zip(taken, results, strict=True):
            if isinstance(result, AuditRefused):
                waiting.future.set_exception(result)
            else:
                waiting.future.set_result(result)
        for waiting in batch:
            if not waiting.future.done():
                waiting.future.set_exception(_cannot(shortage or ""))
        self._answered, self._answered_at = len(taken), time.monotonic()
        if self._head_due is None:
            self._head_due = time.monotonic() + HEAD_SECONDS
        self._session.writer.tidy(spare=shortage is not None)

    def _latch(self, error: Exception, batch: Sequence[_Waiting]) -> None:
        refusal = (
            f"Writing the audit log failed after entry {self.size - 1} ({reason(error)}); "
            "nothing is recorded until it is opened again."
        )
        with self._changed:
            self._failure, self._code = refusal, code(error)
            stranded = [*batch, *self._waiting]
            self._waiting.clear()
        for waiting in stranded:
            if not waiting.future.done():
                waiting.future.set_exception(_cannot(refusal, self._code))

    def _shortage(self) -> str | None:
        self._roomy = -LOOK_SECONDS
        try:
            facts = os.statvfs(self._session.files.directory)
        except OSError as error:
            return f"The audit directory cannot be reached ({error.strerror})."
        # What waits in the WAL is written a second time, into the database file.
        free = facts.f_bavail * facts.f_frsize - self._session.writer.wal_bytes
        needed = self._reserve + self._session.missing_ballast
        if free >= needed:
            self._roomy = time.monotonic()
            return None
        free, needed = max(0, free) >> 20, needed >> 20
        return f"Only {free} MiB are free under the audit log; new work needs {needed} MiB."

    def _make_ballast(self) -> str | None:
        """Make the ballast whole; why new work is refused if it cannot be."""
        try:
            self._session.make_ballast()
        except OSError as error:
            return f"The ballast of the audit log cannot be made ({error.strerror})."
        return None

    def _seconds_to_head(self) -> float | None:
        return None if self._head_due is None else max(0.0, self._head_due - time.monotonic())

    def _seconds_to_work(self) -> float:
        key = self._session.keeper.seconds_left(self.size)
        head = self._seconds_to_head()
        return key if head is None else min(key, head)

    def _write_head(self) -> None:
        if self._seconds_to_head() != 0.0:
            return
        try:
            self._session.write_head()
            self._head_due = None
        except OSError:
            # The database has the head; an older copy beside it is still an ancestor.
            self._head_due = time.monotonic() + HEAD_SECONDS


def _cannot(why: str, code: str = "audit_unavailable") -> AuditUnavailable:
    return AuditUnavailable(code, why)
