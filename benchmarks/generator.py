"""The load generator: a process of its own that speaks the OpenAI API to either side.

Rules: cheap, since it shares the cores with the server: raw connections, httptools and msgspec. A
moment is the monotonic clock when the bytes were read. Token counts come from `usage`, never from
chunks. A request's failure is in its answer, never an exception.

usage: python -m benchmarks.generator < LOAD.json > ANSWERS.json
"""

import asyncio
import contextlib
import json
import sys
import time
from collections.abc import Iterator
from typing import cast

import httptools
import msgspec
import uvloop

from benchmarks.documents import valid
from benchmarks.loads import Ask, Group, Load

_TIMEOUT_S = 300.0
_PAUSE_S = 0.05  # after a failure, so that a server that refuses is not flooded


class Answer(msgspec.Struct):
    """One request as its client saw it.

    Attributes:
        begun: when it was sent, on the monotonic clock in seconds.
        late: seconds later than planned.
        stamps: when each piece of text arrived.
        ended: when the answer was complete; 0 when it was cut.
        error: empty if the answer is complete and, where one is asked for, a valid document.
    """

    group: str
    begun: float
    late: float = 0.0
    stamps: list[float] = []
    ended: float = 0.0
    prompt_tokens: int = 0
    completion_tokens: int = 0
    cached_tokens: int = 0
    text: str = ""
    error: str = ""

    @property
    def ttft(self) -> float:
        """Seconds from sending to the first text."""
        return self.stamps[0] - self.begun if self.stamps else float("nan")

    @property
    def seconds(self) -> float:
        """Seconds from sending to the end."""
        return self.ended - self.begun


class _Delta(msgspec.Struct):
    content: str | None = None


class _Choice(msgspec.Struct):
    text: str = ""
    delta: _Delta = msgspec.field(default_factory=_Delta)
    finish_reason: str | None = None


class _Details(msgspec.Struct):
    cached_tokens: int = 0


class _Usage(msgspec.Struct):
    prompt_tokens: int = 0
    completion_tokens: int = 0
    prompt_tokens_details: _Details | None = None


class _Event(msgspec.Struct):
    choices: list[_Choice] = []
    usage: _Usage | None = None
    error: dict[str, object] | None = None


_events = msgspec.json.Decoder(_Event)


class Exchange(asyncio.Protocol):
    """One request on one connection."""

    def __init__(self, request: bytes, answer: Answer) -> None:
        self._request = request
        self._answer = answer
        self._parser = httptools.HttpResponseParser(self)
        self._buffer = b""
        self._now = 0.0
        self._text: list[str] = []
        self._transport: asyncio.Transport | None = None
        self.done: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's is no subclass
        self._transport.write(self._request)

    def data_received(self, data: bytes) -> None:
        """Note the moment, then parse."""
        self._now = time.monotonic()
        try:
            self._parser.feed_data(data)
        except (httptools.HttpParserError, msgspec.MsgspecError) as error:
            self._end(f"not understood: {error!r}")

    def on_body(self, body: bytes) -> None:
        """For the parser: the content of the chunks."""
        *lines, self._buffer = (self._buffer + body).split(b"\n")
        if self._parser.get_status_code() != 200:
            self._buffer = b"\n".join([*lines, self._buffer])
            return
        for line in lines:
            if line.startswith(b"data: {"):
                self._event(_events.decode(line[6:]))

    def _event(self, event: _Event) -> None:
        answer = self._answer
        for choice in event.choices:
            if piece := choice.text or choice.delta.content:
                answer.stamps.append(self._now)
                self._text.append(piece)
        if event.usage is not None:
            details = event.usage.prompt_tokens_details
            answer.prompt_tokens = event.usage.prompt_tokens
            answer.completion_tokens = event.usage.completion_tokens
            answer.cached_tokens = details.cached_tokens if details else 0
        if event.error is not None:
            answer.error = json.dumps(event.error)

    def on_message_complete(self) -> None:
        """Called by the parser."""
        status = self._parser.get_status_code()
        self._answer.ended = self._now
        self._answer.text = "".join(self._text)
        problem = "" if status == 200 else f"HTTP {status}: {self._buffer[:300]!r}"
        if status == 200 and not self._answer.completion_tokens:
            problem = "the stream ended without usage"
        self._end(self._answer.error or problem)

    def connection_lost(self, error: Exception | None) -> None:
        """Too early, unless the answer is complete."""
        self._end(f"the connection was lost: {error!r}")

    def _end(self, problem: str) -> None:
        if not self.done.done():
            self._answer.error = problem
            self.done.set_result(None)
        if self._transport is not None:
            self._transport.close()


def request_bytes(load: Load, group: Group, ask: Ask) -> bytes:
    """The request as it goes over the wire."""
    body = json.dumps(ask.body).encode()
    route = "chat/completions" if "messages" in ask.body else "completions"
    head = (
        f"POST /v1/{route} HTTP/1.1\r\nHost: {load.host}:{load.port}\r\n"
        f"Authorization: Bearer {group.key}\r\nContent-Type: application/json\r\n"
        f"Content-Length: {len(body)}\r\nConnection: close\r\n\r\n"
    )
    return head.encode() + body


class Generator:
    """Runs a load once."""

    def __init__(self, load: Load) -> None:
        self._load = load
        self._begun = time.monotonic()
        self.answers: list[Answer] = []

    async def run(self) -> None:
        """Until all requests have ended or the time is up."""
        behind = [asyncio.create_task(self._group(g)) for g in self._load.groups if g.background]
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self._load.seconds):
                groups = [self._group(g) for g in self._load.groups if not g.background]
                await asyncio.gather(*groups)
        for task in behind:
            task.cancel()
        await asyncio.gather(*behind, return_exceptions=True)

    async def _group(self, group: Group) -> None:
        asks = _cycle(group)
        async with asyncio.TaskGroup() as tasks:
            if any(ask.at is not None for ask in group.asks):
                for ask in asks:
                    tasks.create_task(self._one(group, ask))
            else:
                for _ in range(group.concurrency):
                    tasks.create_task(self._slot(group, asks))

    async def _slot(self, group: Group, asks: Iterator[Ask]) -> None:
        for ask in asks:
            await self._one(group, ask)

    async def _one(self, group: Group, ask: Ask) -> None:
        request = request_bytes(self._load, group, ask)
        due = time.monotonic() if ask.at is None else self._begun + ask.at
        await asyncio.sleep(due - time.monotonic())
        begun = time.monotonic()
        answer = Answer(group.name, begun, late=begun - due, stamps=[])
        self.answers.append(answer)
        loop = asyncio.get_running_loop()
        transport = None
        try:
            async with asyncio.timeout(_TIMEOUT_S):
                transport, exchange = await loop.create_connection(
                    lambda: Exchange(request, answer), self._load.host, self._load.port
                )
                await exchange.done
        except TimeoutError:  # an OSError, too
            answer.error = f"no answer after {_TIMEOUT_S:g} s"
        except OSError as error:
            answer.error = f"no connection: {error}"
        finally:
            if transport is not None:
                transport.abort()
        if answer.error:
            await asyncio.sleep(_PAUSE_S)
        if ask.document and not answer.error and not valid(answer.text):
            answer.error = f"not a valid document: {answer.text[-80:]!r}"


def _cycle(group: Group) -> Iterator[Ask]:
    """Again and again if the group is in the background."""
    yield from group.asks
    while group.background:
        yield from group.asks


def main() -> None:
    """Read a load, run it, write the answers."""
    generator = Generator(msgspec.json.decode(sys.stdin.buffer.read(), type=Load))
    with asyncio.Runner(loop_factory=uvloop.Loop) as runner:
        runner.run(generator.run())
    with open(1, "wb", closefd=False) as out:  # whole under PYTHONUNBUFFERED, too
        out.write(msgspec.json.encode(generator.answers))


if __name__ == "__main__":
    main()
