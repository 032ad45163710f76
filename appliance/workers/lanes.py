"""Which requests a worker prepares now.

Rules: one small and one large request at a time, so that a worker prepares all that it was given: a
death is attributed to nothing that waits. A small request never waits for a large one. In each lane
the apps take turns. Pure asyncio: one event loop.
"""

import asyncio
from collections import OrderedDict, deque

from appliance.engine.protocol import SMALL


class Lane:
    """Requests that are prepared one after the other."""

    def __init__(self) -> None:
        self._busy = False
        self._waiting: OrderedDict[str, deque[asyncio.Future[None]]] = OrderedDict()

    async def turn(self, key: str) -> None:
        if not self._busy:
            self._busy = True
            return
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(key, deque()).append(turn)
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():  # it came and is not wanted any more
                self.leave()
            raise

    def leave(self) -> None:
        while self._waiting:
            key, turns = self._waiting.popitem(last=False)
            turn = turns.popleft()
            if turns:
                self._waiting[key] = turns
            if not turn.done():
                turn.set_result(None)
                return
        self._busy = False


class Lanes:
    """The lanes of one worker."""

    def __init__(self) -> None:
        self._small, self._large = Lane(), Lane()
        self._taken: dict[int, Lane] = {}

    async def enter(self, request: int, key: str, size: int) -> None:
        """Wait until a request of an app's `key` may be prepared; `size` in bytes that cross."""
        lane = self._small if size <= SMALL else self._large
        await lane.turn(key)
        self._taken[request] = lane

    def leave(self, request: int) -> None:
        lane = self._taken.pop(request, None)
        if lane is not None:
            lane.leave()
