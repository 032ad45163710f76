"""Choices, log-probabilities and echo with a real worker and a real log."""

import asyncio
import math
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest
import pytest_asyncio

from appliance.app import Services, open_services
from appliance.config import Config, EngineConfig, ModelConfig
from appliance.errors import BadRequest
from appliance.serving.generation import Generation
from appliance.types import Constraint, Delta, Limits, Principal, TokenLogprob
from tests.smol import caller, idle, loaded, request

pytestmark = pytest.mark.asyncio(loop_scope="module")
# A choice is compared with the same choice in other company, which only this mode promises.
ALIKE = Config(
    engine=EngineConfig(threads=1),
    models={"default": ModelConfig(n_ctx=512, slots=2, reproducible=True)},
)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def opened(smol_data: Path) -> AsyncIterator[Services]:
    with open_services(smol_data, config=ALIKE) as services:
        async with loaded(services):
            yield services


@pytest_asyncio.fixture(loop_scope="module")
async def ready(opened: Services) -> AsyncIterator[Services]:
    yield opened
    await idle(opened)


async def answer(services: Services, **asked: object) -> tuple[Generation, list[list[Delta]]]:
    generation = await services.inference.begin(caller(), request(**asked))  # type: ignore[arg-type]
    pieces: list[list[Delta]] = [[] for _ in range(generation.choices)]
    async for delta in generation:
        pieces[delta.index].append(delta)
    return generation, pieces


def text(pieces: list[Delta]) -> str:
    return "".join(delta.text for delta in pieces)


def entries(pieces: list[Delta]) -> list[TokenLogprob]:
    return [entry for delta in pieces for entry in delta.logprobs]


def mean(values: list[TokenLogprob]) -> float:
    return sum(entry.logprob or 0 for entry in values) / len(values)


async def test_greedy_choices_are_equal_and_the_record_holds_each(ready: Services) -> None:
    generation = await ready.inference.begin(caller(), request(n=3))
    texts = ["", "", ""]
    async for delta in generation:
        texts[delta.index] += delta.text
    assert texts[0] and len(set(texts)) == 1
    assert (generation.prompt_tokens, generation.completion_tokens) == (5, 12)
    assert generation.outcome is not None
    for name in ("completion", "completion-1", "completion-2"):
        assert ready.reader.content(generation.outcome.seq, name).decode() == texts[0]


async def test_an_echoed_prompt_has_one_value_for_each_token_but_the_first(ready: Services) -> None:
    asked = request(max_tokens=0, echo=True, logprobs=2)
    deltas = [delta async for delta in await ready.inference.begin(caller(), asked)]
    entries = [entry for delta in deltas for entry in delta.logprobs]
    assert "".join(delta.text for delta in deltas) == asked.prompt
    assert [entry.logprob is None for entry in entries] == [True, False, False, False, False]
    assert all(len(entry.top) == 2 and entry.top[0][1] >= entry.top[1][1] for entry in entries[1:])
    assert deltas[-1].finish_reason == "length"


async def test_choice_i_is_the_answer_to_seed_plus_i(ready: Services) -> None:
    asked = {"temperature": 1.2, "max_tokens": 8}
    _, three = await answer(ready, seed=40, n=3, **asked)
    for index in range(3):
        _, (alone,) = await answer(ready, seed=40 + index, **asked)
        assert text(alone) == text(three[index])
    assert len(set(map(text, three))) == 3


async def test_best_of_answers_with_the_likeliest_and_records_all(ready: Services) -> None:
    asked = {"temperature": 1.5, "max_tokens": 6, "seed": 3, "logprobs": 0}
    _, all_of_them = await answer(ready, n=5, **asked)
    generation, best = await answer(ready, n=2, best_of=5, **asked)
    ranked = sorted(all_of_them, key=lambda pieces: -mean(entries(pieces)))
    assert [text(pieces) for pieces in best] == [text(pieces) for pieces in ranked[:2]]
    assert [text(p) for p in ranked] != [text(p) for p in all_of_them]  # the order did change
    assert all(len(pieces) == 1 for pieces in best)  # nothing leaves before the end
    assert generation.completion_tokens == 30
    assert generation.outcome is not None
    for index, pieces in enumerate(all_of_them):
        name = f"completion-{index}" if index else "completion"
        assert ready.reader.content(generation.outcome.seq, name).decode() == text(pieces)


async def test_best_of_ranks_without_telling_values(ready: Services) -> None:
    asked = {"temperature": 1.5, "max_tokens": 6, "seed": 3, "n": 1, "best_of": 5}
    _, (told,) = await answer(ready, logprobs=0, **asked)
    _, (untold,) = await answer(ready, **asked)
    assert text(told) == text(untold)
    assert entries(told) and not entries(untold)


async def test_cancelling_ends_every_choice_and_frees_the_engine(ready: Services) -> None:
    # Two slots: two choices run and one waits in the engine.
    asked = request(max_tokens=150, n=3, temperature=1)
    generation = await ready.inference.begin(caller(), asked)
    first = await anext(aiter(generation))
    assert first.text
    await generation.cancel()
    await asyncio.wait_for(generation.finished(), 60)
    assert generation.completion_tokens < 3 * 150
    assert generation.outcome is not None
    body = ready.reader.entry(generation.outcome.seq).body
    assert body["status"] == "cancelled"
    assert set(str(body["finish"]).split(",")) <= {"cancelled", "stop"}
    await idle(ready)


SCHEMA = Constraint("json_schema", '{"type":"object","properties":{"valve":{"enum":["open"]}},'
    '"required":["valve"],"additionalProperties":false}')  # fmt: skip


async def test_a_constrained_answer_has_a_value_for_every_token(ready: Services) -> None:
    asked = {
        "constraint": SCHEMA,
        "max_tokens": 30,
        "ignore_eos": False,
        "temperature": 1,
        "seed": 2,
    }
    fast, (forced,) = await answer(ready, **asked)
    slow, (told,) = await answer(ready, logprobs=2, **asked)
    assert text(forced) == text(told) == '{"valve":"open"}'
    values = entries(told)
    assert len(values) in (slow.completion_tokens, slow.completion_tokens - 1)
    assert b"".join(entry.token for entry in values[: slow.completion_tokens]).startswith(
        text(told).encode()
    )
    # They are the model's own: free of the grammar, which would have made them all certain.
    assert any(entry.top[0][0] != entry.token for entry in values)
    assert all(sum(math.exp(value) for _, value in entry.top) < 1 + 1e-6 for entry in values)
    assert not entries(forced)
    assert fast.completion_tokens >= slow.completion_tokens - 1


async def test_every_choice_counts_for_the_quota_and_the_turn(ready: Services) -> None:
    limited = replace(caller(), principal=Principal("k9", "limited", limits=Limits(tpm=100)))
    with pytest.raises(BadRequest) as caught:
        await ready.inference.begin(limited, request(max_tokens=30, n=1, best_of=4))
    assert caught.value.code == "request_exceeds_quota"
    generation = await ready.inference.begin(limited, request(max_tokens=30, n=1, best_of=3))
    assert generation._place._ticket.cost == 5 + 2 * 3 * 30  # what is written counts twice
    await generation.finished()
    assert (generation.prompt_tokens, generation.completion_tokens) == (5, 90)
