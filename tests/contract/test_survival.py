"""What other people's requests and a dying engine may not do to an answer."""

import asyncio
import os
import signal

import httpx
import openai
import pytest
from openai import AsyncOpenAI, OpenAI
from openai.types.chat import ChatCompletionMessageParam

from tests.contract.conftest import Live

pytestmark = pytest.mark.xdist_group("the servers of tests/contract")

QUESTIONS = [
    f"Tell me about {thing}. " + "Be brief. " * (5 * n)
    for n, thing in enumerate(
        ["pumps", "the sea", "Paris", "bread", "the moon", "a valve", "winter", "gold"]
    )
]


def asked(question: str) -> list[ChatCompletionMessageParam]:
    return [{"role": "user", "content": question}]


async def stream(client: AsyncOpenAI, model: str, question: str) -> tuple[str, str]:
    text, finish = "", ""
    answer = await client.chat.completions.create(
        model=model, messages=asked(question), temperature=0, max_tokens=24, stream=True
    )
    async for chunk in answer:
        text += chunk.choices[0].delta.content or ""
        finish = chunk.choices[0].finish_reason or finish
    return text, finish


async def test_eight_clients_at_once_read_what_each_would_read_alone(
    three_models: Live,
) -> None:
    live = three_models
    async with AsyncOpenAI(base_url=live.base_url, api_key=live.api_key) as client:
        alone = [await stream(client, live.model, q) for q in QUESTIONS]
        together = await asyncio.gather(*(stream(client, live.model, q) for q in QUESTIONS))
        assert together == alone
        assert all(finish in {"stop", "length"} for _, finish in alone)
        # Control: the comparison can fail, since no two questions have the same answer.
        assert len({text for text, _ in alone}) == len(QUESTIONS)


def test_a_killed_worker_ends_its_stream_with_an_error_and_serves_again(live_server: Live) -> None:
    live = live_server
    (before,) = live.run("status", "--json").document["workers"]
    with OpenAI(base_url=live.base_url, api_key=live.api_key, max_retries=0) as client:
        answer = client.chat.completions.create(
            model=live.model, messages=asked("Count to a thousand."), stream=True,
            max_tokens=2000, extra_body={"ignore_eos": True},
        )  # fmt: skip
        chunks = iter(answer)
        next(chunks)
        os.kill(before["pid"], signal.SIGKILL)
        with pytest.raises(openai.APIError, match="engine"):
            for _ in chunks:
                pass
        wait_until_ready(live)
        again = client.with_options(max_retries=5).chat.completions.create(
            model=live.model, messages=asked("Hello"), max_tokens=4
        )
        assert again.choices[0].message.content
    (after,) = live.run("status", "--json").document["workers"]
    assert (after["restarts"], after["pid"] != before["pid"]) == (before["restarts"] + 1, True)
    found = live.run("audit", "search", "--kind", "worker", "--json").document["entries"]
    assert [e["body"]["status"] for e in found if e["body"]["event"] == "exit"] == [-9]
    live.run("audit", "verify")


def wait_until_ready(live: Live) -> None:
    ready = live.base_url.removesuffix("v1") + "readyz"
    while httpx.get(ready).status_code != httpx.codes.OK:
        pass
