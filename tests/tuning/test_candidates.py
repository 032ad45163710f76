"""Candidates of a tuning: the same items for all, the simplest of equals."""

import json

import pytest

from appliance.datasets.items import Item
from appliance.tasks.classifiers import document
from appliance.tasks.loaded import LoadedTask, load
from appliance.tuning.candidates import Candidates, candidates, outcome
from tests.evals.orders import TASK, item
from tests.tasks.example import FIELDS, SCHEMA

LABELS = ["hydraulics", "engine"]


def loaded(text: str = TASK) -> LoadedTask:
    files = {"task.toml": text, "schema.json": json.dumps(SCHEMA)}
    return load(lambda name, most: files[name].encode()[:most], "ab" * 32)


def items(split: str, count: int) -> list[Item]:
    made = [item(n, split) for n in range(count)]
    return [
        Item(str(m["id"]), str(m["group"]), m["input"], m["expected"])  # type: ignore[arg-type]
        for m in made
    ]


def shares(dev: list[Item], right: float) -> list[list[float]]:
    return [[right if label == one.label else 1 - right for label in LABELS] for one in dev]


def found(right: float, learned: int = 60) -> Candidates:
    task, dev = loaded(), items("dev", 24)
    said = shares(dev, right)
    best = [LABELS[int(one[1] > one[0])] for one in said]
    outcomes = [outcome(task.task, i, label) for i, label in zip(dev, best, strict=True)]
    return candidates(task, items("train", learned), dev, outcomes, said)


def test_of_equals_the_simplest_is_offered() -> None:
    made = found(0.99)
    kinds = [row.kind for row in made.told()]
    assert kinds == ["classifier", "model", "blend"] and made.best == "classifier"
    classifier, model, blend = made.told()
    assert classifier.value == model.value == blend.value == 1.0
    assert classifier.against is None and model.against == "classifier"
    assert model.difference == 0 and model.p_value == 1 and 0 <= (blend.weight or 0) <= 1
    assert set(document.read(made.classifier).labels) == set(LABELS)


def test_a_model_that_is_always_wrong_has_no_weight() -> None:
    made = found(0.01)
    classifier, model, blend = made.told()
    assert model.value == 0 and blend.weight == 0
    assert blend.value == classifier.value and made.best == "classifier"
    assert model.difference == -1 and model.p_value < 0.001


def test_without_items_of_each_label_there_is_no_classifier() -> None:
    made = found(0.99, learned=1)
    assert [row.kind for row in made.told()] == ["model"]
    assert made.best == "model" and made.classifier == b""


def test_other_forms_have_the_model_alone() -> None:
    task = loaded(FIELDS)
    answer = {"part": None, "side": None, "hours": 1, "count": 1, "urgent": True, "note": ""}
    dev = [Item(f"d{n}", f"g{n}", {"text": "a"}, answer) for n in range(8)]
    outcomes = [outcome(task.task, one, None) for one in dev]
    made = candidates(task, dev, dev, outcomes, [])
    assert [row.kind for row in made.told()] == ["model"] and made.told()[0].value == 0
    tuned = [outcome(task.task, one, json.dumps(answer)) for one in dev]
    untuned, model = candidates(task, dev, dev, tuned, [], outcomes).told()
    assert (untuned.kind, untuned.value) == ("untuned", 0) and untuned.against is None
    assert (model.against, model.difference) == ("untuned", 1) and model.plain == 1
    assert candidates(task, dev, dev, tuned, [], outcomes).best == "model"


def test_the_sides_answer_the_same_items() -> None:
    task, dev = loaded(), items("dev", 4)
    with pytest.raises(ValueError):
        candidates(task, items("train", 20), dev, [], shares(dev[:3], 0.9))
