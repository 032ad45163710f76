"""The answers under way: listed, ended and waited for here.

Rules: no answer begins once draining has begun. When its key is revoked or expires, an answer ends
with an error.
"""

import asyncio
import contextlib
from collections.abc import Callable
from typing import Final

from appliance.errors import ApplianceError, Unauthenticated, Unavailable
from appliance.serving.generation import Generation

LOOK_AT_KEYS_S: Final = 0.25
_RECORDS_S: Final = 10.0


class UnderWay:
    """Those of one use-case, or of several that end together; `live`: a key may still be used."""

    def __init__(self, live: Callable[[str], bool]) -> None:
        self._live = live
        self.draining = False
        self._running: set[Generation] = set()

    def running(self) -> list[Generation]:
        """The answers, those that wait for their turn among them."""
        return list(self._running)

    def add(self, generation: Generation) -> None:
        self._running.add(generation)
        generation.when_ended(self._running.discard)

    def check(self) -> None:
        """Refuse new work while the server stops."""
        if self.draining:
            raise _stopping()

    def check_key(self, key_id: str) -> None:
        """Refuse a key that ended."""
        if not self._live(key_id):
            raise Unauthenticated("invalid_api_key", "The API key was revoked or expired.")

    async def cancel(self, request_id: str, why: ApplianceError) -> bool:
        """End an answer with the client's error; False when none has this id."""
        found = [g for g in self._running if g.caller.request_id == request_id]
        for generation in found:
            await generation.cancel(why)
        return bool(found)

    async def watch_keys(self) -> None:
        """End the answers of keys that are revoked or expire, within half a second; for ever."""
        while True:
            for generation in self.running():
                try:
                    self.check_key(generation.caller.principal.key_id)
                except Unauthenticated as error:
                    await generation.cancel(error)
            await asyncio.sleep(LOOK_AT_KEYS_S)

    async def drain(self, seconds: float) -> None:
        """Take nothing new, wait for running answers, cancel what is left, wait for the records."""
        self.draining = True
        await self._all_ended(seconds)
        # Side by side: a worker that reads nothing must not hold up the others.
        ending = [asyncio.create_task(g.cancel(_stopping())) for g in self.running()]
        await self._all_ended(_RECORDS_S)
        for task in ending:
            task.cancel()

    async def _all_ended(self, seconds: float) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                while running := self.running():
                    await asyncio.gather(*(generation.finished() for generation in running))
                    await asyncio.sleep(0)


def _stopping() -> Unavailable:
    return Unavailable("shutting_down", "The server is stopping.")
