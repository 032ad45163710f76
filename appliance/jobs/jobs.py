"""Starts, pauses, resumes and cancels jobs.

Rules:
- Light jobs run at once. Heavy ones wait in two queues, with and without an engine; of each one
  runs at a time.
- A person's change of a job is durable in the log before it is done.
- When the server ends, even by kill -9, the next start resumes the resumable jobs and marks the
  others `interrupted`. A command without a server resumes nothing by itself.
"""

import asyncio
import contextlib
import logging
from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from typing import Any, Final

import msgspec
from sqlalchemy.exc import SQLAlchemyError

from appliance.audit.appending import append
from appliance.audit.log import AuditLog, Draft
from appliance.errors import ApplianceError, AuditUnavailable, StateRefused, Unavailable
from appliance.jobs.kind import AnyKind, JsonObject, dumps
from appliance.jobs.live import Live, why_stopped
from appliance.jobs.runner import Memory, Runner, columns, end_entry, writable
from appliance.jobs.states import LIVE, JobState, actions, following
from appliance.jobs.store import JobStore, StoredJob
from appliance.types import Json
from appliance.wire.admin.base import Verbatim

_GRACE_S: Final = 5.0
"""How long resumable work may take to its next safe point when the server ends."""
_log = logging.getLogger("appliance")


@dataclass(frozen=True)
class ShownJob:
    """A job as people see it, with its newest progress and the actions that it allows now."""

    job: StoredJob
    heavy: bool
    actions: tuple[str, ...]


@dataclass
class _Lane:
    """Heavy jobs of which one runs at a time."""

    waiting: deque[Live] = field(default_factory=deque)
    running: Live | None = None


class Jobs:
    """The jobs of one appliance; `most_waiting` heavy ones may wait."""

    def __init__(
        self,
        store: JobStore,
        audit: AuditLog,
        kinds: Iterable[AnyKind],
        memory: Memory | None = None,
        *,
        most_waiting: int = 100,
    ) -> None:
        self._store, self._audit = store, audit
        self._runner = Runner(store, audit, memory)
        self.lend = self._runner.lend
        self._kinds = {kind.name: kind for kind in kinds}
        self._most_waiting = most_waiting
        self._live: dict[int, Live] = {}
        self._lanes = {True: _Lane(), False: _Lane()}  # by whether they need an engine
        self._new: set[Live] = set()
        self._creating: set[asyncio.Task[None]] = set()
        self._closing = False

    # people and other parts

    def add(self, kind: AnyKind) -> None:
        self._kinds[kind.name] = kind

    def kind(self, name: str) -> AnyKind:
        try:
            return self._kinds[name]
        except KeyError:
            message = f"This version has no jobs of the kind {name!r}."
            raise StateRefused("job_kind_unknown", message) from None

    async def start(self, name: str, params: JsonObject, actor: str) -> Live:
        """Start a job, or watch the one that does the same.

        Raises as `JobKind.read` and `JobKind.check`; `job_kind_unknown`, `job_too_large`,
        `too_many_jobs`, `jobs_unwritable`, `shutting_down`.
        """
        live = self.begin(name, params, actor)
        await asyncio.shield(live.kept)
        return live

    def begin(self, name: str, params: JsonObject, actor: str) -> Live:
        """As `start`, but return before the job is kept and has a number; the database's refusal
        comes with the outcome.
        """
        kind, given = self.kind(name), dumps(params)
        asked = kind.read(given)
        kind.check(asked)
        if (same := self._same(kind, asked)) is not None:
            return same
        self._admit(kind)
        live = Live(StoredJob(0, name, kind.title(asked), actor, given), kind, asked, resumed=False)
        self._new.add(live)
        creating = asyncio.create_task(self._create(live))
        self._creating.add(creating)
        creating.add_done_callback(self._creating.discard)
        return live

    async def newest(self, count: int = 100) -> list[ShownJob]:
        return [self._shown(job) for job in await asyncio.to_thread(self._store.newest, count)]

    async def get(self, job_id: int) -> ShownJob:
        return self._shown(await asyncio.to_thread(self._store.get, job_id))

    def live(self, job_id: int) -> Live | None:
        return self._live.get(job_id)

    async def pause(self, job_id: int, actor: str) -> ShownJob:
        """Stop a job at its next safe point, to be resumed.

        Raises `unknown_job_id`, `job_wrong_state`; AuditUnavailable.
        """
        return await self._steer(job_id, "pause", actor)

    async def resume(self, job_id: int, actor: str) -> ShownJob:
        """Continue a job where it stopped. Raises as `pause`; `too_many_jobs`."""
        return await self._steer(job_id, "resume", actor)

    async def cancel(self, job_id: int, actor: str) -> ShownJob:
        """End a job for good at its next safe point. Raises as `pause`."""
        return await self._steer(job_id, "cancel", actor)

    @property
    def store(self) -> JobStore:
        return self._store

    @contextlib.contextmanager
    def watching(self, live: Live) -> Iterator[None]:
        """Watch a job: unwatched and unwanted work stops."""
        live.watchers += 1
        try:
            yield
        finally:
            live.watchers -= 1
            wanted = live.watchers or live.over or live.kind.wanted(live.params)
            if not wanted and not live.asked:
                self._stop(live, "leave")

    # life of the server

    def recover(self) -> list[StoredJob]:
        """Settle the jobs that an earlier process left under way, and return them; blocks, before
        the event loop runs.
        """
        found = []
        for job in self._store.unfinished():
            kind = self._kinds.get(job.kind)
            if job.state is JobState.QUEUED and kind is not None and job.served:
                continue
            resumable = kind is not None and kind.resumable
            event = ("requeue" if job.served else "shelve") if resumable else "lose"
            if job.state is JobState.QUEUED:
                event = "shelve" if resumable else "lose"
            state = following(job.state, event)
            message = "The server ended while the job ran."
            with contextlib.suppress(AuditUnavailable):  # the state is a fact, with or without it
                self._audit.append(end_entry(job, state, "job_interrupted", message)).result()
            kept = (
                {} if state is JobState.QUEUED else {"code": "job_interrupted", "message": message}
            )
            if state is JobState.CANCELLED:
                kept = columns(why_stopped(job.id, "cancel"))
            found.append(self._store.advance(job.id, event, **kept))
        return found

    async def serve(self) -> None:
        """Run as a server: resume what is queued, now and after a restart."""
        self._runner.served = True
        for job in await asyncio.to_thread(self._store.unfinished):
            kind = self._kinds.get(job.kind)
            if job.state is not JobState.QUEUED or kind is None:
                continue
            try:
                asked = await asyncio.to_thread(_asked, job, kind)
            except ApplianceError as error:  # what it was to work on is gone
                with contextlib.suppress(AuditUnavailable):
                    draft = end_entry(job, JobState.FAILED, error.code, error.message)
                    await append(self._audit, draft)
                with contextlib.suppress(SQLAlchemyError):  # it stays queued until one can write
                    await asyncio.to_thread(self._store.advance, job.id, "fail", **columns(error))
                continue
            if job.id not in self._live and not self._closing:
                _log.info("job %d (%s) is resumed", job.id, job.kind)
                self._schedule(job, kind, asked)

    async def close(self) -> None:
        """Stop all jobs, resumable ones at a safe point, and wait for their ends."""
        self._closing = True
        if self._creating:
            await asyncio.wait(self._creating)
        for lane in self._lanes.values():
            for live in list(lane.waiting):
                self._forget(live, live.stopped())
            lane.waiting.clear()
        await self.end(list(self._live.values()))

    async def end(self, jobs: Iterable[Live]) -> None:
        """Stop jobs that lose what they need, and wait for their ends."""
        running = [(live, live.task) for live in jobs if live.task is not None]
        for live, task in running:
            live.asked = live.asked or "end"
            if not live.kind.resumable:
                task.cancel()
        if tasks := {task for _, task in running}:
            _, late = await asyncio.wait(tasks, timeout=_GRACE_S)
            for task in late:
                task.cancel()
            await asyncio.wait(tasks)

    # inside

    def _same(self, kind: AnyKind, params: Any) -> Live | None:
        key = kind.key(params)
        for live in (*self._new, *self._live.values()) if key is not None else ():
            if live.kind is kind and kind.key(live.params) == key and not live.asked:
                return live
        return None

    def _admit(self, kind: AnyKind) -> None:
        if self._closing:
            raise Unavailable("shutting_down", "The server is stopping.")
        waiting = sum(len(lane.waiting) for lane in self._lanes.values())
        if kind.heavy and waiting >= self._most_waiting:
            message = f"{waiting} jobs wait for their turn already."
            raise Unavailable("too_many_jobs", message)

    async def _create(self, live: Live) -> None:
        new = live.job
        try:
            with writable():
                kept = await asyncio.to_thread(live.kind.kept, live.params)
                params = new.params if kept is live.params else dumps(msgspec.to_builtins(kept))
                live.params = kept
                live.engine = await asyncio.to_thread(live.kind.engine, kept)
                live.job = await asyncio.to_thread(
                    self._store.create,
                    new.kind,
                    new.title,
                    new.actor,
                    params,
                    self._runner.served,
                )
        except Exception as error:
            live.refuse(error)
        else:
            self._queue(live)
            live.kept.set_result(None)
        finally:
            self._new.discard(live)

    def _schedule(self, job: StoredJob, kind: AnyKind, asked: tuple[Any, bool]) -> None:
        params, engine = asked
        live = Live(job, kind, params, resumed=job.started_us is not None)
        live.engine = engine
        live.kept.set_result(None)
        self._queue(live)

    def _queue(self, live: Live) -> None:
        self._live[live.job.id] = live
        if live.kind.heavy:
            lane = self._lanes[live.engine]
            lane.waiting.append(live)
            self._pump(lane)
        else:
            live.task = asyncio.create_task(self._run(live))

    def _pump(self, lane: _Lane) -> None:
        if lane.running is None and lane.waiting and not self._closing:
            lane.running = lane.waiting.popleft()
            lane.running.task = asyncio.create_task(self._run(lane.running))

    def _shown(self, job: StoredJob) -> ShownJob:
        live, kind = self._live.get(job.id), self._kinds.get(job.kind)
        if live is not None and job.state in LIVE:
            job = replace(job, progress=live.progress)
        can = actions(job.state, resumable=kind is not None and kind.resumable)
        return ShownJob(job, kind is not None and kind.heavy, can)

    async def _steer(self, job_id: int, action: str, actor: str) -> ShownJob:
        shown = await self.get(job_id)
        if action not in shown.actions:
            allowed = ", ".join(shown.actions) or "nothing"
            message = f"Job {job_id} is {shown.job.state}; it allows {allowed}."
            raise StateRefused("job_wrong_state", message)
        kind = self.kind(shown.job.kind) if action == "resume" else None
        if kind is not None and shown.job.state is not JobState.PAUSING:
            self._admit(kind)
            if (before := self._live.get(job_id)) is not None and before.task is not None:
                await asyncio.wait({before.task})  # its state was kept, and it is about to end
        asked = None if kind is None else await asyncio.to_thread(_asked, shown.job, kind)
        fields: dict[str, Json] = {"action": f"job_{action}", "actor": actor, "job": job_id}
        await append(self._audit, Draft("admin", {**fields, "work": shown.job.kind}))
        with writable():
            fresh = {"code": "", "message": ""}
            if action != "resume" and following(shown.job.state, action) not in LIVE:
                fresh = columns(why_stopped(job_id, action))
            job = await asyncio.to_thread(self._store.advance, job_id, action, **fresh)
        live = self._live.get(job_id)
        if action == "resume":
            if live is not None:
                live.asked = ""
            elif kind is not None and asked is not None:
                self._schedule(job, kind, asked)
        elif live is not None:
            live.asked = action
            if live.task is None:
                self._lanes[live.engine].waiting.remove(live)
                self._forget(live, live.stopped())
        return self._shown(job)

    def _stop(self, live: Live, why: str) -> None:
        live.asked = why
        lane = self._lanes[live.engine]
        if live in lane.waiting and not self._closing:
            lane.waiting.remove(live)
            live.task = asyncio.create_task(self._never_begun(live))

    async def _never_begun(self, live: Live) -> None:
        self._forget(live, await self._runner.settle(live, live.stopped()))

    async def _run(self, live: Live) -> None:
        self._forget(live, await self._runner.run(live))

    def _forget(self, live: Live, ended: Verbatim | BaseException) -> None:
        self._live.pop(live.job.id, None)
        live.end(ended)
        lane = self._lanes[live.engine]
        if lane.running is live:
            lane.running = None
            self._pump(lane)


def _asked(job: StoredJob, kind: AnyKind) -> tuple[Any, bool]:
    params = kind.read(job.params)
    return params, kind.engine(params)
