"""The response of a request for vectors, scores or labels: one document, when all is computed.

Rule: when the client leaves the work is cancelled, and its intent gets its outcome all the same.
"""

from collections.abc import Awaitable, Callable, Coroutine, Sequence
from typing import Any

from pydantic import BaseModel
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from appliance.api.openai.answer import ClientGone, begun, while_connected
from appliance.errors import Unavailable
from appliance.serving.generation import ServedAnswer
from appliance.types import Delta
from appliance.wire.openai.embeddings import TextUsage


class WhenComputed(Response):
    """A response that is computed while the client is there; `work` may raise the answer."""

    def __init__(self, work: Callable[[], Coroutine[Any, Any, Response]]) -> None:
        super().__init__()
        self._work = work

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            response = await while_connected(receive, self._work())
        except ClientGone:
            return
        await response(scope, receive, send)


class PooledAnswer(WhenComputed):
    """Collects each text's result; an error of `start` becomes the answer."""

    def __init__(
        self,
        start: Callable[[], Awaitable[ServedAnswer]],
        write: Callable[[ServedAnswer, Sequence[Delta]], BaseModel],
    ) -> None:
        super().__init__(self._collect)
        self._start = start
        self._document = write

    async def _collect(self) -> Response:
        async with begun(self._start) as generation:
            pieces = await pieces_of(generation)
        body = self._document(generation, pieces).model_dump_json(exclude_none=True)
        receipt = generation.outcome.header() if generation.outcome else ""
        headers = {"x-appliance-receipt": receipt}
        return Response(body, media_type="application/json", headers=headers)


async def pieces_of(generation: ServedAnswer) -> list[Delta]:
    """All texts' pieces (`request_cancelled` where one is missing)."""
    pieces = [delta async for delta in generation]
    finishes = [delta.finish_reason for delta in pieces if delta.finish_reason]
    if finishes != ["stop"] * generation.choices:
        raise Unavailable("request_cancelled", "The request was ended before it was complete.")
    return pieces


def vectors(pieces: Sequence[Delta]) -> list[bytes]:
    """The bytes of each text, in order."""
    return [delta.vector for delta in pieces if delta.vector]


def usage(generation: ServedAnswer) -> TextUsage:
    """The token counts."""
    return TextUsage(prompt_tokens=generation.prompt_tokens, total_tokens=generation.prompt_tokens)
