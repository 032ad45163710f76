"""Answers that no client waits for, by the place where each is kept.

Rules: a key has a bounded number. None outlives the server.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from typing import Final

from appliance.errors import Overloaded
from appliance.serving.generation import ServedAnswer
from appliance.types import Delta

MOST_OF_A_KEY: Final = 64


@dataclass
class BackgroundAnswer:
    """One answer; `begun` once a first piece came."""

    key_id: str
    generation: ServedAnswer
    begun: bool = False
    ended: asyncio.Event = field(default_factory=asyncio.Event)

    async def pieces(self) -> AsyncIterator[Delta]:
        async for piece in self.generation:
            self.begun = True
            yield piece


class BackgroundAnswers:
    """Those of all keys."""

    def __init__(self) -> None:
        self._running: dict[str, BackgroundAnswer] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    def check_room(self, key_id: str) -> None:
        """Refuse a key that has too many."""
        count = sum(one.key_id == key_id for one in self._running.values())
        if count >= MOST_OF_A_KEY:
            raise Overloaded("queue_full", f"{count} background responses of this key run.")

    def start(
        self,
        place: str,
        key_id: str,
        generation: ServedAnswer,
        work: Callable[[AsyncIterator[Delta]], Awaitable[None]],
    ) -> None:
        """Look after an answer that has begun.

        Args:
            work: takes the pieces and keeps what they make; raises nothing.
        """
        answer = self._running[place] = BackgroundAnswer(key_id, generation)

        async def follow() -> None:
            try:
                await work(answer.pieces())
            finally:
                del self._running[place]
                answer.ended.set()
                await generation.cancel()

        task = asyncio.create_task(follow())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def at(self, place: str) -> BackgroundAnswer | None:
        return self._running.get(place)

    async def cancel(self, place: str) -> None:
        """End a place's answer, and wait until its end is kept."""
        answer = self._running.get(place)
        if answer is not None:
            await answer.generation.cancel()
            await answer.ended.wait()

    async def ended(self) -> None:
        await asyncio.gather(*self._tasks, return_exceptions=True)
