"""A classifier answers like a model: prepared, run, cancelled, and bounded."""

import tracemalloc
from collections.abc import AsyncGenerator
from dataclasses import replace

import numpy as np
import pytest

from appliance.errors import BadRequest
from appliance.serving.backend import PreparedRequest, Provenance
from appliance.tasks.classifying import ClassifierBackend
from appliance.types import Delta, GenerationRequest, ModelCard, Principal
from tests.tasks.example import CLASSIFIER, by_vectors, coefficients
from tests.tasks.test_loaded import MINILM, loaded

APP = Principal("k1", "app")
CARD = ModelCard("orders", "ab" * 32, 0, 1, form="labels")
TASK = loaded(CLASSIFIER, classifier_json=coefficients())
OVER = ClassifierBackend(TASK, CARD)


def asked(text: str = "hose leaks") -> GenerationRequest:
    return GenerationRequest("orders", messages=({"role": "user", "content": text},))


async def test_it_answers_with_the_label_and_reads_no_token() -> None:
    prepared = await OVER.prepare(asked(), APP, seed=1)
    assert (prepared.prompt_tokens, prepared.max_tokens, prepared.choices) == (0, 0, 1)
    named = prepared.provenance
    assert (named.digest, named.task) == (TASK.classifier_digest, TASK.digest)
    assert "numpy" in named.engine and named.template == ""
    assert prepared.request.prompt == "hose leaks"  # what the log keeps
    (delta,) = [piece async for piece in OVER.run(prepared)]
    assert (delta.text, delta.tokens, delta.finish_reason) == ("hydraulics", 0, "stop")
    assert delta.about is not None and delta.about.kind == "classifier"
    assert delta.about.confidence == max(share for _, share in delta.about.distribution)


async def test_what_was_cancelled_gives_no_answer() -> None:
    prepared = await OVER.prepare(asked(), APP, seed=1)
    await OVER.cancel(prepared)
    (delta,) = [piece async for piece in OVER.run(prepared)]
    assert (delta.text, delta.finish_reason, delta.about) == ("", "cancelled", None)


async def test_settings_and_unknown_fields_are_refused_as_for_a_model() -> None:
    for request, code in (
        (replace(asked(), n=2), "task_parameter"),
        (asked('{"words": "a"}' * 50), "task_input_invalid"),
    ):
        with pytest.raises(BadRequest) as caught:
            await OVER.prepare(request, APP, seed=1)
        assert caught.value.code == code


@pytest.mark.parametrize("text", ["a" * 10_000_000, "ab " * 3_300_000, "\U0001f600" * 10_000_000])
async def test_ten_million_characters_are_refused_or_cost_no_more_than_the_first_of_them(
    text: str,
) -> None:
    with pytest.raises(BadRequest) as caught:
        await OVER.prepare(asked(text), APP, seed=1)
    assert caught.value.code == "task_input_invalid"
    wide = loaded(
        CLASSIFIER.replace("max_chars = 500", "max_chars = 1_000_000"),
        classifier_json=coefficients(),
    )
    over = ClassifierBackend(wide, CARD)
    prepared = await over.prepare(asked(text[:1_000_000]), APP, seed=1)
    tracemalloc.start()
    (delta,) = [piece async for piece in over.run(prepared)]
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert delta.finish_reason == "stop" and delta.about is not None
    assert most < 64 << 20


class Embedder:
    """The second unit vector, or no answer."""

    card = CARD

    def __init__(self, finish: str = "stop") -> None:
        self.asked: list[GenerationRequest] = []
        self.cancelled = 0
        self._finish = finish

    async def prepare(
        self, request: GenerationRequest, principal: Principal, seed: int
    ) -> PreparedRequest:
        self.asked.append(request)
        origin = Provenance("minilm", "ab" * 32, 1, "e", None)
        return PreparedRequest(request, 7, seed, 3, 0, origin)

    async def run(self, prepared: PreparedRequest) -> AsyncGenerator[Delta, None]:
        vector = np.array([0, 1, 0], "<f4").tobytes()
        yield Delta("", 0, self._finish, vector=vector)

    async def cancel(self, prepared: PreparedRequest) -> None:
        self.cancelled += 1


async def test_neighbours_are_asked_with_the_vector_of_the_input() -> None:
    toml = CLASSIFIER.replace("[prompt]", MINILM)
    task, embedder = loaded(toml, classifier_json=by_vectors("ab" * 32)), Embedder()
    over = ClassifierBackend(task, CARD, embedder)
    prepared = await over.prepare(asked(), APP, seed=1)
    assert (embedder.asked[0].model, embedder.asked[0].texts) == ("minilm", ("hose leaks",))
    assert (prepared.prompt_tokens, prepared.provenance.task) == (3, task.digest)
    (delta,) = [piece async for piece in over.run(prepared)]
    assert (delta.text, delta.vector) == ("engine", b"")
    await over.cancel(prepared)
    assert embedder.cancelled == 1
    ended = ClassifierBackend(task, CARD, Embedder("cancelled"))
    (delta,) = [piece async for piece in ended.run(prepared)]
    assert (delta.finish_reason, delta.about) == ("cancelled", None)
