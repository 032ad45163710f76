"""The plan: the battery first, what cannot be measured as a note, the same when it resumes."""

import json
from typing import Any, cast

import pytest

from appliance.datasets.items import Item
from appliance.errors import EvaluationRefused, NotFound
from appliance.evals.parameters import EvaluationWanted
from appliance.evals.plan import Candidate, EvaluationPlan, Messages, Planner, names, pinned
from appliance.evals.subject import EvaluationSubject
from appliance.serving.backend import Backends
from appliance.tasks.loaded import load
from appliance.types import ModelCard
from tests.evals.orders import FITTED, TASK, item
from tests.tasks.example import coefficients

ALL = EvaluationWanted("t", "d")


class Models:
    def __init__(self, *embedders: str, n_ctx: int = 512) -> None:
        self.known = {"smol": ModelCard("smol", "d", n_ctx, 0)}
        self.known |= {name: ModelCard(name, "e", 512, 0, kind="embed") for name in embedders}

    def cards(self) -> list[ModelCard]:
        return list(self.known.values())

    def card(self, model_id: str) -> ModelCard:
        if model_id not in self.known:
            raise NotFound("model_not_found", f"{model_id} is not there.")
        return self.known[model_id]


def items(count: int, split: str) -> tuple[Item, ...]:
    made = [cast(dict[str, Any], item(n, split)) for n in range(count)]
    return tuple(Item(m["id"], m["group"], m["input"], m["expected"]) for m in made)


def subject(text: str = TASK, train: int = 120) -> EvaluationSubject:
    files = {"classifier.json": coefficients("electrical")}
    loaded = load(lambda name, most: files.get(name, text).encode()[:most], "t" * 64)
    return EvaluationSubject(loaded, "s" * 64, (), items(train, "train"), items(12, "dev"), None)


async def planned(
    wanted: EvaluationWanted = ALL, models: Models | None = None, **more: Any
) -> EvaluationPlan:
    async def tokens(_model: str, messages: Messages) -> int:
        return 20 * len(messages)

    backends = cast(Backends, models or Models("minilm"))
    return await Planner(backends, lambda name: f"digest of {name}", tokens).plan(
        wanted, subject(**more)
    )


async def test_the_whole_battery_runs_every_time() -> None:
    plan = await planned()
    assert names(plan.candidates) == [
        "majority",
        "logistic regression, n=100",
        "logistic regression",
        "nearest neighbours, minilm",
        "smol",
        "smol, 4 examples",
        "smol, 8 examples",
        "smol, without labels",
    ]
    assert plan.notes == ()
    assert plan.candidates[3].digest == "digest of minilm"
    assert [c.shots for c in plan.candidates[4:]] == [None, 4, 8, None]
    assert [c.forced for c in plan.candidates[4:]] == [True, True, True, False]


async def test_further_models_answer_the_task_as_it_is_written() -> None:
    plan = await planned(EvaluationWanted("t", "d", models=("smol", "minilm", "smol")))
    assert names(plan.candidates)[-1] == "minilm"
    assert len(names(plan.candidates)) == 9


async def test_without_baselines_only_the_models_are_measured() -> None:
    plan = await planned(EvaluationWanted("t", "d", baselines=False))
    assert names(plan.candidates) == ["smol"] and plan.notes == ()


async def test_what_cannot_be_measured_is_said() -> None:
    plan = await planned(models=Models(n_ctx=400))
    assert "nearest neighbours" not in " ".join(names(plan.candidates))
    first, second = plan.notes
    assert "no embedding model is approved" in first
    assert second == "The context of smol cannot hold 8 examples."


async def test_a_task_without_training_items_has_no_examples() -> None:
    plan = await planned(train=0)
    assert names(plan.candidates) == ["smol", "smol, without labels"]


async def test_the_number_of_examples_of_the_task_is_not_measured_twice() -> None:
    shown = TASK.replace("[output]", 'examples = "examples.jsonl"\n[output]', 1)
    lines = "\n".join(json.dumps(item(n, "train")) for n in range(4))
    files = {"task.toml": shown.encode(), "examples.jsonl": lines.encode()}
    loaded = load(lambda name, most: files[name][:most], "t")

    async def tokens(_model: str, _messages: Messages) -> int:
        return 1

    found = EvaluationSubject(loaded, "s", (), items(20, "train"), items(2, "dev"), None)
    planner = Planner(cast(Backends, Models()), str, tokens)
    plan = await planner.plan(EvaluationWanted("t", "d"), found)
    assert names(plan.candidates)[-4:] == [
        "smol", "smol, 0 examples", "smol, 8 examples", "smol, without labels",
    ]  # fmt: skip


async def test_a_model_that_is_not_approved_is_refused_before_anything_is_measured() -> None:
    with pytest.raises(NotFound):
        await planned(text=TASK.replace('"smol"', '"other"'))


async def test_the_tasks_own_classifier_is_measured_whatever_else_is() -> None:
    (own,) = (await planned(EvaluationWanted("t", "d", baselines=False), text=FITTED)).candidates
    assert own == Candidate("the task's classifier", "own")
    assert names((await planned(text=FITTED)).candidates)[-1] == own.name


async def test_a_blend_is_measured_beside_the_model_alone() -> None:
    model = 'model = "smol"\ndigest = "' + "d" * 64 + '"\n'
    blend = FITTED.replace('kind = "classifier"\n', f'kind = "blend"\nweight = 0.5\n{model}')
    plan = await planned(EvaluationWanted("t", "d", baselines=False), text=blend)
    assert names(plan.candidates) == ["the task's blend", "smol"]
    assert plan.candidates[0].digest == plan.candidates[1].digest == "digest of smol"


async def test_another_task_dataset_or_model_is_not_resumed_with() -> None:
    plan = await planned()
    plan.check(subject())
    for changed in (EvaluationPlan("x", plan.data, ()), EvaluationPlan(plan.task, "x", ())):
        with pytest.raises(EvaluationRefused) as caught:
            changed.check(subject())
        assert caught.value.code == "evaluation_changed"
    candidate = Candidate("smol", "model", "smol", "d1")
    pinned("d1", candidate)
    with pytest.raises(EvaluationRefused):
        pinned("d2", candidate)
