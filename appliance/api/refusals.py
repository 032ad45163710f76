"""Refusals in a row: an app that is refused again and again waits, so that others are served.

Rules: an app has `_BURST` refusals at once and then one each `_EACH_S`, during requests of other
apps; alone it waits for none. A wait has an end.
"""

import asyncio
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Final

from starlette.types import ASGIApp, Message, Receive, Scope, Send

_BURST: Final = 25
_EACH_S: Final = 0.2
_LONGEST_S: Final = 2.0


@dataclass(frozen=True)
class PacedRefusals:
    """Holds back answers of the 400s of apps that get many, while others have requests."""

    app: ASGIApp
    now: Callable[[], float] = time.monotonic
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep
    _under_way: Counter[str] = field(default_factory=Counter)
    _due: dict[str, float] = field(default_factory=dict)  # when the next refusal would be

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        principal = scope.get("state", {}).get("principal")
        if principal is None:
            await self.app(scope, receive, send)
            return
        key: str = principal.key_id

        async def paced(message: Message) -> None:
            if message["type"] == "http.response.start" and 400 <= _meant(scope, message) < 500:
                await self.sleep(self._wait(key))
            await send(message)

        self._under_way[key] += 1
        try:
            await self.app(scope, receive, paced)
        finally:
            self._under_way[key] -= 1
            if not self._under_way[key]:
                del self._under_way[key]

    def _wait(self, key: str) -> float:
        now, ahead = self.now(), _BURST * _EACH_S
        due = max(now, min(self._due.get(key, now), now + ahead + _LONGEST_S))
        self._due[key] = due + _EACH_S
        alone = self._under_way.keys() <= {key}
        return 0.0 if alone else max(0.0, due - now - ahead)


def _meant(scope: Scope, message: Message) -> int:
    """The status that an answer means, which differs from HTTP's for a failed tool."""
    status: int = scope["state"].get("status", message["status"])
    return status
