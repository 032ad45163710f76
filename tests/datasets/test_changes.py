"""Changes make the next version and leave everything else alone."""

from dataclasses import replace

import pytest

from appliance.datasets import changes
from appliance.datasets.items import Item
from appliance.datasets.splits import SplitRule
from appliance.errors import DatasetRefused
from tests.datasets.examples import dataset, orders


def test_items_are_taken_out() -> None:
    before = dataset(orders(60))
    after = changes.without(before, ["w00003", "w00009"])
    gone = {item.id for item in before.items} - {item.id for item in after.items}
    assert gone == {"w00003", "w00009"}
    assert after.manifest.version == 2
    with pytest.raises(DatasetRefused) as refused:
        changes.without(before, ["nosuch"])
    assert refused.value.code == "item_unknown"


def test_personal_data_are_masked_in_inputs() -> None:
    items = [
        replace(item, input={"text": f"{item.text} +49 211 123456", "n": 3}) for item in orders(9)
    ]
    after = changes.masked(dataset(items))
    assert all(str(item.input["text"]).endswith("[PHONE]") for item in after.items)
    assert all(item.input["n"] == 3 for item in after.items)


def test_divided_by_another_rule() -> None:
    before = dataset(orders(90))
    after = changes.divided(before, SplitRule("group", seed="9"))
    assert {item.id for item in after.items} == {item.id for item in before.items}
    assert after.splits != before.splits
    assert after.manifest.rule["seed"] == "9"
    again = changes.divided(before, SplitRule("given"))
    assert [i.id for i in again.splits["test"]] == [i.id for i in before.splits["test"]]


def test_an_item_that_gets_an_answer_joins_its_group() -> None:
    items = orders(60)
    waiting = [
        Item("u1", items[0].group, {"text": "who knows"}),
        Item("u2", "new", {"text": "nobody"}),
        Item("u3", "other", {"text": "later"}),
    ]
    before = dataset([*items, *waiting])
    after = changes.labelled(before, {"u1": "hose", "u2": "pump"}, {"train": 1})
    place = {item.id: name for name, part in after.splits.items() for item in part}
    assert place["u1"] == place[items[0].id]
    assert (place["u2"], place["u3"]) == ("train", "unlabelled")
    with pytest.raises(DatasetRefused, match="no unlabelled item"):
        changes.labelled(before, {items[0].id: "hose"}, {"train": 1})


def test_new_answers_are_split_by_group() -> None:
    waiting = [Item(f"u{n:03}", f"g{n // 3}", {"text": f"text {n}"}) for n in range(300)]
    before = dataset(waiting)
    after = changes.labelled(before, {i.id: "hose" for i in waiting}, {"train": 0.8, "dev": 0.2})
    groups = {name: {item.group for item in part} for name, part in after.splits.items()}
    assert not groups["unlabelled"] and not groups["train"] & groups["dev"]
    assert 10 <= len(groups["dev"]) <= 30 and len(groups["train"]) + len(groups["dev"]) == 100
