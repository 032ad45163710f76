"""Splits: groups stay whole, order does not matter, what is refused."""

import random
from collections import Counter
from dataclasses import replace

import pytest

from appliance.datasets.duplicates import Index, plain
from appliance.datasets.items import Item
from appliance.datasets.splits import LABELLED, SplitRule, check_groups, split, strata
from appliance.errors import DatasetRefused
from tests.datasets.examples import orders


def refused(items: list[Item], rule: SplitRule) -> str:
    with pytest.raises(DatasetRefused) as found:
        split(items, rule)
    return found.value.code


def test_by_group() -> None:
    items = orders(1500)
    found = split(items, SplitRule("group"))
    sizes = {name: len(part) for name, part in found.items()}
    assert sum(sizes.values()) == 1500
    assert 600 < sizes["train"] < 900
    assert min(sizes[name] for name in LABELLED) > 80
    where = {item.group: name for name, part in found.items() for item in part}
    assert all(where[item.group] == name for name, part in found.items() for item in part)
    shuffled = list(items)
    random.Random(1).shuffle(shuffled)
    assert split(shuffled, SplitRule("group")) == found
    assert split(items, SplitRule("group", seed="2")) != found


def test_a_group_stays_where_it_is_when_others_come() -> None:
    before = split(orders(300), SplitRule("group"))
    after = split(orders(600), SplitRule("group"))
    placed = {item.group: name for name, part in after.items() for item in part}
    assert all(placed[item.group] == name for name, part in before.items() for item in part)


def test_a_random_split_of_grouped_data_is_refused() -> None:
    assert refused(orders(30), SplitRule("random")) == "split_ignores_groups"


def test_by_time() -> None:
    items = [replace(item, group=item.id) for item in orders(200)]
    starts = {"dev": "2015-01-01", "certify": "2016-01-01", "test": "2018-01-01"}
    found = split(items, SplitRule("time", starts=starts))
    for name, first, last in (
        ("train", "2010", "2014"), ("dev", "2015", "2015"), ("certify", "2016", "2017"),
        ("test", "2018", "2019"),
    ):  # fmt: skip
        years = sorted(str(item.time)[:4] for item in found[name])
        assert (years[0], years[-1]) == (first, last)


def test_one_group_in_two_splits() -> None:
    starts = {"test": "2015-01-01"}
    assert refused(orders(30), SplitRule("time", starts=starts)) == "group_in_two_splits"
    given = [replace(item, split="train" if n else "test") for n, item in enumerate(orders(3))]
    assert refused(given, SplitRule("given")) == "group_in_two_splits"
    with pytest.raises(DatasetRefused, match="is in train and in test"):
        check_groups({"train": given[:1], "test": given[1:]})


def test_as_given() -> None:
    items = [replace(item, split="test", stratum="A") for item in orders(3)]
    items.append(Item("u", "g00000", {"text": "who knows"}))
    found = split(items, SplitRule("given"))
    assert len(found["test"]) == 3
    assert [item.id for item in found["unlabelled"]] == ["u"]
    assert strata(found["test"]) == {"A": 3}


@pytest.mark.parametrize(
    "rule",
    [
        SplitRule("coin"),
        SplitRule("group", shares={"train": 0.5}),
        SplitRule("group", shares={"train": 1.5, "test": -0.5}),
        SplitRule("group", shares={"train": 0.5, "exam": 0.5}),
        SplitRule("time"),
        SplitRule("time", starts={"test": "2012", "certify": "2013"}),
        SplitRule("time", starts={"train": "2012"}),
        SplitRule("given"),
    ],
)
def test_rules_that_cannot_be_followed(rule: SplitRule) -> None:
    assert refused(orders(9), rule) == "split_invalid"


def test_a_split_by_time_needs_times() -> None:
    items = [replace(item, time=None) for item in orders(9)]
    assert refused(items, SplitRule("time", starts={"test": "2012"})) == "split_invalid"


def test_a_share_of_nothing_gets_nothing() -> None:
    found = split(orders(300), SplitRule("group", shares={"train": 0.8, "test": 0.2}))
    assert Counter(name for name, part in found.items() if part).keys() == {"train", "test"}


def test_near_duplicates_stay_together_when_asked() -> None:
    items = orders(400, per_group=1)
    twins = [
        replace(
            item, id=f"t{item.id}", group=f"t{item.group}", input={"text": item.text.upper() + "!"}
        )
        for item in items[:40]
    ]
    found = split(items + twins, SplitRule("group", together=0.6))
    names = {item.id: name for name, part in found.items() for item in part}
    texts = [plain(item.text) for item in items]
    assert all(names[twin.id] == names[twin.id[1:]] for twin in twins)
    assert all(names[items[a].id] == names[items[b].id] for a, b, _ in Index(texts).pairs())
    loose = split(items + twins, SplitRule("group"))
    names = {item.id: name for name, part in loose.items() for item in part}
    assert any(names[twin.id] != names[twin.id[1:]] for twin in twins)  # the control


def test_texts_seen_earlier_are_left_out_when_asked() -> None:
    items = [replace(item, group=item.id) for item in orders(30)]
    late = replace(
        items[0], id="late", group="late", time="2019-05-05", input={"text": items[0].text + "."}
    )
    starts = {"test": "2019-01-01"}
    early = [replace(item, time="2011-01-01") for item in items]
    kept = split([*early, late], SplitRule("time", starts=starts, drop_seen=True))
    assert not kept["test"]
    assert split([*early, late], SplitRule("time", starts=starts))["test"] == (late,)
