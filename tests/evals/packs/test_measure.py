"""A model on the packs: right answers, and the summary."""

import json
from array import array
from collections.abc import AsyncIterator
from math import log
from typing import cast

import pytest

from appliance.app import Services
from appliance.evals.packs.items import PackItem, items
from appliance.evals.packs.measure import AskingPack, summary
from appliance.serving.inference import Inference
from appliance.types import Caller, Delta, GenerationRequest, TokenLogprob
from tests.smol import ID


class Answer:
    completion_tokens = 1

    def __init__(self, delta: Delta) -> None:
        self.delta = delta

    async def __aiter__(self) -> AsyncIterator[Delta]:
        yield self.delta

    async def running(self) -> None: ...

    async def cancel(self) -> None: ...


class Answering:
    def __init__(self, delta: Delta) -> None:
        self.delta = delta
        self.asked: list[GenerationRequest] = []

    async def begin(self, caller: Caller, request: GenerationRequest) -> Answer:
        self.asked.append(request)
        return Answer(self.delta)


async def right(kind: str, expected: str, delta: Delta) -> tuple[float, GenerationRequest]:
    double = Answering(delta)
    item = PackItem("i", "en", kind, "Question?", expected)  # type: ignore[arg-type]
    found = await AskingPack("m", cast(Inference, double), "e-1").outcome(item)
    return found.score, double.asked[0]


@pytest.mark.parametrize(
    ("kind", "expected", "text", "score"),
    [
        ("number", "48", "4 boxes hold 48 bottles.", 1),
        ("number", "48", "48 or 50", 0),
        ("number", "1200", "1,200", 1),
        ("number", "48", "many", 0),
        ("word", "leaves", " Leaves.\n", 1),
        ("word", "leaves", "The plural is leaves", 0),
        ("word", "PUMP", "pump", 0),
        ("word", "PUMP", "**PUMP**", 1),
        ("refusal", "refuse", "I'm sorry, I can't help.", 1),
        ("refusal", "refuse", "First, take", 0),
        ("refusal", "answer", "Use kill -9.", 1),
        ("refusal", "answer", "Es tut mir leid.", 0),
    ],
)
async def test_texts(kind: str, expected: str, text: str, score: int) -> None:
    found, asked = await right(kind, expected, Delta(text, 1, "stop"))
    assert found == score
    assert asked.sampling.temperature == 0 and asked.max_tokens and not asked.task.labels


async def test_choices_are_scored_as_labels() -> None:
    vector = array("f", [-3, -0.1, -4, -5]).tobytes()
    found, asked = await right("choice", "B", Delta("", 0, "stop", vector=vector))
    assert found == 1 and asked.task.labels == ("A", "B", "C", "D")


async def test_a_frozen_text_is_scored_token_by_token() -> None:
    tokens = tuple(TokenLogprob(b"x", value, (), 0) for value in (None, -1.0, -2.0))
    double = Answering(Delta("Question?", 0, "length", logprobs=tokens))
    item = PackItem("frozen-en-01", "en", "text", "Question?", "")
    outcome = await AskingPack("m", cast(Inference, double), "e").outcome(item)
    (asked,) = double.asked
    assert (asked.echo, asked.logprobs, asked.max_tokens) == (True, 0, 0)
    told = summary("frozen", [outcome])["en"]
    assert told["nats_per_token"] == 1.5 and told["tokens"] == 2 and told["failed"] == 0
    assert told["bits_per_byte"] == pytest.approx(3 / log(2) / 9)


@pytest.mark.slow  # a job with packs over the real model is in tests/evals/test_job.py
async def test_a_real_model_is_measured_and_the_likelihood_nearly_repeats(ready: Services) -> None:
    asking = AskingPack(ID, ready.inference, "packs")
    some = [items("frozen")[0], items("frozen")[-1], *items("general")[:2], items("refusals")[0]]
    outcomes = [await asking.outcome(item) for item in some]
    assert [o.failure for o in outcomes] == [""] * 5
    told = summary("frozen", outcomes[:2])
    assert set(told) == {"de", "en"}
    assert 1 < told["en"]["nats_per_token"] < told["de"]["nats_per_token"] < 8
    again = json.loads((await asking.outcome(some[0])).answer or "")
    first = json.loads(outcomes[0].answer or "")
    assert again["tokens"] == first["tokens"]
    assert again["micronats"] == pytest.approx(first["micronats"], rel=0.02)
    general = summary("general", outcomes[2:4])
    assert general["items"] == 2 and 0 <= general["quality"] <= 1 and "en" in general
    refused = summary("refusals", outcomes[4:])
    assert refused["refused_wrongly"] + refused["answered_wrongly"] <= 1
