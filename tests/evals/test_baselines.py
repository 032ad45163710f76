"""The battery: it learns from train alone, in no order, and answers one by one."""

import json

import pytest

from appliance.datasets.items import Item
from appliance.evals.baselines import LINEAR, MAJORITY, Baseline, battery
from tests.evals.orders import item


def train(count: int) -> list[Item]:
    made = [item(n, "train") for n in range(count)]
    return [
        Item(str(m["id"]), str(m["group"]), {"text": str(m["input"])}, str(m["expected"]))
        for m in made
    ]


def answers(baseline: Baseline, *texts: str) -> list[tuple[str, float | None]]:
    return [(guess.answer, guess.confidence) for guess, _ in baseline.answers(texts)]


def test_the_curve_has_the_sizes_that_there_are_items_for() -> None:
    assert [b.name for b in battery(train(90))] == [MAJORITY, LINEAR]
    names = [b.name for b in battery(train(301))]
    assert names == [MAJORITY, f"{LINEAR}, n=100", f"{LINEAR}, n=300", LINEAR]


def test_one_label_leaves_the_majority() -> None:
    only = [i for i in train(20) if i.label == "engine"]
    assert [b.name for b in battery(only)] == [MAJORITY]


def test_majority_answers_the_commonest_label_and_says_how_common() -> None:
    some = train(11)  # six of hydraulics
    assert answers(battery(some)[0], "anything", "") == [("hydraulics", 6 / 11)] * 2


def test_a_label_comes_with_all_others_from_the_likeliest_on() -> None:
    some = train(11)
    ((majority, _),) = battery(some)[0].answers(["anything"])
    assert majority.shares == [("hydraulics", 6 / 11), ("engine", 5 / 11)]
    ((regression, _),) = battery(train(60))[-1].answers(["replace turbo"])
    assert [label for label, _ in regression.shares] == ["engine", "hydraulics"]
    assert sum(share for _, share in regression.shares) == pytest.approx(1)
    made = [Item(i.id, i.group, i.input, {"system": i.label}) for i in train(80)]
    ((fields, _),) = battery(made)[-1].answers(["replace turbo"])
    assert fields.shares == ()


def test_regression_learns_and_its_confidence_is_a_probability() -> None:
    ((label, confidence),) = answers(battery(train(60))[-1], "replace turbo")
    assert label == "engine"
    assert confidence is not None and 0.5 < confidence <= 1


def test_the_order_of_the_items_changes_nothing() -> None:
    texts = [f"replace pump or turbo {n}" for n in range(5)]
    one, other = battery(train(150)), battery(list(reversed(train(150))))
    for first, second in zip(one, other, strict=True):
        assert answers(first, *texts) == answers(second, *texts)


def test_each_answer_has_its_time() -> None:
    assert all(seconds > 0 for _, seconds in battery(train(60))[-1].answers(["a", "b"]))


def test_fields_are_learned_one_by_one() -> None:
    made = [
        Item(i.id, i.group, i.input, {"system": i.label, "note": None, "serial": i.id})
        for i in train(80)
    ]
    names = [b.name for b in battery(made)]
    assert names == [MAJORITY, LINEAR]
    ((answer, confidence),) = answers(battery(made)[-1], "replace turbo")
    told = json.loads(answer)
    assert told["system"] == "engine" and told["note"] is None
    assert told["serial"] == "train000"  # one value an item teaches nothing: the first of all
    assert confidence is not None and 0 < confidence <= 1


def test_the_size_is_that_of_what_would_be_served() -> None:
    some = battery(train(60))
    assert some[0].fit().size < 100 < some[-1].fit().size
