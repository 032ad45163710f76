"""A hostile host: each mode is one way of answering a request for a stream.

The text of an answer names the canary of its connection's request, so that a misdirected answer is
seen. Probes are answered honestly.

It runs in the loop of a test, or as a process whose mode changes with each request:
    python -m tests.routing.upstreams.hostile
"""

import asyncio
import itertools
import json
import re
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import Any, Final

CANARY: Final = re.compile(rb"canary-[a-z]+-[0-9]+")
INVALID, INCOMPLETE, LOST, LATE = (
    "upstream_invalid", "upstream_incomplete", "upstream_lost", "upstream_timeout",
)  # fmt: skip
_OK: Final = b"HTTP/1.1 200 OK\r\n"
_EVENTS: Final = b"content-type: text/event-stream\r\n"
_CHUNKED: Final = b"transfer-encoding: chunked\r\n\r\n"
_ENDLESS: Final = 1 << 16
_DEEP: Final = "[" * 100_000
_names = itertools.count()

Parts = Iterator[bytes | float | None]
"""Bytes to write, seconds to wait, or None to reset the connection."""


@dataclass(frozen=True)
class Told:
    canary: str
    id: str

    def event(self, text: str = "", finish: Any = None, **more: Any) -> dict[str, Any]:
        choice = {"index": 0, "delta": {"content": text}, "finish_reason": finish}
        return {"id": self.id, "model": "m", "choices": [choice], **more}

    def events(self, **more: Any) -> list[Any]:
        words = [self.event(word) for word in ("this ", "is ", self.canary)]
        return [*words, self.event(finish="stop"), self.event(choices=[], **more), "[DONE]"]


Mode = Callable[[Told], Parts]
MODES: Final[dict[str, tuple[Mode, frozenset[str]]]] = {}
"""Each mode, and what a request to it may end with; "" is a whole answer."""


def _mode(*ends: str) -> Callable[[Mode], Mode]:
    def named(mode: Mode) -> Mode:
        MODES[mode.__name__] = (mode, frozenset(ends or (INVALID,)))
        return mode

    return named


def _line(event: Any) -> bytes:
    return f"data: {event if isinstance(event, str) else json.dumps(event)}\n\n".encode()


def _chunk(data: bytes) -> bytes:
    return b"%x\r\n%s\r\n" % (len(data), data)


def _stream(*events: Any, more: bytes = b"") -> bytes:
    data = b"".join(event if isinstance(event, bytes) else _line(event) for event in events)
    return _OK + _EVENTS + more + _CHUNKED + _chunk(data) + b"0\r\n\r\n"


def _whole(told: Told) -> bytes:
    return _stream(*told.events())


def _raw(told: Told, **fields: str) -> bytes:
    members = "".join(f', "{name}": {value}' for name, value in fields.items())
    return f'data: {{"id": "{told.id}", "choices": [{{"index": 0{members}}}]}}\n\n'.encode()


def _logprob(told: Told, token: str) -> bytes:
    return _stream(_raw(told, delta='{"content": "a"}', logprobs=f'{{"content": [{token}]}}'))


# whose answer it is


@_mode("")
def honest(told: Told) -> Parts:
    yield _whole(told)


@_mode()
def a_second_answer_behind_the_first(told: Told) -> Parts:
    yield _whole(told) * 2


@_mode("")
def a_second_answer_a_moment_later(told: Told) -> Parts:
    yield _whole(told)
    yield 0.01
    yield _whole(told) * 3


@_mode("", INVALID)
def an_answer_before_the_request(told: Told) -> Parts:  # written as soon as it is connected to
    yield _whole(told)


@_mode()
def a_request_in_place_of_an_answer(told: Told) -> Parts:
    yield b"GET / HTTP/1.1\r\nhost: x\r\n\r\n"


@_mode(LOST)
def half_an_answer(told: Told) -> Parts:
    yield _OK + _EVENTS + b"content-length: 9999\r\n\r\n" + _line(told.event("half"))


@_mode(LOST)
def half_a_head(told: Told) -> Parts:
    yield _OK + _EVENTS


@_mode(LOST)
def nothing(told: Told) -> Parts:
    yield b""


@_mode(LATE)
def half_an_answer_and_silence(told: Told) -> Parts:
    yield _OK + _EVENTS + _CHUNKED + _chunk(_line(told.event("half")))
    yield 30.0


@_mode(LOST)
def a_reset_at_once(told: Told) -> Parts:
    yield None


@_mode(LOST)
def a_reset_in_the_middle(told: Told) -> Parts:
    yield _OK + _EVENTS + _CHUNKED + _chunk(_line(told.event("half")))
    yield 0.01
    yield None


@_mode()
def an_id_that_changes(told: Told) -> Parts:
    yield _stream(told.event("a"), {**told.event("b", "stop"), "id": "another"})


@_mode()
def an_id_that_came_before(told: Told) -> Parts:
    yield _stream(*Told(told.canary, "honest-0").events())


@_mode()
def no_id(told: Told) -> Parts:
    yield _stream(*Told(told.canary, "").events())


# HTTP


@_mode()
def a_flood_of_headers(told: Told) -> Parts:
    yield _OK + b"x: y\r\n" * 100_000
    yield _EVENTS + _CHUNKED


@_mode()
def a_header_without_end(told: Told) -> Parts:
    yield _OK + b"x: "
    yield from itertools.repeat(b"y" * _ENDLESS, 64)


@_mode()
def a_trailer_without_end(told: Told) -> Parts:
    yield _whole(told)[:-2] + b"x: "
    yield from itertools.repeat(b"y" * _ENDLESS, 64)


@_mode("")
def trailers(told: Told) -> Parts:
    yield _whole(told)[:-2] + b"x-trailer: 1\r\nx-more: 2\r\n\r\n"


@_mode("", INVALID)
def a_trailer_that_tells_a_length(told: Told) -> Parts:
    yield _whole(told)[:-2] + b"content-length: 7\r\n\r\n"


@_mode("")
def two_informational_answers(told: Told) -> Parts:
    yield b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nlink: x\r\n\r\n" + _whole(told)


@_mode()
def a_flood_of_informational_answers(told: Told) -> Parts:
    yield from itertools.repeat(b"HTTP/1.1 100 Continue\r\n\r\n" * 100, 100)


@_mode()
def another_protocol(told: Told) -> Parts:
    yield b"HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: x\r\n\r\nhello"


@_mode()
def no_http(told: Told) -> Parts:
    yield b"SSH-2.0-OpenSSH_9.2\r\n"


@_mode()
def two_lengths(told: Told) -> Parts:
    yield _OK + _EVENTS + b"content-length: 5\r\ncontent-length: 500\r\n\r\nhello"


@_mode()
def a_length_and_chunks(told: Told) -> Parts:
    yield _OK + _EVENTS + b"content-length: 5\r\n" + _CHUNKED + b"5\r\nhello\r\n0\r\n\r\n"


@_mode()
def a_length_of_400_digits(told: Told) -> Parts:
    yield _OK + _EVENTS + b"content-length: " + b"9" * 400 + b"\r\n\r\nhello"


@_mode()
def a_chunk_that_is_larger_than_everything(told: Told) -> Parts:
    yield _OK + _EVENTS + _CHUNKED + b"f" * 400 + b"\r\nhello"


@_mode()
def an_extension_without_end(told: Told) -> Parts:
    yield _OK + _EVENTS + _CHUNKED + b"5;"
    yield from itertools.repeat(b"y" * _ENDLESS, 64)


@_mode("")
def an_answer_in_chunks_of_one_byte(told: Told) -> Parts:
    yield _OK + _EVENTS + _CHUNKED
    data = b"".join(map(_line, told.events()))
    yield b"".join(_chunk(data[at : at + 1]) for at in range(len(data))) + b"0\r\n\r\n"


@_mode()
def a_long_line_in_chunks_of_one_byte(told: Told) -> Parts:
    yield _OK + _EVENTS + _CHUNKED + _chunk(b"data: ")
    yield from itertools.repeat(_chunk(b"x") * 4096, 300)


@_mode()
def a_gzip_bomb(told: Told) -> Parts:
    yield _OK + _EVENTS + b"content-encoding: gzip\r\n" + _CHUNKED + _chunk(b"\x1f\x8b" * 1000)


@_mode()
def a_gzip_bomb_as_transfer(told: Told) -> Parts:
    yield _OK + _EVENTS + b"transfer-encoding: gzip\r\n\r\n" + b"\x1f\x8b" * 1000


@_mode()
def another_content_type(told: Told) -> Parts:
    yield _whole(told).replace(b"text/event-stream", b"application/json")


@_mode()
def a_page(told: Told) -> Parts:
    yield _OK + b"content-type: text/html\r\ncontent-length: 6\r\n\r\n<html>"


@_mode()
def no_content_type(told: Told) -> Parts:
    yield _whole(told).replace(_EVENTS, b"")


@_mode("upstream_redirect")
def a_redirect(told: Told) -> Parts:
    yield b"HTTP/1.1 307 Elsewhere\r\nlocation: http://127.0.0.1:1/\r\ncontent-length: 0\r\n\r\n"


@_mode("upstream_busy")
def no_room(told: Told) -> Parts:
    yield b"HTTP/1.1 429 Busy\r\nretry-after: 999999999\r\ncontent-length: 0\r\n\r\n"


@_mode(INVALID)
def an_error_without_end(told: Told) -> Parts:
    yield b"HTTP/1.1 500 Error\r\n" + _CHUNKED
    yield from itertools.repeat(_chunk(b"x" * _ENDLESS), 64)


# events


@_mode()
def a_line_of_two_megabytes(told: Told) -> Parts:
    yield _stream(b"data: " + b"x" * (2 << 20))


@_mode(INVALID, LATE)
def comments_without_end(told: Told) -> Parts:
    yield _OK + _EVENTS + _CHUNKED
    yield from itertools.repeat(_chunk(b": " + b"x" * _ENDLESS + b"\n\n"), 200)


@_mode(INVALID, LATE)
def lines_without_end(told: Told) -> Parts:
    yield _OK + _EVENTS + _CHUNKED
    yield from itertools.repeat(_chunk(b"\n" * _ENDLESS), 200)


@_mode(LATE)
def a_slow_drip(told: Told) -> Parts:
    yield _OK + _EVENTS + _CHUNKED
    for _ in range(100):
        yield _chunk(b": \n\n")
        yield 0.05


@_mode("")
def comments_between(told: Told) -> Parts:
    yield _stream(*itertools.chain(*([b": still here\n\n", event] for event in told.events())))


@_mode()
def done_twice(told: Told) -> Parts:
    yield _stream(*told.events(), "[DONE]")


@_mode()
def an_event_after_done(told: Told) -> Parts:
    yield _stream(*told.events(), told.event("more"))


@_mode()
def content_after_the_finish_reason(told: Told) -> Parts:
    yield _stream(told.event("a", "stop"), told.event("more"), "[DONE]")


@_mode()
def two_finish_reasons(told: Told) -> Parts:
    yield _stream(told.event("a", "stop"), told.event(finish="length"), "[DONE]")


@_mode(INCOMPLETE)
def no_finish_reason(told: Told) -> Parts:
    yield _stream(told.event("a"), "[DONE]")


@_mode(INCOMPLETE)
def an_unknown_finish_reason(told: Told) -> Parts:
    yield _stream(told.event("a", "\x1b[31mwhatever"), "[DONE]")


@_mode()
def a_list_as_finish_reason(told: Told) -> Parts:
    yield _stream(told.event("a", []), "[DONE]")


@_mode()
def an_object_as_finish_reason(told: Told) -> Parts:
    yield _stream(told.event("a", {"stop": 1}), "[DONE]")


@_mode(INCOMPLETE)
def an_error_event(told: Told) -> Parts:
    yield _stream(told.event("a"), {"error": {"message": "\x1b[31mdied", "code": 500}}, "[DONE]")


@_mode(INCOMPLETE)
def an_error_of_another_form(told: Told) -> Parts:
    yield _stream(told.event("a"), {"error": [[{"x": None}]]})


@_mode(INCOMPLETE)
def an_error_line(told: Told) -> Parts:
    yield _stream(told.event("a"), b"error: \x1b[31mdied\n\n")


@_mode()
def another_index(told: Told) -> Parts:
    yield _stream(told.event(choices=[{"index": 7, "delta": {"content": "a"}}]))


@_mode()
def more_choices_than_were_asked_for(told: Told) -> Parts:
    yield _stream(told.event(choices=[{"index": at, "delta": {"content": "a"}} for at in range(9)]))


@_mode()
def a_flood_of_choices(told: Told) -> Parts:
    yield _stream(told.event(choices=[{"index": 0}] * 10_000))


@_mode()
def choices_that_are_no_list(told: Told) -> Parts:
    yield _stream(told.event(choices="none"))


@_mode()
def content_that_is_no_text(told: Told) -> Parts:
    yield _stream(_raw(told, delta='{"content": ["a", {"b": 1}]}'))


@_mode()
def a_flood_of_tool_calls(told: Told) -> Parts:
    calls = [{"index": at, "function": {"name": "f", "arguments": ""}} for at in range(9_000)]
    yield _stream(told.event(choices=[{"index": 0, "delta": {"tool_calls": calls}}]))


@_mode()
def deep_json(told: Told) -> Parts:
    yield _stream(f'data: {{"id": "{told.id}", "choices": [], "x": {_DEEP}}}\n\n'.encode())


@_mode()
def a_deep_error(told: Told) -> Parts:
    yield _stream(f'data: {{"id": "{told.id}", "error": {_DEEP}}}\n\n'.encode())


@_mode()
def no_json(told: Told) -> Parts:
    yield _stream("{not json")


@_mode()
def bytes_that_are_no_text(told: Told) -> Parts:
    yield _stream(told.event("a")).replace(b'"a"', b'"\xff"')


@_mode()
def a_lone_surrogate(told: Told) -> Parts:
    yield _stream(_raw(told, delta='{"content": "\\ud800"}'))


@_mode()
def a_lone_surrogate_in_a_token(told: Told) -> Parts:
    yield _logprob(told, '{"token": "\\udfff", "logprob": -1}')


@_mode()
def a_lone_surrogate_as_bytes(told: Told) -> Parts:
    yield _stream(told.event("abc")).replace(b"abc", b"\xed\xa0\x80")


@_mode("")
def control_characters(told: Told) -> Parts:
    yield _stream(told.event("\x00\x1b[2J\u202e"), *told.events())


# numbers


@_mode()
def bytes_as_a_number(told: Told) -> Parts:
    yield _logprob(told, '{"token": "a", "logprob": -1, "bytes": 3000000000}')


@_mode()
def bytes_as_a_long_list(told: Told) -> Parts:
    yield _logprob(told, f'{{"token": "a", "logprob": -1, "bytes": {[0] * 300_000}}}')


@_mode()
def bytes_that_are_none(told: Told) -> Parts:
    yield _logprob(told, '{"token": "a", "logprob": -1, "bytes": [-1, 256]}')


@_mode()
def no_number(told: Told) -> Parts:
    yield _logprob(told, '{"token": "a", "logprob": NaN}')


@_mode()
def infinity(told: Told) -> Parts:
    yield _logprob(told, '{"token": "a", "logprob": -Infinity}')


@_mode()
def infinity_as_an_exponent(told: Told) -> Parts:
    yield _logprob(told, '{"token": "a", "logprob": -1e99999}')


@_mode()
def a_log_probability_of_400_digits(told: Told) -> Parts:
    yield _logprob(told, f'{{"token": "a", "logprob": -{"9" * 400}}}')


@_mode()
def a_log_probability_above_none(told: Told) -> Parts:
    yield _logprob(told, '{"token": "a", "logprob": 3.5}')


@_mode()
def a_flood_of_alternatives(told: Told) -> Parts:
    many = ",".join('{"token": "a", "logprob": -1}' for _ in range(9_000))
    yield _logprob(told, f'{{"token": "a", "logprob": -1, "top_logprobs": [{many}]}}')


@_mode()
def lists_of_other_lengths(told: Told) -> Parts:
    lists = '{"tokens": ["a"], "token_logprobs": [-1, -2], "top_logprobs": null}'
    yield _stream(_raw(told, text='"a"', logprobs=lists))


@_mode()
def a_count_of_400_digits(told: Told) -> Parts:
    usage = f'"usage": {{"prompt_tokens": {"9" * 400}}}'
    yield _stream(f'data: {{"id": "{told.id}", "choices": [], {usage}}}\n\n'.encode())


@_mode("")
def a_prompt_of_two_thousand_million_tokens(told: Told) -> Parts:
    yield _stream(*told.events(usage={"prompt_tokens": (1 << 31) - 1, "completion_tokens": 3}))


@_mode("")
def counts_below_none(told: Told) -> Parts:
    yield _stream(*told.events(usage={"prompt_tokens": -5, "completion_tokens": -1}))


@_mode("")
def an_answer_of_a_million_tokens(told: Told) -> Parts:
    yield _stream(*told.events(usage={"prompt_tokens": 30, "completion_tokens": 1_000_000}))


@_mode()
def pieces_beyond_max_tokens(told: Told) -> Parts:
    yield _stream(*[told.event("a")] * 3780, told.event(finish="stop"))


@_mode()
def pieces_without_end(told: Told) -> Parts:
    yield _OK + _EVENTS + _CHUNKED
    yield from itertools.repeat(_chunk(_line(told.event("a")) * 100), 1000)


@_mode()
def a_piece_that_is_longer_than_max_tokens(told: Told) -> Parts:
    yield _stream(told.event("a" * 500_000), told.event(finish="stop"))


@_mode()
def a_name_without_end(told: Told) -> Parts:
    yield _stream({**told.event("a"), "model": "m" * 500_000})


@dataclass
class Host:
    """The host.

    Attributes:
        mode: for the next request for a stream; "" takes one after the other.
        asked: canaries of its requests.
    """

    mode: str = "honest"
    port: int = 0
    asked: list[str] = field(default_factory=list)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @asynccontextmanager
    async def serve(self) -> AsyncIterator["Host"]:
        self._tasks: set[asyncio.Task[None]] = set()
        self._turns, self._connections = itertools.cycle(MODES), itertools.count(1)
        server = await asyncio.start_server(self._connected, "127.0.0.1", self.port)
        self.port = server.sockets[0].getsockname()[1]
        try:
            yield self
        finally:
            server.close()
            for task in self._tasks:
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if (task := asyncio.current_task()) is not None:
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        with suppress(OSError, asyncio.IncompleteReadError, asyncio.CancelledError):
            try:
                early = "an_answer_before_the_request"
                # Nobody knows yet what the connection is for: in turns it may be for a probe.
                if self.mode == early or (not self.mode and next(self._connections) % 200 == 0):
                    await self._answer(writer, early, Told("early", "early"))
                    return
                head = await reader.readuntil(b"\r\n\r\n")
                (length,) = re.findall(rb"content-length: (\d+)", head)
                body = await reader.readexactly(int(length))
                if head.startswith(b"POST /tokenize"):
                    _document(writer, {"tokens": list(body)})
                elif b'"stream": true' not in body:
                    _document(writer, _PROBED)
                else:
                    canary = (CANARY.findall(body) or [b"none"])[0].decode()
                    self.asked.append(canary)
                    mode = self.mode or next(self._turns)
                    name = f"honest-{next(_names)}"
                    await self._answer(writer, mode, Told(canary, name))
                await writer.drain()
            finally:
                writer.close()
                await writer.wait_closed()

    async def _answer(self, writer: asyncio.StreamWriter, mode: str, told: Told) -> None:
        for part in MODES[mode][0](told):
            if part is None:
                writer.transport.abort()
            elif isinstance(part, float):
                await asyncio.sleep(part)
            else:
                writer.write(part)
                await writer.drain()


_TOPS: Final = {word: -1.0 - place for place, word in enumerate("abcde")}
_LISTS: Final = {"tokens": ["a"], "token_logprobs": [-1.0], "top_logprobs": [_TOPS]}
_PROBED: Final = {"id": "p", "choices": [{"index": 0, "text": "a", "logprobs": _LISTS}]}


def _document(writer: asyncio.StreamWriter, document: Any) -> None:
    data = json.dumps(document).encode()
    head = b"content-type: application/json\r\ncontent-length: %d\r\n\r\n" % len(data)
    writer.write(_OK + head + data)


async def _main() -> None:
    async with Host(mode="").serve() as host:
        sys.stdout.write(f"{host.port}\n")
        sys.stdout.flush()
        await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(_main())
