"""One answer to one client, streamed or whole, for as long as the client is there.

Rules:
- A client that leaves cancels the generation, also before its first token. An intent on its way
  into the log is waited for, so that it gets its outcome.
- The status line waits for the first delta: an earlier failure has a true status, and the SDKs
  retry. A later failure ends the stream with an error event, and so does an input that waits for a
  person at any time.
- While a stream waits, a comment now and then keeps proxies from cutting it off; then its status is
  200.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterable, AsyncIterator, Awaitable, Callable, Coroutine
from typing import Any, Final, Protocol, TypeVar

import msgspec
from starlette.types import Message, Receive, Scope, Send

from appliance.api.idempotency import Streams
from appliance.api.openai.formats import Format, PartialChoice, error_event
from appliance.errors import ApplianceError, Queued, Unavailable
from appliance.observability.unexpected import unexpected
from appliance.serving.generation import ServedAnswer
from appliance.types import Delta

T = TypeVar("T")
_FINISHED: Final = frozenset({"stop", "length"})
SILENCE_S: Final = 15.0
_STILL_THERE: Final = b": waiting\n\n"
_JSON: Final = [(b"content-type", b"application/json")]
_EVENTS: Final = [
    (b"content-type", b"text/event-stream; charset=utf-8"),
    (b"cache-control", b"no-cache"),
    (b"x-accel-buffering", b"no"),
]


class _Format(Protocol):
    def __call__(self, generation: ServedAnswer, /) -> Format: ...


class ClientGone(Exception):
    """The client closed the connection."""


async def while_connected(receive: Receive, work: Coroutine[Any, Any, T]) -> T:
    """Run `work` until it ends or the client leaves, which cancels it and raises ClientGone."""
    own, left = asyncio.current_task(), False

    async def watch() -> None:
        nonlocal left
        with contextlib.suppress(Exception):
            while (await receive())["type"] != "http.disconnect":
                pass
        if own is not None:
            left = own.cancel()

    watching = asyncio.create_task(watch())
    try:
        return await work
    except asyncio.CancelledError:
        if left and own is not None and own.cancelling() == 1:
            raise ClientGone from None
        raise
    finally:
        watching.cancel()
        if left and own is not None:
            own.uncancel()


class Answer(Streams):
    """The response of a generation.

    Args:
        start: starts the generation; what it raises becomes the answer.
        stream: as server-sent events, else as one document.
        failed: the event of a stream that could not begin.
    """

    def __init__(
        self,
        start: Callable[[], Awaitable[ServedAnswer]],
        form: _Format,
        *,
        request_id: str,
        stream: bool,
        failed: Callable[[ApplianceError], bytes] = error_event,
    ) -> None:
        super().__init__()
        self._start = start
        self._form = form
        self._request_id = request_id
        self.stream = stream
        self._failed = failed

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer; returns in silence when the client has gone."""
        try:
            await while_connected(receive, self._answer(send))
        except ClientGone:
            return

    async def _answer(self, send: Send) -> None:
        write = self._write_events if self.stream else self._write_document
        try:
            async with begun(self._start) as generation:
                await write(generation, send)
        except Queued as error:
            if not self.stream:
                raise
            await send({"type": "http.response.start", "status": 200, "headers": _EVENTS})
            await send(_body(self._failed(error), last=True))

    async def _write_document(self, generation: ServedAnswer, send: Send) -> None:
        form = self._form(generation)
        whole = form.whole(await collected(generation, form))
        await form.keep()
        receipt = generation.outcome.header() if generation.outcome else ""
        body = whole.model_dump_json().encode()
        if generation.about is not None:  # a task answered: who, and how sure it is
            told = msgspec.json.encode(generation.about.document())
            body = body[:-1] + b',"x_appliance":' + told + b"}"
        length = (b"content-length", str(len(body)).encode())
        await send(_head([*_JSON, length], receipt))
        await send(_body(body, last=True))

    async def _write_events(self, generation: ServedAnswer, send: Send) -> None:
        form, begun = self._form(generation), False
        left = form.choices  # that have not ended
        try:
            async for delta in _with_silences(generation):
                if delta is None:
                    if not begun:
                        await send(_head(_EVENTS, generation.intent.header()))
                        await send(_body(form.opening(), last=False))
                    begun = True
                    await send(_body(_STILL_THERE, last=False))
                    continue
                form.note(delta)
                finish = delta.finish_reason
                events = b"" if begun else form.opening()
                if delta.text or delta.logprobs:
                    events += form.piece(delta)
                if finish:
                    _checked(finish)
                    events += form.end(delta)
                    left -= 1
                if not left:
                    await form.keep()
                    events += form.closing()
                if not begun:
                    begun = True
                    await send(_head(_EVENTS, generation.intent.header()))
                await send(_body(events, last=not left))
            if left:
                _checked(None)
        except Exception as error:
            if not begun:
                raise
            known = error if isinstance(error, ApplianceError) else None
            event = form.failing(known or unexpected(error, self._request_id))
            await send(_body(event, last=True))


async def _with_silences(generation: ServedAnswer) -> AsyncIterator[Delta | None]:
    """The pieces, and before the first one None at intervals."""
    pieces = aiter(generation)
    first = asyncio.ensure_future(anext(pieces, None))
    try:
        while not (await asyncio.wait({first}, timeout=SILENCE_S))[0]:
            yield None
    finally:
        first.cancel()
        await asyncio.gather(first, return_exceptions=True)
    piece = first.result()
    if piece is not None:
        yield piece
        async for piece in pieces:
            yield piece


@contextlib.asynccontextmanager
async def begun(start: Callable[[], Awaitable[ServedAnswer]]) -> AsyncIterator[ServedAnswer]:
    """The answer that `start` begins; nothing of it runs on afterwards."""
    generation = await unbroken(start())
    try:
        yield generation
    finally:
        await generation.cancel()


async def collected(pieces: AsyncIterable[Delta], form: Format) -> list[PartialChoice]:
    """The choices of a whole answer."""
    choices = [PartialChoice() for _ in range(form.choices)]
    async for delta in pieces:
        form.note(delta)
        choices[delta.index].take(delta)
    for choice in choices:
        _checked(choice.finish)
    return choices


async def unbroken(start: Awaitable[ServedAnswer]) -> ServedAnswer:
    """Await the start; if cancelled meanwhile, wait for it and cancel what it began."""
    starting = asyncio.ensure_future(start)
    try:
        return await asyncio.shield(starting)
    except asyncio.CancelledError:
        (outcome,) = await asyncio.gather(starting, return_exceptions=True)
        if not isinstance(outcome, BaseException):
            await outcome.cancel()
        raise


def _checked(finish: str | None) -> None:
    if finish == "cancelled":
        raise Unavailable("request_cancelled", "The answer was ended before it was complete.")
    if finish not in _FINISHED:
        raise RuntimeError(f"an answer ended with {finish!r}")


def _head(headers: list[tuple[bytes, bytes]], receipt: str) -> Message:
    named = [*headers, (b"x-appliance-receipt", receipt.encode())]
    return {"type": "http.response.start", "status": 200, "headers": named}


def _body(data: bytes, *, last: bool) -> Message:
    return {"type": "http.response.body", "body": data, "more_body": not last}
