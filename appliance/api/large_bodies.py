"""When large bodies are read: they hold up no other request.

Rules: one at a time, and after each the server rests in proportion to its size; apps take turns.
Lists and objects are bounded. A conversation with more messages than its model's context has room
for is refused unread.
"""

import asyncio
import contextlib
from typing import Any, Final, Protocol

import numpy as np

from appliance.engine.limits import check_count
from appliance.errors import BadRequest, NotFound, Unavailable
from appliance.types import ModelCard, Principal
from appliance.workers.lanes import Lane

SMALL: Final = 64 << 10
"""Most bytes of a small body."""
_REST_S: Final = 0.4e-6
"""Seconds from one large body to the next, for each byte: reading one takes at most a third."""
MOST_VALUES: Final = 50_000
"""Most lists and objects of a body: nothing else runs while they are made or dropped."""


class Cards(Protocol):
    """Finds the card of a model."""

    def card(self, model_id: str) -> ModelCard: ...


class LargeBodies:
    """The large bodies of one listener."""

    def __init__(self) -> None:
        self._lane = Lane()

    async def turn(self, key: str, size: int) -> None:
        """Wait until a body of an app's `key` and this size may be read."""
        if size > SMALL:
            await self._lane.turn(key)
            asyncio.get_running_loop().call_later(size * _REST_S, self._lane.leave)


def check_values(body: bytes) -> None:
    """Refuse too many values (`request_too_large`)."""
    if body.count(b"[") + body.count(b"{") > MOST_VALUES and _opened(body) > MOST_VALUES:
        what = f"The body has more than {MOST_VALUES} lists and objects."
        raise BadRequest("request_too_large", what)


def _opened(body: bytes) -> int:
    unescaped = np.frombuffer(body.replace(b"\\\\", b"").replace(b'\\"', b""), np.uint8)
    texts = np.logical_xor.accumulate(unescaped == ord('"'))
    brackets = (unescaped == ord("[")) | (unescaped == ord("{"))
    return int(np.count_nonzero(brackets & ~texts))


def check_messages(body: Any, cards: Cards, principal: Principal) -> None:
    """Refuse a conversation whose number of messages alone does not fit
    (`context_length_exceeded`).

    A principal learns nothing of a model that it may not use.
    """
    model, messages = (
        (body.get("model"), body.get("messages")) if isinstance(body, dict) else (None, None)
    )
    if not isinstance(model, str) or not isinstance(messages, list):
        return
    if principal.may_use(model):
        with contextlib.suppress(NotFound, Unavailable):  # that is asked again, and answered
            card = cards.card(model)
            if principal.may_answer(card):
                check_count(len(messages), card.fewest, card.n_ctx)
