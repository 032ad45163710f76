"""Loads and evictions under way; a load is a job.

Rules: a model has one load or one eviction under way. A load continues when the request or the
person that waited for it leaves, while another one waits. Closing ends all loads.
"""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from typing import Any, ClassVar

from appliance.errors import ApplianceError, StateRefused, Unavailable
from appliance.jobs.jobs import Jobs
from appliance.jobs.kind import Context, JobKind
from appliance.jobs.live import explained
from appliance.pool.attempt import LoadAttempt
from appliance.pool.loader import Loader
from appliance.pool.model import PooledModel
from appliance.registry.audit_entries import SYSTEM
from appliance.trust.artifacts.store import ModelRecord
from appliance.types import Report, Role
from appliance.wire.admin.jobs import LoadRequest
from appliance.wire.admin.results import ModelLoaded

_log = logging.getLogger("appliance")
Ended = Callable[[PooledModel, str, ApplianceError | None], None]
Room = Callable[[], Awaitable[None]]


class LoadingJob(JobKind[LoadRequest, ModelLoaded]):
    """Loads a model."""

    name: ClassVar[str] = "load"
    form = LoadRequest
    role: ClassVar[Role] = Role.OPERATOR

    def __init__(self, run: Callable[[Context[LoadRequest]], Awaitable[ModelLoaded]]) -> None:
        self._run = run

    def title(self, params: LoadRequest) -> str:
        return f"{params.model}, {params.reason}"

    async def run(self, job: Context[LoadRequest]) -> ModelLoaded:
        return await self._run(job)


class Loads:
    """Loads and evicts models.

    Args:
        ended: gets the model, the reason and the error at the end of a load or eviction.
        room: makes room for a load that a person asked the jobs for.
    """

    def __init__(
        self,
        loader: Loader,
        ended: Ended,
        jobs: Jobs,
        find: Callable[[str], PooledModel],
        room: Callable[[str, PooledModel], Awaitable[None]],
    ) -> None:
        self._loader = loader
        self._ended = ended
        self._jobs = jobs
        self._find = find
        self._room = room
        self._attempts: set[LoadAttempt] = set()
        self._evictions: set[asyncio.Task[None]] = set()
        self._stopped = False
        jobs.add(LoadingJob(self._load))

    def begin(
        self, model: PooledModel, actor: str, reason: str, room: Room | None = None
    ) -> LoadAttempt:
        """Start a load, once `room` has made room (`shutting_down`)."""
        attempt = self._attempt(model, actor, reason, room)
        attempt.live = live = self._jobs.begin(
            LoadingJob.name, {"model": model.id, "reason": reason}, actor
        )
        model.attempt = attempt
        self._attempts.add(attempt)
        live.when_over(lambda error: self._over(model, attempt, error))
        return attempt

    async def outcome(self, attempt: LoadAttempt, progress: Report | None = None) -> ModelRecord:
        """The record of a loaded model; the load continues when its watcher leaves.

        Raises as `Loader.load`; Unavailable when the load was cancelled or the server is stopping.
        """
        if progress is not None:
            attempt.watchers.append(progress)
        if attempt.live is not None:
            await attempt.live.outcome()
        if attempt.record is None:
            raise StateRefused("wrong_state", f"{attempt.model} is not loaded.")
        return attempt.record

    def evict(self, model: PooledModel, reason: str) -> "asyncio.Task[None]":
        if model.eviction is None:
            model.eviction = task = asyncio.create_task(self._evict(model, reason))
            self._evictions.add(task)
            task.add_done_callback(self._evictions.discard)
            task.add_done_callback(_seen)
        return model.eviction

    async def close(self) -> None:
        """Cancel all loads, and wait until nothing is under way."""
        self._stopped = True
        for attempt in self._attempts:
            attempt.stopped = True
        await self._jobs.end([a.live for a in self._attempts if a.live is not None])
        if self._evictions:
            await asyncio.wait(self._evictions)

    def _attempt(
        self, model: PooledModel, actor: str, reason: str, room: Room | None
    ) -> LoadAttempt:
        return LoadAttempt(
            model.id,
            actor,
            reason,
            model.size,
            model.waiters.__bool__,
            stopped=self._stopped,
            room=room,
        )

    async def _load(self, job: Context[LoadRequest]) -> ModelLoaded:
        model, live = self._find(job.params.model), self._jobs.live(job.id)
        if model.attempt is None:  # a person asked the jobs for it
            room = lambda: self._room(job.actor, model)  # noqa: E731
            model.attempt = self._attempt(model, job.actor, job.params.reason, room)
            model.attempt.live = live
        attempt = model.attempt
        if attempt.live is not live:
            raise StateRefused("wrong_state", f"{model.id} is being loaded already.")

        def report(phase: str, done: int, total: int) -> None:
            job.report(phase, done, total)
            try:
                attempt.report(phase, done, total)
            except Unavailable:
                if live is not None:
                    live.asked = live.asked or ("end" if attempt.stopped else "leave")
                    live.check()
                raise

        failed: BaseException | None = None
        _log.info("%s: load %s, %s MiB", model.id, attempt.reason, attempt.size >> 20)
        try:
            if attempt.room is not None:
                await attempt.room()
            attempt.record = await self._loader.load(
                model, attempt.actor, report, reason=attempt.reason
            )
            model.took = time.monotonic() - attempt.begun
            _log.info("%s: loaded in %.1f s", model.id, model.took)
            return ModelLoaded(model=model.id, seconds=round(model.took, 2))
        except BaseException as error:
            failed = error
            raise
        finally:
            self._over(model, attempt, failed)

    def _over(self, model: PooledModel, attempt: LoadAttempt, error: BaseException | None) -> None:
        """End a load, whether its work ever began or not; once."""
        self._attempts.discard(attempt)
        if model.attempt is not attempt:
            return
        model.attempt = None
        cancelled = isinstance(error, asyncio.CancelledError)
        known = None if error is None or cancelled else explained(error)
        if known is not None:
            _log.warning("not loaded: %s: %s", model.id, known.message)
        self._ended(model, attempt.reason, known)

    async def _evict(self, model: PooledModel, reason: str) -> None:
        try:
            await self._loader.unload(model, SYSTEM, model.id, event="evict", reason=reason)
            model.why_unloaded = reason
            _log.info("%s: unloaded %s", model.id, reason)
        except StateRefused:
            pass  # somebody else has ended it
        except Unavailable:
            await asyncio.sleep(1)  # without a record nothing is done; again later
        finally:
            model.eviction = None
            self._ended(model, reason, None)


def _seen(task: "asyncio.Task[Any]") -> None:
    if not task.cancelled():
        task.exception()
