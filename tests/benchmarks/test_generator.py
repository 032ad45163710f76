"""The load generator against a server that answers from a script."""

import asyncio
import json
from collections.abc import AsyncIterator, Sequence

import pytest

from benchmarks.generator import Answer, Generator
from benchmarks.loads import Ask, Group, Load, chat, completion, documents
from benchmarks.measure import drive

USAGE = {"prompt_tokens": 9, "completion_tokens": 5, "prompt_tokens_details": {"cached_tokens": 4}}


def event(value: object) -> bytes:
    return b"data: " + json.dumps(value).encode() + b"\n\n"


def text(piece: str) -> bytes:
    return event({"choices": [{"index": 0, "text": piece, "finish_reason": None}], "usage": None})


STREAM = (
    text("ab"),
    b": a comment\n\n",
    text(""),
    text("c"),
    event({"choices": [], "usage": USAGE}),
)
DONE = b"data: [DONE]\n\n"


class Script:
    """Answers every request alike, in chunks; keeps the requests."""

    def __init__(
        self, pieces: Sequence[bytes], status: str = "200 OK", *, whole: bool = True
    ) -> None:
        self.requests: list[tuple[str, dict[str, object]]] = []
        self.routes: list[str] = []
        self.at_once = self.most_at_once = 0
        self._pieces, self._status, self._whole = pieces, status, whole
        self.port = 0

    async def __call__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        fields = dict(
            line.lower().split(": ", 1) for line in head.split("\r\n")[1:] if ": " in line
        )
        self.routes.append(head.split(" ")[1])
        body = json.loads(await reader.readexactly(int(fields["content-length"])))
        self.requests.append((fields["authorization"], body))
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        writer.write(f"HTTP/1.1 {self._status}\r\nTransfer-Encoding: chunked\r\n\r\n".encode())
        for piece in self._pieces:
            writer.write(b"%x\r\n%b\r\n" % (len(piece), piece))
            await writer.drain()
            await asyncio.sleep(0)
        if self._whole:
            writer.write(b"0\r\n\r\n")
        self.at_once -= 1
        writer.close()


@pytest.fixture
async def started() -> AsyncIterator[list[asyncio.Server]]:
    servers: list[asyncio.Server] = []
    yield servers
    for server in servers:
        server.close()
        await server.wait_closed()


async def answers(
    script: Script, started: list[asyncio.Server], *groups: Group, seconds: float | None = None
) -> list[Answer]:
    server = await asyncio.start_server(script, "127.0.0.1", 0)
    started.append(server)
    port = server.sockets[0].getsockname()[1]
    generator = Generator(Load("127.0.0.1", port, list(groups), seconds))
    await generator.run()
    return generator.answers


def group(count: int = 1, concurrency: int = 1, **fields: bool) -> Group:
    return Group("app", "secret", [Ask(completion("x", 5))] * count, concurrency, **fields)


async def test_one_answer(started: list[asyncio.Server]) -> None:
    script = Script([*STREAM, DONE])
    (answer,) = await answers(script, started, group())
    assert answer.error == ""
    assert answer.text == "abc"
    assert len(answer.stamps) == 2  # pieces of text; the empty one and the comment are none
    assert (answer.prompt_tokens, answer.completion_tokens, answer.cached_tokens) == (9, 5, 4)
    assert answer.begun <= answer.stamps[0] <= answer.stamps[1] <= answer.ended
    assert script.requests[0][0] == "bearer secret"
    assert script.requests[0][1]["stream_options"] == {"include_usage": True}


async def test_a_chat_has_a_route_and_a_form_of_its_own(started: list[asyncio.Server]) -> None:
    def delta(**fields: object) -> bytes:
        return event({"choices": [{"index": 0, "delta": fields, "finish_reason": None}]})

    usage = event({"choices": [], "usage": USAGE})
    script = Script(
        [delta(role="assistant", content=""), delta(content="ab"), delta(), usage, DONE]
    )
    found = await answers(script, started, Group("app", "k", [Ask(chat("m", "x", 5))], 1), group())
    one = next(answer for answer in found if answer.group == "app" and answer.text)
    assert (one.error, one.text, len(one.stamps), one.completion_tokens) == ("", "ab", 1, 5)
    assert sorted(script.routes) == ["/v1/chat/completions", "/v1/completions"]


@pytest.mark.parametrize("size", [1, 7])
async def test_an_event_may_come_in_pieces(size: int, started: list[asyncio.Server]) -> None:
    stream = b"".join(STREAM) + DONE
    pieces = [stream[i : i + size] for i in range(0, len(stream), size)]
    (answer,) = await answers(Script(pieces), started, group())
    assert (answer.error, answer.text, answer.completion_tokens) == ("", "abc", 5)


async def test_no_more_at_once_than_asked_for(started: list[asyncio.Server]) -> None:
    script = Script([*STREAM, DONE])
    found = await answers(script, started, group(20, 4))
    assert len(found) == 20
    assert script.most_at_once <= 4


async def test_a_refusal_is_an_error(started: list[asyncio.Server]) -> None:
    script = Script([b'{"error": {"code": "queue_full"}}'], "429 Too Many Requests")
    (answer,) = await answers(script, started, group())
    assert answer.error.startswith("HTTP 429") and "queue_full" in answer.error


async def test_an_error_in_the_stream(started: list[asyncio.Server]) -> None:
    script = Script([text("a"), event({"error": {"code": "worker_lost"}}), DONE])
    (answer,) = await answers(script, started, group())
    assert "worker_lost" in answer.error


async def test_a_stream_without_usage_is_an_error(started: list[asyncio.Server]) -> None:
    (answer,) = await answers(Script([text("a"), DONE]), started, group())
    assert "without usage" in answer.error


async def test_a_cut_stream_is_an_error(started: list[asyncio.Server]) -> None:
    (answer,) = await answers(Script(STREAM, whole=False), started, group())
    assert "connection was lost" in answer.error
    assert not answer.ended


async def test_nobody_there() -> None:
    generator = Generator(Load("127.0.0.1", 1, [group()]))
    await generator.run()
    assert generator.answers[0].error.startswith("no connection")


async def test_documents_are_validated(started: list[asyncio.Server]) -> None:
    asks = documents(1, 0, task=False)
    script = Script([*STREAM, DONE])
    (answer,) = await answers(script, started, Group("app", "k", asks, 1))
    assert answer.error.startswith("not a valid document")


async def test_planned_moments_are_kept_in_order(started: list[asyncio.Server]) -> None:
    asks = [Ask(completion(str(i), 5), at=0.02 * i) for i in range(4)]
    script = Script([*STREAM, DONE])
    found = await answers(script, started, Group("app", "k", asks, 1))
    assert [body["prompt"] for _, body in script.requests] == ["0", "1", "2", "3"]
    assert all(answer.late >= 0 for answer in found)


async def test_the_background_ends_with_the_foreground(started: list[asyncio.Server]) -> None:
    script = Script([*STREAM, DONE])
    flood = Group("flood", "k", [Ask(completion("x", 5))], 3, background=True)
    found = await answers(script, started, group(30), flood)
    assert sum(a.group == "app" for a in found) == 30
    assert sum(a.group == "flood" for a in found) > 3  # it went around


async def test_the_time_ends_everything(started: list[asyncio.Server]) -> None:
    script = Script([*STREAM, DONE])
    endless = Group("app", "k", [Ask(completion("x", 5), at=60.0)], 1)
    assert await answers(script, started, endless, seconds=0.05) == []


async def test_the_process_answers_for_its_load(started: list[asyncio.Server]) -> None:
    server = await asyncio.start_server(Script([*STREAM, DONE]), "127.0.0.1", 0)
    started.append(server)
    load = Load("127.0.0.1", server.sockets[0].getsockname()[1], [group(3, 2)])
    found = await asyncio.to_thread(drive, load)
    assert [(a.error, a.text, a.completion_tokens) for a in found] == [("", "abc", 5)] * 3
