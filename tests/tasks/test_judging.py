"""P(True): within the same request the model judges its answer."""

from array import array
from collections.abc import AsyncGenerator, Awaitable, Callable
from dataclasses import dataclass, field, replace

import pytest

from appliance.app import Services
from appliance.serving.backend import ModelBackend, PreparedRequest
from appliance.statistics.labels import distribution
from appliance.tasks.backend import TaskBackend
from appliance.tasks.judging import QUESTION
from appliance.types import Delta, GenerationRequest, ModelCard, Principal, Sampling
from tests.tasks.example import BLEND, LABELS, coefficients
from tests.tasks.test_backend import APP, ASKED, answered, backend
from tests.tasks.test_loaded import loaded

JUDGED = ASKED.needing(decisions=True, p_true=True)


async def by_hand(over: TaskBackend, answer: str) -> tuple[float, int]:
    """Probability of "yes" after the question, and length of that prompt."""
    asked = over.asked(ASKED)
    turns = ({"role": "assistant", "content": answer}, {"role": "user", "content": QUESTION})
    asked = replace(asked, messages=(*(asked.messages or ()), *turns))
    asked = asked.needing(labels=("yes", "no"))
    prepared = await over.model.prepare(asked, APP, 1)
    vector = b"".join([piece.vector async for piece in over.model.run(prepared)])
    return distribution(array("f", vector))[0], prepared.prompt_tokens


@pytest.mark.parametrize("toml", [LABELS, BLEND])
async def test_the_model_is_asked_about_the_answer_that_is_given(
    ready: Services, toml: str
) -> None:
    over = await backend(ready, loaded(toml, classifier_json=coefficients()))
    (plain,) = await answered(over)
    assert plain.about is not None and plain.about.p_true is None
    prepared = await over.prepare(ASKED, APP, 1)
    await over.cancel(prepared)
    length = prepared.prompt_tokens
    (delta,) = await answered(over, JUDGED)
    share, more = await by_hand(over, delta.text)
    about = delta.about
    assert about is not None and delta.text == plain.text
    assert about.p_true == pytest.approx(share, abs=0.02)
    assert about.document()["p_true"] == round(about.p_true or 0, 6)
    assert delta.prompt == length + more  # what the call costs is counted
    assert delta.cached > length  # and most of its prompt was computed already
    hot = replace(JUDGED, sampling=Sampling(temperature=2.0, top_k=1), seed=99)
    (again,) = await answered(over, hot)
    assert again.about is not None and again.about.p_true == pytest.approx(share, abs=0.02)


@dataclass(frozen=True)
class Leaving:
    model: ModelBackend
    leave: list[Callable[[], Awaitable[None]]] = field(default_factory=list)

    @property
    def card(self) -> ModelCard:
        return self.model.card

    async def prepare(
        self, request: GenerationRequest, principal: Principal, seed: int
    ) -> PreparedRequest:
        prepared = await self.model.prepare(request, principal, seed)
        if request.task.labels == ("yes", "no"):
            await self.leave[0]()
        return prepared

    def run(self, prepared: PreparedRequest) -> AsyncGenerator[Delta, None]:
        return self.model.run(prepared)

    async def cancel(self, prepared: PreparedRequest) -> None:
        await self.model.cancel(prepared)


async def test_a_request_that_is_cancelled_meanwhile_gives_no_answer(ready: Services) -> None:
    over = await backend(ready, loaded(LABELS))
    model = Leaving(over.model)
    over = replace(over, model=model)
    prepared = await over.prepare(JUDGED, APP, 1)
    model.leave.append(lambda: over.cancel(prepared))
    (delta,) = [piece async for piece in over.run(prepared)]
    assert (delta.text, delta.finish_reason, delta.about) == ("", "cancelled", None)
    (after,) = await answered(await backend(ready, loaded(LABELS)), JUDGED)
    assert after.about is not None and after.about.p_true is not None
