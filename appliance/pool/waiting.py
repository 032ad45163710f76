"""Requests that wait for a model to be loaded.

Rules: who waits has a place in the model's queue, and is inside the model from the instant at which
it is let in; everyone who waits for a model is let in or sent away together. A model stays wanted
for a while after the last request for it has gone, so that a client which was told to come again
finds it, or its turn, there.
"""

import asyncio
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Final

from appliance.admission.places import Place
from appliance.errors import ApplianceError

GRACE_S: Final = 30.0


@dataclass
class Wanted:
    """A model that requests wait for.

    Attributes:
        since: when the first of them came, in seconds of the steady clock.
        newest: when one of them came or went last.
    """

    since: float
    newest: float
    waiters: list[tuple[Place, "asyncio.Future[None]"]] = field(default_factory=list)


class Waits:
    """Who waits for which model, in the order of coming."""

    def __init__(self) -> None:
        self._wanted: dict[str, Wanted] = {}

    def __contains__(self, model_id: str) -> bool:
        return model_id in self._wanted

    def __iter__(self) -> Iterator[tuple[str, float]]:
        """Models and since when they are wanted; the longest first."""
        ordered = sorted(self._wanted.items(), key=lambda item: item[1].since)
        return iter([(model_id, wanted.since) for model_id, wanted in ordered])

    def count(self, model_id: str) -> int:
        """How many requests wait for a model."""
        wanted = self._wanted.get(model_id)
        return len(wanted.waiters) if wanted else 0

    async def wait(self, model_id: str, place: Place, seconds: float) -> None:
        """Wait until let in.

        Raises:
            TimeoutError: that was not in time.
            ApplianceError: it was sent away with this.
        """
        now = time.monotonic()
        wanted = self._wanted.setdefault(model_id, Wanted(now, now))
        wanted.newest = now
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        waiter = (place, done)
        wanted.waiters.append(waiter)
        try:
            async with asyncio.timeout(seconds):
                await done
        finally:
            wanted.newest = time.monotonic()
            if waiter in wanted.waiters:
                wanted.waiters.remove(waiter)

    def admit(self, model_id: str, enter: Callable[[str, Place], None]) -> None:
        """Let in all who wait for a model."""
        for place, done in self._wanted.pop(model_id).waiters:
            if not done.done():
                enter(model_id, place)
                done.set_result(None)

    def send_away(self, model_id: str, error: ApplianceError) -> None:
        """Tell all who wait for a model that it is in vain."""
        wanted = self._wanted.pop(model_id, None)
        for _, done in wanted.waiters if wanted else ():
            if not done.done():
                done.set_exception(error)

    def forget(self) -> float | None:
        """Drop what nobody has wanted for a while; when to do it next."""
        now = time.monotonic()
        ends = {m: w.newest + GRACE_S for m, w in self._wanted.items() if not w.waiters}
        for model_id in [m for m, end in ends.items() if end <= now]:
            del self._wanted[model_id], ends[model_id]
        return min(ends.values(), default=None)
