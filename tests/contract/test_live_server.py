"""The unmodified `openai` package against `appliance serve` with a real model."""

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import openai
import pytest
from openai import AsyncOpenAI, OpenAI
from openai.types.chat import ChatCompletionMessageParam
from pydantic import BaseModel

from tests.contract.conftest import Live

pytestmark = pytest.mark.xdist_group("the servers of tests/contract")

QUESTION: list[ChatCompletionMessageParam] = [
    {"role": "system", "content": "You answer in one sentence."},
    {"role": "user", "content": "Why does a pump need a relief valve?"},
]


@pytest.fixture
def client(live_server: Live) -> Iterator[OpenAI]:
    with OpenAI(base_url=live_server.base_url, api_key=live_server.api_key) as made:
        yield made


def test_a_streamed_answer_says_what_the_whole_one_says(client: OpenAI, live_server: Live) -> None:
    """Few tokens: the second answer finds its prompt cached, and two likely words may then swap."""
    whole = client.chat.completions.create(
        model=live_server.model, messages=QUESTION, max_completion_tokens=8, temperature=0
    )
    with client.chat.completions.create(
        model=live_server.model, messages=QUESTION, max_tokens=8, temperature=0, stream=True,
        stream_options={"include_usage": True},
    ) as stream:  # fmt: skip
        *chunks, last = list(stream)
    choice = whole.choices[0]
    assert choice.message.content
    assert "".join(c.choices[0].delta.content or "" for c in chunks) == choice.message.content
    finishes = [c.choices[0].finish_reason for c in chunks if c.choices[0].finish_reason]
    assert finishes == [choice.finish_reason]
    assert whole.usage and last.usage
    assert last.usage.prompt_tokens == whole.usage.prompt_tokens > 10
    assert last.usage.completion_tokens == whole.usage.completion_tokens <= 8
    assert chunks[0].system_fingerprint == whole.system_fingerprint


def test_completions_continue_text_and_tokens(client: OpenAI, live_server: Live) -> None:
    prompts: list[str | list[int]] = ["The sky is", [504, 6376]]
    text, tokens = (
        client.completions.create(model=live_server.model, prompt=p, max_tokens=8, temperature=0)
        for p in prompts
    )
    assert text.choices[0].text and tokens.choices[0].text
    assert text.usage and 0 < text.usage.completion_tokens <= 8
    assert tokens.usage and tokens.usage.prompt_tokens == 2


def test_a_stop_string_ends_the_text_before_it(client: OpenAI, live_server: Live) -> None:
    answer = client.completions.create(
        model=live_server.model, prompt="1, 2, 3, 4,", max_tokens=40, temperature=0, stop=" 7"
    )
    assert answer.choices[0].finish_reason == "stop"
    assert "5" in answer.choices[0].text and "7" not in answer.choices[0].text


def test_the_same_seed_gives_the_same_text(client: OpenAI, live_server: Live) -> None:
    texts = {
        seed: client.chat.completions.create(
            model=live_server.model, messages=QUESTION, max_tokens=12, seed=seed, temperature=1
        ).choices[0].message.content
        for seed in (1, 2)
    }  # fmt: skip
    again = client.chat.completions.create(
        model=live_server.model, messages=QUESTION, max_tokens=12, seed=1, temperature=1
    )
    assert again.choices[0].message.content == texts[1] != texts[2]


def test_what_the_engine_refuses_is_a_400_that_names_the_reason(
    client: OpenAI, live_server: Live
) -> None:
    limit = client.models.retrieve(live_server.model).to_dict()["max_model_len"]
    with pytest.raises(openai.BadRequestError) as caught:
        client.chat.completions.create(
            model=live_server.model, messages=[{"role": "user", "content": "pump " * 20_000}]
        )
    assert caught.value.code == "context_length_exceeded"
    message = f"This model's maximum context length is {limit} tokens"
    assert isinstance(caught.value.body, dict)
    assert caught.value.body["message"].startswith(message)
    with pytest.raises(openai.BadRequestError) as caught:
        client.completions.create(model=live_server.model, prompt=[10**9], max_tokens=1)
    assert caught.value.code == "invalid_value"


def test_choices_come_whole_and_streamed_with_their_values(
    client: OpenAI, live_server: Live
) -> None:
    whole = client.chat.completions.create(
        model=live_server.model, messages=QUESTION, max_tokens=8, n=3, seed=5, logprobs=True,
        top_logprobs=2, extra_body={"ignore_eos": True},
    )  # fmt: skip
    assert [choice.index for choice in whole.choices] == [0, 1, 2]
    assert len({choice.message.content for choice in whole.choices}) > 1
    assert all(c.logprobs and len(c.logprobs.content or []) == 8 for c in whole.choices)
    assert whole.usage and whole.usage.completion_tokens == 24
    texts, finishes = ["", "", ""], []
    with client.chat.completions.create(
        model=live_server.model, messages=QUESTION, max_tokens=8, n=3, stream=True,
        extra_body={"ignore_eos": True},
    ) as stream:  # fmt: skip
        for chunk in stream:
            (choice,) = chunk.choices
            texts[choice.index] += choice.delta.content or ""
            finishes += [choice.index] if choice.finish_reason else []
    assert all(texts) and sorted(finishes) == [0, 1, 2]


def test_an_evaluation_scores_a_text_by_echo(client: OpenAI, live_server: Live) -> None:
    """What lm-eval does: the probability of a continuation, with nothing generated."""
    scores: dict[str, float] = {}
    for word in (" Paris", " spoon"):
        answer = client.completions.create(
            model=live_server.model, prompt=f"The capital of France is{word}", max_tokens=0,
            echo=True, logprobs=1, temperature=0,
        )  # fmt: skip
        told = answer.choices[0].logprobs
        assert told and told.tokens and told.token_logprobs
        assert "".join(told.tokens) == answer.choices[0].text
        first, *others = list[float | None](told.token_logprobs)
        assert first is None and None not in others and told.tokens[-1] == word
        scores[word] = told.token_logprobs[-1]
    assert scores[" Paris"] > scores[" spoon"]


class Valve(BaseModel):
    """What an app asks the model to fill in."""

    name: str
    open: bool


def test_a_schema_is_enforced(client: OpenAI, live_server: Live) -> None:
    answer = client.chat.completions.parse(
        model=live_server.model, messages=QUESTION, response_format=Valve, max_tokens=100,
        temperature=0,
    )  # fmt: skip
    assert isinstance(answer.choices[0].message.parsed, Valve)


async def test_eight_clients_at_once_get_complete_answers(live_server: Live) -> None:
    async with AsyncOpenAI(base_url=live_server.base_url, api_key=live_server.api_key) as client:

        async def one(word: str) -> tuple[str, str | None]:
            stream = await client.completions.create(
                model=live_server.model, prompt=f"{word} is", max_tokens=16, temperature=0,
                stream=True, extra_body={"ignore_eos": True},
            )  # fmt: skip
            chunks = [chunk.choices[0] async for chunk in stream]
            return "".join(c.text for c in chunks), chunks[-1].finish_reason

        words = ["Water", "Iron", "Gold", "Paris", "Snow", "Coal", "Rome", "Light"]
        answers = await asyncio.gather(*(one(word) for word in words))
    assert all(text and finish == "length" for text, finish in answers)
    assert len({text for text, _ in answers}) == 8


async def test_a_client_that_leaves_frees_the_engine(live_server: Live) -> None:
    async with AsyncOpenAI(base_url=live_server.base_url, api_key=live_server.api_key) as client:
        stream = await client.completions.create(
            model=live_server.model, prompt="Once", stream=True, max_tokens=4000,
            extra_body={"ignore_eos": True},
        )  # fmt: skip
        await anext(aiter(stream))
        assert await asyncio.to_thread(lambda: live_server.running) == 1
        await stream.close()
    async with asyncio.timeout(60):
        while await asyncio.to_thread(lambda: live_server.running):
            pass

    def last() -> Any:
        return live_server.run("audit", "tail", "-n", "1", "--json").document["entries"][0]["body"]

    async with asyncio.timeout(60):  # the engine is free before the record is written
        while (await asyncio.to_thread(last))["kind"] != "outcome":
            pass
    assert last()["status"] == "cancelled"


def test_the_receipt_is_checked_offline(client: OpenAI, live_server: Live, tmp_path: Path) -> None:
    raw = client.chat.completions.with_raw_response.create(
        model=live_server.model, messages=QUESTION, max_tokens=4
    )
    receipt = client.get(f"/receipts/{raw.request_id}", cast_to=httpx.Response).json()
    assert raw.headers["x-appliance-receipt"].split()[:2] == [
        str(receipt["outcome"]["seq"]), receipt["outcome"]["leaf"],
    ]  # fmt: skip
    (tmp_path / "proof").write_text(receipt["proof"])
    data = Path(live_server.run("status", "--json").document["data"])
    checked = live_server.run(
        "audit",
        "check-proof",
        tmp_path / "proof",
        "--key",
        data / "audit" / "genesis.pub",
        "--json",
    )
    assert checked.document["seq"] == receipt["outcome"]["seq"]


def test_readyz_says_yes_without_a_key(live_server: Live) -> None:
    base = live_server.base_url.removesuffix("/v1")
    assert httpx.get(f"{base}/readyz").json() == {"status": "ready"}
    assert httpx.get(f"{base}/v1/models").status_code == 401


WEATHER: dict[str, Any] = {
    "type": "function",
    "function": {
        "name": "weather",
        "parameters": {
            "type": "object",
            "properties": {"city": {"enum": ["Oslo", "Rome"]}},
            "required": ["city"],
            "additionalProperties": False,
        },
    },
}


def test_a_demanded_call_is_made_and_streamed(live_server: Live) -> None:
    with OpenAI(base_url=live_server.base_url, api_key=live_server.api_key) as client:
        asked: dict[str, Any] = {
            "model": live_server.model,
            "messages": [{"role": "user", "content": "Is it cold in Oslo?"}],
            "tools": [WEATHER],
            "tool_choice": "required",
            "parallel_tool_calls": False,
            "max_tokens": 60,
        }
        message = client.chat.completions.create(**asked).choices[0].message
        (call,) = message.tool_calls or []
        assert json.loads(call.function.arguments)["city"] in ("Oslo", "Rome")
        with client.chat.completions.stream(**asked) as stream:
            choice = stream.get_final_completion().choices[0]
        assert choice.finish_reason == "tool_calls"
        (call,) = choice.message.tool_calls or []
        assert json.loads(call.function.arguments)["city"] in ("Oslo", "Rome")


def test_a_response_streams_typed_events(live_server: Live) -> None:
    with OpenAI(base_url=live_server.base_url, api_key=live_server.api_key) as client:
        with client.responses.stream(
            model=live_server.model, input="Say hello.", max_output_tokens=8
        ) as stream:
            kinds = [event.type for event in stream]
        assert kinds[0] == "response.created" and "response.output_text.delta" in kinds
        assert kinds[-1] in ("response.completed", "response.incomplete")


@pytest.mark.parametrize("limit", [24, 40])
def test_a_document_is_closed_before_the_limit(
    client: OpenAI, live_server: Live, limit: int
) -> None:
    """A model this small writes one element after the other."""
    item = {
        "type": "object",
        "properties": {"name": {"type": "string"}, "n": {"type": "integer"}},
        "required": ["name", "n"],
        "additionalProperties": False,
    }
    schema = {"type": "array", "items": item, "minItems": 1}
    form: Any = {"type": "json_schema", "json_schema": {"name": "parts", "schema": schema}}
    (choice,) = client.chat.completions.create(
        model=live_server.model,
        messages=[{"role": "user", "content": "List a hundred parts of a pump."}],
        response_format=form,
        max_tokens=limit,
        temperature=0,
    ).choices
    assert choice.finish_reason == "stop"
    found = json.loads(choice.message.content or "")
    assert found and all(set(one) == {"name", "n"} for one in found)
