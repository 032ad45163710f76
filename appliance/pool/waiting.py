"""Requests that wait for one model to be loaded.

Rules: a waiting request is inside the model from the instant of its admission. All requests that
wait for a model are admitted or rejected together. A model stays wanted for a while after its last
request has left, so that a client that retries finds it loaded, or its turn kept.
"""

import asyncio
import time
from collections.abc import Callable
from typing import Final

from appliance.admission.places import Place
from appliance.errors import ApplianceError

GRACE_S: Final = 30.0


class Waiters:
    """Requests that wait for one model; `since`: when the first of them came, in seconds of a
    steady clock, None while the model is not wanted.
    """

    def __init__(self) -> None:
        self.since: float | None = None
        self._newest = 0.0  # when one of them came or left last
        self._waiting: list[tuple[Place, asyncio.Future[None]]] = []

    def __bool__(self) -> bool:
        return self.since is not None

    def __len__(self) -> int:
        return len(self._waiting)

    async def wait(self, place: Place, seconds: float) -> None:
        """Raises TimeoutError, or the error given to `reject`."""
        self._newest = time.monotonic()
        if self.since is None:
            self.since = self._newest
        waiter = (place, asyncio.get_running_loop().create_future())
        self._waiting.append(waiter)
        try:
            async with asyncio.timeout(seconds):
                await waiter[1]
        finally:
            self._newest = time.monotonic()
            if waiter in self._waiting:
                self._waiting.remove(waiter)

    def admit(self, enter: Callable[[Place], None]) -> None:
        for place, done in self._all():
            enter(place)
            done.set_result(None)

    def reject(self, error: ApplianceError) -> None:
        for _, done in self._all():
            done.set_exception(error)

    def _all(self) -> list[tuple[Place, "asyncio.Future[None]"]]:
        """Those that still wait; afterwards the model is not wanted."""
        waiting, self._waiting, self.since = self._waiting, [], None
        return [(place, done) for place, done in waiting if not done.done()]

    def forget(self, now: float) -> float | None:
        """Want the model no more once its time is over; when that will be."""
        if self.since is None or self._waiting:
            return None
        end = self._newest + GRACE_S
        if end <= now:
            self.since = None
            return None
        return end
