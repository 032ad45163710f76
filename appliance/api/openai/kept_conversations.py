"""Conversations that are kept: their items, encrypted as responses are, for one key.

Rules: a conversation is kept for `server.responses_days` after its last change; it belongs to every
request that added to it, so that erasing one of them erases it; it has an end in items and bytes;
changes of one come one after another.
"""

import asyncio
import uuid
from collections.abc import Callable, Iterable, Sequence
from typing import Final

import msgspec
from sqlalchemy.exc import SQLAlchemyError

from appliance.app import Services
from appliance.errors import BadRequest, Forbidden, NotFound, Unavailable
from appliance.serving.kept_answers import KeptAnswer
from appliance.types import Principal
from appliance.wire.openai.responses_request import Item

MOST_ITEMS: Final = 2_000
MOST_BYTES: Final = 4 << 20
_DAY_S: Final = 86_400


class KeptConversation(msgspec.Struct):
    """A conversation; its items are JSON, each with an id."""

    id: str
    created_at: int
    metadata: dict[str, str]
    items: list[bytes]

    def parsed(self) -> list[Item]:
        return [Item.model_validate_json(item) for item in self.items]

    def check_room(self) -> None:
        """Refuse one that is full (`invalid_value`)."""
        count, size = len(self.items), sum(map(len, self.items))
        if count > MOST_ITEMS or size > MOST_BYTES:
            what = f"conversation: {count} items of {size} bytes are more than one keeps."
            raise BadRequest("invalid_value", what, param="conversation")


class KeptConversations:
    """Those of one key."""

    def __init__(self, services: Services, principal: Principal) -> None:
        self._kept, self._principal = services.kept, principal
        self._seconds = services.config.server.responses_days * _DAY_S
        self._now = services.clock.wall_us() // 1_000_000

    async def create(self, items: Sequence[Item], metadata: dict[str, str]) -> KeptConversation:
        """Begin one (`forbidden` where none is kept, `kept_answers_full`, `invalid_value`)."""
        if not self._seconds or not self._kept.keeps(self._principal):
            raise Forbidden("forbidden", "No texts of this key are kept, so no conversation is.")
        key_id = self._principal.key_id
        spelt = await asyncio.to_thread(spelled, items)
        made = KeptConversation(f"conv_{uuid.uuid4().hex}", self._now, metadata, spelt)
        made.check_room()
        await asyncio.to_thread(self._kept.check_room, key_id)
        answer = KeptAnswer((), "", msgspec.msgpack.encode(made))
        try:
            await asyncio.to_thread(
                self._kept.keep, self._place(made.id), key_id, answer, self._seconds
            )
        except SQLAlchemyError as error:
            raise _unkept() from error
        return made

    async def find(self, name: str) -> tuple[KeptConversation, tuple[str, ...]]:
        """A conversation and its requests (`conversation_not_found`, `erased`)."""
        found = await asyncio.to_thread(self._kept.find, self._place(name))
        if found is None:
            raise _absent()
        return msgspec.msgpack.decode(found.text, type=KeptConversation), found.requests

    async def change(
        self,
        name: str,
        change: Callable[[KeptConversation], None],
        requests: Iterable[str] = (),
    ) -> KeptConversation:
        """Change one, for the `requests` that add to it."""
        made: list[KeptConversation] = []

        def changed(found: KeptAnswer) -> KeptAnswer:
            one = msgspec.msgpack.decode(found.text, type=KeptConversation)
            change(one)
            made.append(one)
            all_of_it = tuple(dict.fromkeys((*found.requests, *requests)))
            return KeptAnswer(all_of_it, "", msgspec.msgpack.encode(one))

        place, key_id = self._place(name), self._principal.key_id
        try:
            await asyncio.to_thread(self._kept.change, place, key_id, changed, self._seconds)
        except SQLAlchemyError as error:
            raise _unkept() from error
        if not made:
            raise _absent()
        return made[0]

    async def remove(self, name: str) -> None:
        if not await asyncio.to_thread(self._kept.remove, self._place(name)):
            raise _absent()

    def _place(self, name: str) -> str:
        return self._kept.digest(b"conversation", *self._principal.owner, name.encode())


def spelled(items: Iterable[Item]) -> list[bytes]:
    """Items as they are kept, with an id each."""
    named = (
        item.model_copy(update={"id": item.id or f"item_{uuid.uuid4().hex}"}) for item in items
    )
    return [item.model_dump_json(exclude_none=True).encode() for item in named]


def _absent() -> NotFound:
    return NotFound("conversation_not_found", "No such conversation of this key is kept.")


def _unkept() -> Unavailable:
    return Unavailable("answer_unkept", "The conversation could not be kept.")
