"""The life of an answer beside its client: when the client leaves, the work ends."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from starlette.types import Message

from appliance.api.openai import answer
from appliance.api.openai.answer import ClientGone, while_connected
from appliance.types import Delta
from tests.api.conftest import Lan
from tests.api.fake import ANSWER

CHAT = "/v1/chat/completions"


class Connection:
    """One request to an app, message by message, with a client that can leave."""

    def __init__(self, lan: Lan, body: dict[str, Any]) -> None:
        self.sent: asyncio.Queue[Message] = asyncio.Queue()
        self.leave = asyncio.Event()
        self._body: bytes | None = json.dumps(body).encode()
        headers = {"authorization": f"Bearer {lan.secret}", "content-type": "application/json"}
        scope = {
            "type": "http", "asgi": {"version": "3.0"}, "http_version": "1.1", "method": "POST",
            "scheme": "http", "path": CHAT, "raw_path": CHAT.encode(), "query_string": b"",
            "root_path": "", "client": ("127.0.0.1", 5), "server": ("lan", 80),
            "headers": [(k.encode(), v.encode()) for k, v in headers.items()],
        }  # fmt: skip
        self.serving = asyncio.ensure_future(lan.app(scope, self._receive, self.sent.put))

    async def _receive(self) -> Message:
        if self._body is not None:
            body, self._body = self._body, None
            return {"type": "http.request", "body": body, "more_body": False}
        await self.leave.wait()
        return {"type": "http.disconnect"}


async def test_leaving_in_mid_stream_cancels(lan: Lan, chat_body: dict[str, Any]) -> None:
    lan.inference.script = (Delta("Hel", 1), asyncio.Event())
    connection = Connection(lan, {**chat_body, "stream": True})
    assert (await connection.sent.get())["type"] == "http.response.start"
    assert b"Hel" in (await connection.sent.get())["body"]
    (generation,) = lan.inference.generations
    assert not generation.cancelled.is_set()
    connection.leave.set()
    await connection.serving
    assert generation.cancelled.is_set() and connection.sent.empty()


@pytest.mark.parametrize("stream", [True, False])
async def test_leaving_before_the_first_token_cancels(
    lan: Lan, chat_body: dict[str, Any], stream: bool
) -> None:
    waiting = asyncio.Event()
    lan.inference.script = (waiting,)
    connection = Connection(lan, {**chat_body, "stream": stream})
    while not lan.inference.generations:
        await asyncio.sleep(0)
    connection.leave.set()
    await connection.serving
    assert lan.inference.generations[0].cancelled.is_set() and connection.sent.empty()


async def test_leaving_while_a_document_is_made_cancels(
    lan: Lan, chat_body: dict[str, Any]
) -> None:
    lan.inference.script = (Delta("Hel", 1), asyncio.Event(), Delta("lo", 1, "stop"))
    connection = Connection(lan, chat_body)
    while not (lan.inference.generations and lan.inference.generations[0].completion_tokens):
        await asyncio.sleep(0)
    connection.leave.set()
    await connection.serving
    assert lan.inference.generations[0].cancelled.is_set() and connection.sent.empty()


async def test_leaving_during_the_start_lets_the_intent_be_recorded_and_then_cancels(
    lan: Lan, chat_body: dict[str, Any]
) -> None:
    lan.inference.hold = asyncio.Event()
    connection = Connection(lan, chat_body)
    await lan.inference.starting.wait()
    connection.leave.set()
    for _ in range(20):
        await asyncio.sleep(0)
    assert not connection.serving.done()  # it does wait for the start
    lan.inference.hold.set()
    await connection.serving
    (generation,) = lan.inference.generations
    assert generation.cancelled.is_set() and generation.intent.seq > 0


async def test_leaving_during_a_start_that_fails_is_silent(
    lan: Lan, chat_body: dict[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    lan.inference.hold, lan.inference.refusal = asyncio.Event(), RuntimeError("x")
    connection = Connection(lan, chat_body)
    await lan.inference.starting.wait()
    connection.leave.set()
    for _ in range(5):
        await asyncio.sleep(0)
    lan.inference.hold.set()
    await connection.serving
    assert connection.sent.empty() and not caplog.records


async def test_a_client_that_stays_gets_its_answer(lan: Lan, chat_body: dict[str, Any]) -> None:
    connection = Connection(lan, chat_body)
    await connection.serving
    assert (await connection.sent.get())["status"] == 200
    assert b"Hello" in (await connection.sent.get())["body"]


async def test_a_server_that_stops_cancels_too(lan: Lan, chat_body: dict[str, Any]) -> None:
    lan.inference.script = (Delta("Hel", 1), asyncio.Event())
    connection = Connection(lan, {**chat_body, "stream": True})
    await connection.sent.get()
    connection.serving.cancel()
    with pytest.raises(asyncio.CancelledError):
        await connection.serving
    assert lan.inference.generations[0].cancelled.is_set()


# while_connected


async def never() -> Message:
    return await asyncio.Future()


def gone_after(*messages: str) -> Callable[[], Awaitable[Message]]:
    queue = [{"type": m} for m in messages]

    async def receive() -> Message:
        return queue.pop(0) if queue else await never()

    return receive


async def test_work_that_ends_first_gives_its_result_or_its_error() -> None:
    async def work() -> int:
        return 5

    async def failing() -> int:
        raise ValueError("x")

    assert await while_connected(never, work()) == 5
    with pytest.raises(ValueError, match="x"):
        await while_connected(never, failing())


async def test_only_a_disconnect_ends_the_work_and_the_work_has_ended_then() -> None:
    ended = []

    async def work() -> None:
        try:
            await asyncio.Future()
        finally:
            await asyncio.sleep(0)
            ended.append(True)

    with pytest.raises(ClientGone):
        await while_connected(gone_after("http.request", "http.disconnect"), work())
    assert ended == [True]


async def test_a_stream_that_waits_says_that_it_lives(
    lan: Lan, chat_body: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(answer, "SILENCE_S", 0.01)
    turn = asyncio.Event()
    lan.inference.script = (turn, *ANSWER)
    connection = Connection(lan, {**chat_body, "stream": True})
    assert (await connection.sent.get())["status"] == 200
    while (message := await connection.sent.get())["body"] != b": waiting\n\n":
        assert b'"role"' in message["body"]
    turn.set()
    await connection.serving
    rest = b""
    while not connection.sent.empty():
        rest += connection.sent.get_nowait()["body"]
    assert b"Hel" in rest and rest.endswith(b"data: [DONE]\n\n") and b'"role"' not in rest
