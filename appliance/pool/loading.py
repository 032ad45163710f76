"""Loads and evictions under way, as tasks of the event loop.

Rules: a model has one load or one eviction under way. A load continues when the request or the
person that waited for it leaves, while another one waits. Closing ends all loads.
"""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from typing import Any

from appliance.errors import ApplianceError, StateRefused, Unavailable
from appliance.pool.attempt import LoadAttempt
from appliance.pool.loader import Loader
from appliance.pool.model import PooledModel
from appliance.registry.audit_entries import SYSTEM
from appliance.registry.importing import Progress
from appliance.trust.store import ModelRecord

_log = logging.getLogger("appliance")
Ended = Callable[[PooledModel, str, ApplianceError | None], None]


class Loads:
    """Loads and evicts models, one task each.

    Args:
        loader: does the steps.
        ended: called with the model, the reason and the error of a load or eviction that is over.
    """

    def __init__(self, loader: Loader, ended: Ended) -> None:
        self._loader = loader
        self._ended = ended
        self._attempts: dict[asyncio.Task[ModelRecord], LoadAttempt] = {}
        self._evictions: set[asyncio.Task[None]] = set()
        self._stopped = False

    def begin(
        self,
        model: PooledModel,
        actor: str,
        reason: str,
        room: Callable[[], Awaitable[None]] | None = None,
    ) -> None:
        """Start a load.

        Args:
            room: makes room first.
        """
        attempt = LoadAttempt(
            model.id, actor, reason, model.size, model.waiters.__bool__, stopped=self._stopped
        )
        model.attempt = attempt
        task = asyncio.create_task(self._load(model, attempt, room))
        self._attempts[task] = attempt
        task.add_done_callback(self._attempts.pop)
        task.add_done_callback(_seen)

    async def outcome(self, model: PooledModel, progress: Progress | None = None) -> ModelRecord:
        """Wait for the end of a load under way; the load continues when its watcher leaves.

        Raises:
            Refused: what `Loader.load` raises.
        """
        attempt = model.attempt
        task = next(task for task, found in self._attempts.items() if found is attempt)
        if attempt is not None and progress is not None:
            attempt.watchers.append(progress)
        return await asyncio.shield(task)

    def evict(self, model: PooledModel, reason: str) -> "asyncio.Task[None]":
        """Start an eviction."""
        if model.eviction is None:
            model.eviction = task = asyncio.create_task(self._evict(model, reason))
            self._evictions.add(task)
            task.add_done_callback(self._evictions.discard)
            task.add_done_callback(_seen)
        return model.eviction

    async def close(self) -> None:
        """Give up all loads, and wait until nothing is under way."""
        self._stopped = True
        for task, attempt in self._attempts.items():
            attempt.stopped = True
            task.cancel()
        if under_way := [*self._attempts, *self._evictions]:
            await asyncio.wait(under_way)

    async def _load(
        self,
        model: PooledModel,
        attempt: LoadAttempt,
        room: Callable[[], Awaitable[None]] | None,
    ) -> ModelRecord:
        failed: ApplianceError | None = None
        _log.info("%s: load %s, %s MiB", model.id, attempt.reason, attempt.size >> 20)
        try:
            if room is not None:
                await room()
            record = await self._loader.load(
                model, attempt.actor, attempt.report, reason=attempt.reason
            )
            model.took = time.monotonic() - attempt.begun
            _log.info("%s: loaded in %.1f s", model.id, model.took)
            return record
        except ApplianceError as error:
            failed = error
            _log.warning("not loaded: %s: %s", model.id, error.message)
            raise
        finally:
            model.attempt = None
            self._ended(model, attempt.reason, failed)

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
    """Mark the error of a load that nobody awaits as seen."""
    if not task.cancelled():
        task.exception()
