"""`Idempotency-Key`: a request that a client sends again is answered as it was the first time.

Rules:
- The same key, route and body within a day get the same answer, receipt and request id; nothing
  runs. Another body under the same name is refused.
- An answer is kept before it leaves, and only a success, so that a refused request may be sent
  again. While the first one runs the next is refused.
- A stream is refused.

Source: IETF draft, The Idempotency-Key HTTP Header Field.
"""

import asyncio
import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final

import msgspec
from fastapi import Request
from sqlalchemy.exc import SQLAlchemyError
from starlette.responses import Response
from starlette.types import Message, Receive, Scope, Send

from appliance.api.deps import services_of
from appliance.app import Services
from appliance.errors import BadRequest, Forbidden, StateRefused, Unavailable
from appliance.serving.kept_answers import KeptAnswer

HEADER: Final = "idempotency-key"
WINDOW_S: Final = 86_400
_NAME: Final = re.compile(r"[!-~]{1,255}")
_KEPT: Final = frozenset({b"content-type", b"x-appliance-receipt"})
_AGAIN: Final = (b"idempotent-replayed", b"true")
Handler = Callable[[Request], Awaitable[Response]]


class _KeptDocument(msgspec.Struct):
    """An answer: its id, its headers and its body."""

    request_id: str
    headers: list[tuple[bytes, bytes]]
    body: bytes


@dataclass(frozen=True)
class _NamedRequest:
    """The place of its answer, and a digest of route and body."""

    place: str
    asked: str


class Streams(Response):
    """A response that may come in pieces, if `stream`."""

    stream: bool


async def once(request: Request, handle: Handler) -> Response:
    """Handle a request that has the header, or give its answer again.

    Raises:
        ApplianceError: `invalid_value`, `unsupported_parameter`, `idempotency_mismatch`,
            `idempotency_retention`, `idempotency_running`.
    """
    services, principal = services_of(request), request.scope["state"]["principal"]
    kept, running = services.kept, request.app.state.running
    name = request.headers.getlist(HEADER)
    if len(name) > 1 or not _NAME.fullmatch(name[0]):
        what = f"{HEADER}: 1 to 255 visible ASCII characters, once."
        raise BadRequest("invalid_value", what, param=HEADER)
    if not kept.keeps(principal):
        raise Forbidden("idempotency_retention", "Texts of this key are not kept, so no answer is.")
    route = request.scope["path"].encode()
    body = await request.body()
    named = _NamedRequest(
        await asyncio.to_thread(kept.digest, *principal.owner, name[0].encode()),
        await asyncio.to_thread(kept.digest, route, body),
    )
    if named.place in running:
        raise StateRefused("idempotency_running", "The first request of this name still runs.")
    running.add(named.place)
    try:
        found = await asyncio.to_thread(kept.find, named.place)
        if found is not None:
            return _again(request, services, named, found)
        await asyncio.to_thread(kept.check_room, principal.key_id)
        response = await handle(request)
        if isinstance(response, Streams) and response.stream:
            what = f"{HEADER}: an answer in pieces is not kept; leave it out, or do not stream."
            raise BadRequest("unsupported_parameter", what, param=HEADER)
    except BaseException:
        running.discard(named.place)
        raise
    return _KeptResponse(response, services, named, running)


def _again(
    request: Request, services: Services, named: _NamedRequest, found: KeptAnswer
) -> Response:
    request.app.state.running.discard(named.place)
    if found.asked != named.asked:
        what = f"{HEADER}: this name stands for another request."
        raise BadRequest("idempotency_mismatch", what, param=HEADER)
    services.shares.count(request.scope["state"]["principal"])
    document = msgspec.msgpack.decode(found.text, type=_KeptDocument)
    request.scope["state"]["request_id"] = document.request_id
    response = Response(document.body)
    response.raw_headers += [*document.headers, _AGAIN]
    return response


class _KeptResponse(Response):
    """Keeps another response if it succeeded, and sends it."""

    def __init__(
        self, inner: Response, services: Services, named: _NamedRequest, running: set[str]
    ) -> None:
        super().__init__()
        self._inner, self._services = inner, services
        self._named, self._running = named, running

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        held: list[Message] = []

        async def hold(message: Message) -> None:
            held.append(message)
            if message.get("more_body", message["type"] == "http.response.start"):
                return
            if held[0]["status"] == 200:
                await self._keep(scope, held)
            for each in held:
                await send(each)

        try:
            await self._inner(scope, receive, hold)
        finally:
            self._running.discard(self._named.place)

    async def _keep(self, scope: Scope, held: list[Message]) -> None:
        """Keep an answer (`answer_unkept`)."""
        state = scope["state"]
        headers = [(name, value) for name, value in held[0]["headers"] if name in _KEPT]
        document = _KeptDocument(
            state["request_id"], headers, b"".join(m.get("body", b"") for m in held)
        )
        receipts = dict(headers).get(b"x-appliance-receipt", b"").decode()
        requests = await asyncio.to_thread(self._requests, document.request_id, receipts)
        answer = KeptAnswer(requests, self._named.asked, msgspec.msgpack.encode(document))
        key_id = state["principal"].key_id
        keep = self._services.kept.keep
        try:
            await asyncio.to_thread(keep, self._named.place, key_id, answer, WINDOW_S)
        except SQLAlchemyError as error:
            raise Unavailable("answer_unkept", "The answer could not be kept.") from error

    def _requests(self, request_id: str, receipts: str) -> tuple[str, ...]:
        """The ids in the log: of several prompts each has its own."""
        if ", " not in receipts:
            return (request_id,)
        return tuple(sorted({request_id, *self._services.reader.requested(receipts)}))
