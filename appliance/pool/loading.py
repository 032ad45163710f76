"""Loads and evictions under way, and what the last ones came to.

Rules: a model has one load or one end under way; both are tasks of the loop, and both are
recorded by the `Lifecycle`. Of a load's progress the newest report is kept; whoever watches gets
each, and each phase is a line of the server's log. A load that a person started ends when the
person looks no more and no request waits for it.
"""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from appliance.errors import ApplianceError, StateRefused, Unavailable
from appliance.registry.importing import Progress
from appliance.registry.lifecycle import Lifecycle
from appliance.trust.store import ModelRecord

_log = logging.getLogger("appliance")
Ended = Callable[[str, str, ApplianceError | None], None]


@dataclass
class Loading:
    """A load under way.

    Attributes:
        actor: who asked for it.
        reason: why, for the log.
        size: bytes that it will count for.
        phase, done, total: the newest report; bytes.
    """

    actor: str
    reason: str
    size: int
    begun: float
    phase: str = "waiting"
    done: int = 0
    total: int = 0
    watchers: list[Progress] = field(default_factory=list)


class Loads:
    """Loads and ends models, one task each.

    Args:
        lifecycle: does it.
        ended: told model, reason and error of a load that is over.
        wanted: whether requests wait for a model.

    Attributes:
        loading: the loads under way, by model.
        ending: the evictions under way, by model.
        took: seconds that the last load of a model took.
        unloaded: why a model that is not there was unloaded.
    """

    def __init__(self, lifecycle: Lifecycle, ended: Ended, wanted: Callable[[str], bool]) -> None:
        self._lifecycle = lifecycle
        self._ended = ended
        self._wanted = wanted
        self._tasks: dict[str, asyncio.Task[ModelRecord]] = {}
        self._stopped = False
        self.loading: dict[str, Loading] = {}
        self.ending: dict[str, asyncio.Task[None]] = {}
        self.took: dict[str, float] = {}
        self.unloaded: dict[str, str] = {}

    def changing(self, model_id: str) -> bool:
        """Whether a model is being loaded or ended."""
        return model_id in self.loading or model_id in self.ending

    def begin(
        self,
        model_id: str,
        actor: str,
        reason: str,
        size: int,
        room: Callable[[], Awaitable[None]] | None = None,
    ) -> None:
        """Start a load.

        Args:
            room: makes room first.
        """
        self.loading[model_id] = Loading(actor, reason, size, time.monotonic())
        task = asyncio.create_task(self._load(model_id, self.loading[model_id], room))
        self._tasks[model_id] = task
        task.add_done_callback(_seen)

    async def outcome(self, model_id: str, progress: Progress | None = None) -> ModelRecord:
        """Wait for the end of a load under way; it goes on when the waiting is given up.

        Raises:
            Refused: what `Lifecycle.load` raises.
        """
        if progress is not None:
            self.loading[model_id].watchers.append(progress)
        return await asyncio.shield(self._tasks[model_id])

    def end(self, model_id: str, reason: str) -> "asyncio.Task[None]":
        """Start an eviction."""
        if model_id not in self.ending:
            task = asyncio.create_task(self._end(model_id, reason))
            self.ending[model_id] = task
            task.add_done_callback(_seen)
        return self.ending[model_id]

    async def close(self) -> None:
        """Give up all loads, and wait until nothing is under way."""
        self._stopped = True
        for task in self._tasks.values():
            task.cancel()
        if under_way := [*self._tasks.values(), *self.ending.values()]:
            await asyncio.wait(under_way)

    async def _load(
        self, model_id: str, loading: Loading, room: Callable[[], Awaitable[None]] | None
    ) -> ModelRecord:
        failed: ApplianceError | None = None
        _log.info("%s: load %s, %s MiB", model_id, loading.reason, loading.size >> 20)
        try:
            if room is not None:
                await room()
            report = self._reporter(model_id, loading)
            record = await self._lifecycle.load(
                loading.actor, model_id, report, reason=loading.reason
            )
            self.unloaded.pop(model_id, None)
            self.took[model_id] = time.monotonic() - loading.begun
            _log.info("%s: loaded in %.1f s", model_id, self.took[model_id])
            return record
        except ApplianceError as error:
            failed = error
            _log.warning("not loaded: %s: %s", model_id, error.message)
            raise
        finally:
            del self.loading[model_id], self._tasks[model_id]
            self._ended(model_id, loading.reason, failed)

    def _reporter(self, model_id: str, loading: Loading) -> Progress:
        def report(phase: str, done: int, total: int) -> None:
            if self._stopped:
                raise Unavailable("shutting_down", "The server is stopping.")
            if phase != loading.phase:
                _log.info("%s: %s", model_id, phase)
            loading.phase, loading.done, loading.total = phase, done, total
            for watcher in list(loading.watchers):
                try:
                    watcher(phase, done, total)
                except Unavailable:
                    loading.watchers.remove(watcher)
                    if not loading.watchers and not self._wanted(model_id):
                        raise

        return report

    async def _end(self, model_id: str, reason: str) -> None:
        try:
            await self._lifecycle.unload("appliance", model_id, event="evict", reason=reason)
            self.unloaded[model_id] = reason
            _log.info("%s: unloaded %s", model_id, reason)
        except StateRefused:
            pass  # somebody else has ended it
        except Unavailable:
            await asyncio.sleep(1)  # without a record nothing is done; again later
        finally:
            del self.ending[model_id]
            self._ended(model_id, reason, None)


def _seen(task: "asyncio.Task[ModelRecord] | asyncio.Task[None]") -> None:
    """Mark the error of a load that nobody awaits as seen."""
    if not task.cancelled():
        task.exception()
