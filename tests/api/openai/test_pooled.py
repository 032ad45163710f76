"""Vectors and scores come whole or not at all."""

import asyncio
from functools import partial

import pytest
from starlette.types import Message, Scope

from appliance.api.openai.pooled import PooledAnswer
from appliance.types import Delta, GenerationRequest
from appliance.wire.openai.embeddings import EmbeddingList
from tests.api.conftest import Lan
from tests.api.fake import CARD, worker_lost
from tests.smol import caller

BODY = {"model": CARD.id, "input": ["a", "b"]}


@pytest.mark.parametrize(
    ("script", "code"),
    [
        ((Delta("", 0, vector=b"\0\0\0\0"), Delta("", 0, "cancelled")), "request_cancelled"),
        ((Delta("", 0, vector=b"\0\0\0\0"), worker_lost()), "worker_lost"),
    ],
)
async def test_half_an_answer_is_none(lan: Lan, script: tuple[Delta, ...], code: str) -> None:
    lan.inference.script = script
    reply = await lan.client.post("/v1/embeddings", json=BODY)
    assert (reply.status_code, reply.json()["error"]["code"]) == (503, code)


async def test_a_client_that_leaves_ends_the_work(lan: Lan) -> None:
    lan.inference.script = (asyncio.Event(),)
    wanted = lan.inference.start
    gone = asyncio.Event()

    async def receive() -> Message:
        await gone.wait()
        return {"type": "http.disconnect"}

    async def send(message: Message) -> None:
        raise AssertionError("nobody is there")

    def write(*_: object) -> EmbeddingList:
        raise AssertionError("nothing to write")

    request = GenerationRequest(model=CARD.id, texts=("a",))
    answer = PooledAnswer(partial(wanted, caller(), request), write)
    scope: Scope = {"type": "http"}
    task = asyncio.create_task(answer(scope, receive, send))
    await lan.inference.starting.wait()
    gone.set()
    await task
    assert lan.inference.generations[0].cancelled.is_set()
