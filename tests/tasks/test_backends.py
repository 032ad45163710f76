"""Tasks beside models: a task has its own name, and its model's slots and engine."""

from types import SimpleNamespace
from typing import Any, cast

import pytest

from appliance.errors import NotFound, Unavailable
from appliance.serving.backend import Backends, ModelBackend
from appliance.tasks.backend import TaskBackend
from appliance.tasks.backends import TaskBackends
from appliance.tasks.catalogue import CatalogueEntry, Drafts
from appliance.tasks.classifying import ClassifierBackend
from appliance.tasks.names import TaskNames
from appliance.types import ModelCard
from tests.tasks.example import CLASSIFIER, LABELS, by_vectors, coefficients
from tests.tasks.test_loaded import loaded

TASK = LABELS.replace("16399c58348341f1727030d1fc312a7fb25819f69fcbb6d15fd0687f698a49c4", "ab" * 32)
CARD = ModelCard(id="smollm2-135m", digest="ab" * 32, n_ctx=512, created=1)


class Models:
    def cards(self) -> list[ModelCard]:
        return [CARD]

    def card(self, model_id: str) -> ModelCard:
        if model_id != CARD.id:
            raise NotFound("model_not_found", "There is none.")
        return CARD

    def slots(self, model_id: str) -> int:
        assert model_id == CARD.id
        return 3

    async def open(self, model_id: str, key_id: str, place: Any) -> ModelBackend:
        assert model_id == CARD.id and key_id == "k"
        return cast(ModelBackend, Opened())


class Opened:
    card = CARD


@pytest.fixture
def both() -> TaskBackends:
    return TaskBackends(cast(Backends, Models()), Drafts({"excavator-system": loaded(TASK)}))


def test_tasks_are_listed_before_models(both: TaskBackends) -> None:
    assert [card.id for card in both.cards()] == ["excavator-system", CARD.id]
    assert both.card("excavator-system").digest == CARD.digest
    assert both.card(CARD.id) == CARD
    assert both.slots("excavator-system") == both.slots(CARD.id) == 3
    # One queue for one worker: what a task runs counts as inside its model.
    assert both.card("excavator-system").engine == CARD.engine
    assert (both.card("excavator-system").form, both.card(CARD.id).form) == ("labels", "")


async def test_a_task_opens_over_its_model(both: TaskBackends) -> None:
    assert isinstance(await both.open("excavator-system", "k", cast(Any, None)), TaskBackend)
    assert not isinstance(await both.open(CARD.id, "k", cast(Any, None)), TaskBackend)


def test_a_task_hides_a_model_of_its_name() -> None:
    named = TaskBackends(cast(Backends, Models()), Drafts({CARD.id: loaded(TASK)}))
    assert [card.id for card in named.cards()] == [CARD.id]


async def test_a_task_does_not_answer_over_another_model(both: TaskBackends) -> None:
    other = TaskBackends(cast(Backends, Models()), Drafts({"excavator-system": loaded(LABELS)}))
    await both.open("excavator-system", "k", cast(Any, None))
    with pytest.raises(Unavailable) as caught:
        await other.open("excavator-system", "k", cast(Any, None))
    assert caught.value.code == "task_model_changed"


def test_a_task_without_its_model_is_not_listed_and_does_not_answer() -> None:
    lost = LABELS.replace("smollm2-135m", "gone")
    named = TaskBackends(cast(Backends, Models()), Drafts({"t": loaded(lost)}))
    assert [card.id for card in named.cards()] == [CARD.id]
    with pytest.raises(Unavailable) as caught:
        named.card("t")
    assert caught.value.code == "task_model_missing"


async def test_a_classifier_needs_no_model() -> None:
    task = loaded(CLASSIFIER, classifier_json=coefficients())
    alone = TaskBackends(cast(Backends, Models()), Drafts({"t": task}))
    assert [card.id for card in alone.cards()] == ["t", CARD.id]
    card = alone.card("t")
    assert (card.form, card.kind, card.engine) == ("labels", "generate", "t")
    assert alone.slots("t") >= 1
    assert isinstance(await alone.open("t", "k", cast(Any, None)), ClassifierBackend)


async def test_a_classifier_by_vectors_opens_over_its_embedder() -> None:
    def named(digest: str) -> TaskBackends:
        toml = CLASSIFIER.replace("[prompt]", f'model = "{CARD.id}"\ndigest = "{digest}"\n[prompt]')
        task = loaded(toml, classifier_json=by_vectors(digest))
        return TaskBackends(cast(Backends, Models()), Drafts({"t": task}))

    opened = await named(CARD.digest).open("t", "k", cast(Any, None))
    assert isinstance(opened, ClassifierBackend) and opened.embedder is not None
    with pytest.raises(Unavailable) as caught:
        await named("cd" * 32).open("t", "k", cast(Any, None))
    assert caught.value.code == "task_model_changed"


async def test_a_name_answers_by_its_version() -> None:
    named = SimpleNamespace(
        entries=lambda: [CatalogueEntry("orders", CARD.id, "labels", "ab" * 32)],
        answers=lambda name, app: (
            CatalogueEntry("excavator-system", CARD.id, "labels", "ab" * 32)
            if name == "orders"
            else None
        ),
        # One name has a pointer whose task is out of service: it is named, and says why itself.
        pointer=lambda name: (
            SimpleNamespace(said=SimpleNamespace(live=SimpleNamespace(task="gone-1")))
            if name == "gone"
            else None
        ),
    )
    tasks = Drafts({"excavator-system": loaded(TASK)})
    backends = TaskBackends(cast(Backends, Models()), tasks, cast(TaskNames, named))
    assert [card.id for card in backends.cards()] == ["excavator-system", "orders", CARD.id]
    assert backends.resolve("orders", "k") == "excavator-system"
    assert backends.resolve("gone", "k") == "gone-1"
    assert [backends.resolve(i, "k") for i in (CARD.id, "excavator-system", "else")] == [
        CARD.id, "excavator-system", "else",
    ]  # fmt: skip
