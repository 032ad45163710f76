"""An engine that answers as told: whole answers, and every way in which an answer can be bad.

It runs in the loop of a test, or as a process that can be killed:
    python -m tests.routing.upstreams.engine PORT LOG
Each request is a line of LOG: the `x-request-id` that came with it.
"""

import asyncio
import json
import random
import secrets
import ssl
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

NEVER = object()
WORDS = ("seven", " bolts", " were", " loose")


@dataclass
class Request:
    path: str
    headers: dict[str, str]
    body: dict[str, Any]


@dataclass
class Engine:
    """The engine; `mode` chooses its answers to requests for a stream.

    Attributes:
        weights: of its probes.
        noise: moves log-probabilities while answers run, by 0.07 to 0.19.
        began: its start, in its metrics.
        others: requests that its metrics count; None for no such metric.
        queues: whether probes wait until no answer runs.
        delay: seconds before each piece.
        reply: its whole answer, in place of its probes; bytes are sent as they are, `NEVER` is
            none.
        named: whether its answers have the requests' names, as those of vLLM have.
    """

    mode: str = "whole"
    weights: float = 0.0
    noise: random.Random | None = None
    began: float = 1.5e9
    others: int | None = None
    queues: bool = False
    running: int = 0
    delay: float = 0.0
    named: bool = False
    words: tuple[str, ...] = WORDS
    log: Path | None = None
    requests: list[Request] = field(default_factory=list)
    port: int = 0
    scheme: str = "http"
    gate: asyncio.Event | None = None
    reply: Callable[[Request], Any] | None = None
    life: str = field(default_factory=lambda: secrets.token_hex(8))

    @property
    def url(self) -> str:
        return f"{self.scheme}://localhost:{self.port}"

    @property
    def streams(self) -> list[Request]:
        return [one for one in self.requests if one.body.get("stream")]

    @asynccontextmanager
    async def serve(self, tls: ssl.SSLContext | None = None) -> AsyncIterator["Engine"]:
        self.scheme = "https" if tls else "http"
        server = await asyncio.start_server(self._connected, "127.0.0.1", self.port, ssl=tls)
        self.port = server.sockets[0].getsockname()[1]
        self._writers: set[asyncio.StreamWriter] = set()
        try:
            yield self
        finally:
            server.close()
            for writer in list(self._writers):
                writer.transport.abort()
            await asyncio.sleep(0)

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.add(writer)
        with suppress(ConnectionError, asyncio.IncompleteReadError, ssl.SSLError, TimeoutError):
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
                pairs = (line.split(": ", 1) for line in head[1:] if line)
                headers = {name.lower(): value for name, value in pairs}
                body = await reader.readexactly(int(headers.get("content-length", 0)))
                request = Request(head[0].split()[1], headers, json.loads(body or b"{}"))
                self.requests.append(request)
                if self.log is not None:
                    with self.log.open("a") as log:
                        log.write(headers.get("x-request-id", "probe") + "\n")
                await self._answer(request, writer)
                if writer.is_closing() or headers.get("connection") == "close":
                    break
        self._writers.discard(writer)
        writer.close()

    async def _answer(self, request: Request, writer: asyncio.StreamWriter) -> None:
        if request.path == "/metrics":
            told = f"process_start_time_seconds {self.began}\n"
            if self.others is not None:
                told += f'vllm:num_requests_running{{model_name="there"}} {self.others}.0\n'
            await _whole(writer, told, kind="text/plain")
        elif self.reply is not None and (told := self.reply(request)) is not None:
            if told is NEVER:
                await self._forever()
            elif isinstance(told, bytes):
                writer.write(told)
            else:
                await _whole(writer, told)
        elif request.path == "/tokenize":
            text = str(request.body.get("prompt", request.body.get("content")))
            if "messages" in request.body:
                text = "".join(turn["content"] for turn in request.body["messages"])
            await _whole(writer, {"tokens": list(text.encode()), "token_strs": list(text)})
        elif request.path == "/detokenize":
            await _whole(writer, {"prompt": bytes(request.body["tokens"]).decode()})
        elif not request.body.get("stream"):
            while self.queues and self.running:
                await asyncio.sleep(0.01)
            await _whole(writer, self._probed(request.body))
        else:
            self.running += 1
            try:
                await getattr(self, "_" + self.mode)(writer, request.body)
            finally:
                self.running -= 1

    def _probed(self, body: dict[str, Any]) -> dict[str, Any]:
        tops = {
            word: -1.0 - place - self.weights + self._moved() for place, word in enumerate("abcde")
        }
        logprobs = {"tokens": ["a"], "token_logprobs": [tops["a"]], "top_logprobs": [tops]}
        choice = {"index": 0, "text": "a", "finish_reason": "length", "logprobs": logprobs}
        return {"id": "p", "system_fingerprint": "fp", "choices": [choice]}

    def _moved(self) -> float:
        if self.noise is None or not self.running:
            return 0.0
        return self.noise.choice((-1, 1)) * self.noise.uniform(0.07, 0.19)

    # what it does with a request for a stream

    async def _whole(self, writer: asyncio.StreamWriter, body: dict[str, Any]) -> None:
        await self._stream(writer, [*self._pieces(body), self._last(), self._usage(), "[DONE]"])

    async def _no_done(self, writer: asyncio.StreamWriter, body: dict[str, Any]) -> None:
        await self._stream(writer, [*self._pieces(body), self._last()])

    async def _truncated(self, writer: asyncio.StreamWriter, body: dict[str, Any]) -> None:
        await self._stream(writer, self._pieces(body))

    async def _dropped(self, writer: asyncio.StreamWriter, _: dict[str, Any]) -> None:
        writer.transport.abort()

    async def _cut(self, writer: asyncio.StreamWriter, body: dict[str, Any]) -> None:
        _head(writer)
        _chunk(writer, _event(self._pieces(body)[0]))
        await writer.drain()
        writer.close()

    async def _silent(self, writer: asyncio.StreamWriter, _: dict[str, Any]) -> None:
        await self._forever()

    async def _stalled(self, writer: asyncio.StreamWriter, body: dict[str, Any]) -> None:
        _head(writer)
        _chunk(writer, _event(self._pieces(body)[0]))
        await writer.drain()
        while True:  # heartbeats are no data
            await asyncio.sleep(0.05)
            _chunk(writer, b": still here\n\n")
            await writer.drain()

    async def _error_event(self, writer: asyncio.StreamWriter, body: dict[str, Any]) -> None:
        error = {"error": {"message": "EngineCore \x1b[31mdied", "code": 500}}
        await self._stream(writer, [self._pieces(body)[0], error, "[DONE]"])

    async def _aborted(self, writer: asyncio.StreamWriter, body: dict[str, Any]) -> None:
        await self._stream(writer, [*self._pieces(body), self._last("abort"), "[DONE]"])

    async def _garbage(self, writer: asyncio.StreamWriter, _: dict[str, Any]) -> None:
        await self._stream(writer, ["{not json"])

    async def _page(self, writer: asyncio.StreamWriter, _: dict[str, Any]) -> None:
        await _whole(writer, "<html>", kind="text/html")

    async def _plain(self, writer: asyncio.StreamWriter, _: dict[str, Any]) -> None:
        await _whole(writer, {"choices": [{"text": "hello", "finish_reason": "stop"}]})

    async def _huge(self, writer: asyncio.StreamWriter, _: dict[str, Any]) -> None:
        _head(writer)
        for _number in range(1 << 14):  # 1 GiB
            _chunk(writer, b"data: " + b"x" * (1 << 16))
            await writer.drain()

    async def _zipped(self, writer: asyncio.StreamWriter, _: dict[str, Any]) -> None:
        _head(writer, "content-encoding: gzip\r\n")
        await writer.drain()

    async def _redirect(self, writer: asyncio.StreamWriter, _: dict[str, Any]) -> None:
        await _whole(writer, {}, status="307 Temporary Redirect", more="location: /elsewhere\r\n")

    async def _full(self, writer: asyncio.StreamWriter, _: dict[str, Any]) -> None:
        await _whole(writer, {"error": "queue"}, status="503 Service Unavailable")

    async def _denied(self, writer: asyncio.StreamWriter, _: dict[str, Any]) -> None:
        await _whole(writer, {"error": "key"}, status="401 Unauthorized")

    async def _rejected(self, writer: asyncio.StreamWriter, _: dict[str, Any]) -> None:
        await _whole(writer, {"error": "too \x1b[31mlong"}, status="400 Bad Request")

    async def _crashed(self, writer: asyncio.StreamWriter, _: dict[str, Any]) -> None:
        await _whole(writer, {"error": "boom"}, status="500 Internal Server Error")

    async def _same_id(self, writer: asyncio.StreamWriter, body: dict[str, Any]) -> None:
        for one in (pieces := [*self._pieces(body), self._last(), "[DONE]"]):
            if isinstance(one, dict):
                one["id"] = "always"
        await self._stream(writer, pieces)

    async def _two_ids(self, writer: asyncio.StreamWriter, body: dict[str, Any]) -> None:
        last = {**self._last(), "id": "another"}
        await self._stream(writer, [*self._pieces(body), last, "[DONE]"])

    async def _after_finish(self, writer: asyncio.StreamWriter, body: dict[str, Any]) -> None:
        first = self._pieces(body)
        await self._stream(writer, [*first, self._last(), first[0], "[DONE]"])

    async def _second_choice(self, writer: asyncio.StreamWriter, body: dict[str, Any]) -> None:
        piece = self._pieces(body)[0]
        piece["choices"][0]["index"] = 1
        await self._stream(writer, [piece, self._last(), "[DONE]"])

    async def _calls(self, writer: asyncio.StreamWriter, body: dict[str, Any]) -> None:
        """A call in parts, of the first function on offer."""
        self._pieces(body)
        name = body["tools"][0]["function"]["name"]
        parts = [
            {"name": name, "arguments": ""},
            {"arguments": '{"part": '},
            {"arguments": '"pump"}'},
        ]
        calls = [{"delta": {"tool_calls": [{"index": 0, "function": part}]}} for part in parts]
        told: list[dict[str, Any]] = [{"delta": {"reasoning_content": "It leaks."}}, *calls]
        events: list[Any] = [{"id": self._id, "choices": [{"index": 0, **one}]} for one in told]
        await self._stream(writer, [*events, self._last("tool_calls"), self._usage(), "[DONE]"])

    async def _several(self, writer: asyncio.StreamWriter, body: dict[str, Any]) -> None:
        """The later choices are likelier."""
        self._pieces(body)
        count = int(body["n"])
        events: list[Any] = []
        for index in range(count):
            lists = {"tokens": ["x"], "token_logprobs": [-float(count - index)]}
            choice = {"index": index, "text": f"choice {index}", "logprobs": lists}
            events.append({"id": self._id, "choices": [choice]})
        ends = [{"index": at, "text": "", "finish_reason": "stop"} for at in range(count)]
        events += [{"id": self._id, "choices": [end]} for end in reversed(ends)]
        details = {"prompt_tokens_details": {"cached_tokens": 8}}
        usage = {"prompt_tokens": 11, "completion_tokens": 3 * count, **details}
        events.append({"id": self._id, "choices": [], "usage": usage})
        await self._stream(writer, [*events, "[DONE]"])

    async def _forever(self) -> None:
        await asyncio.Event().wait()

    def _pieces(self, body: dict[str, Any]) -> list[Any]:
        name = self.requests[-1].headers["x-request-id"] if self.named else len(self.requests)
        self._id = f"answer-{'' if self.named else self.life}-{name}"
        return [self._piece(body, word) for word in self.words]

    def _piece(self, body: dict[str, Any], word: str) -> dict[str, Any]:
        choice: dict[str, Any] = {"index": 0, "finish_reason": None}
        tops = [{"token": word, "logprob": -0.5}, {"token": "other", "logprob": -1.5}]
        if "messages" in body:
            choice["delta"] = {"content": word}
            if body.get("logprobs"):
                entry = {"token": word, "logprob": -0.5, "top_logprobs": tops}
                choice["logprobs"] = {"content": [entry]}
        else:
            choice["text"] = word
        return {"id": self._id, "model": "m", "choices": [choice]}

    def _last(self, reason: str = "stop") -> dict[str, Any]:
        choice = {"index": 0, "delta": {}, "finish_reason": reason}
        return {"id": self._id, "choices": [choice]}

    def _usage(self) -> dict[str, Any]:
        usage = {"prompt_tokens": 11, "completion_tokens": len(self.words)}
        return {"id": self._id, "choices": [], "usage": usage}

    async def _stream(self, writer: asyncio.StreamWriter, events: list[Any]) -> None:
        _head(writer)
        for event in events:
            if self.delay:
                await asyncio.sleep(self.delay)
            if self.gate is not None:
                await self.gate.wait()
            _chunk(writer, _event(event))
            await writer.drain()
        writer.write(b"0\r\n\r\n")
        await writer.drain()


def _event(event: Any) -> bytes:
    text = event if isinstance(event, str) else json.dumps(event)
    return f"data: {text}\n\n".encode()


def _head(writer: asyncio.StreamWriter, more: str = "") -> None:
    head = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n"
    writer.write(f"{head}{more}transfer-encoding: chunked\r\n\r\n".encode())


def _chunk(writer: asyncio.StreamWriter, data: bytes) -> None:
    writer.write(b"%x\r\n%s\r\n" % (len(data), data))


async def _whole(
    writer: asyncio.StreamWriter,
    body: Any,
    *,
    status: str = "200 OK",
    kind: str = "application/json",
    more: str = "",
) -> None:
    data = (body if isinstance(body, str) else json.dumps(body)).encode()
    head = f"HTTP/1.1 {status}\r\ncontent-type: {kind}\r\ncontent-length: {len(data)}\r\n{more}\r\n"
    writer.write(head.encode() + data)
    await writer.drain()


async def _main(port: int, log: Path) -> None:
    async with Engine(port=port, log=log, delay=0.01).serve() as engine:
        sys.stdout.write(f"{engine.port}\n")
        sys.stdout.flush()
        await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(_main(int(sys.argv[1]), Path(sys.argv[2])))
