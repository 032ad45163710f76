"""Tunings side by side: differences are named, and each is compared with the first in pairs."""

import pytest

from appliance.tuning.comparing import ComparedTuning, TuningDifference, differing, paired, same_dev
from appliance.tuning.dev_outcomes import DevOutcomes
from tests.tuning.example import result, tuned
from tests.tuning.kept import GROUPS, ITEMS, kept


def test_only_what_differs_is_named_with_its_values() -> None:
    settings = result()["settings"]
    other = tuned(settings={**settings, "rank": 32, "dropout": 0.1}, seeds=result()["seeds"] * 3)
    assert differing([tuned(), other]) == [
        TuningDifference("rank", ("16", "32")),
        TuningDifference("seeds", ("1", "3")),
        TuningDifference("dropout", ("-", "0.1")),
    ]
    assert differing([tuned(), tuned(seconds=5.0)]) == []


def test_other_items_of_dev_are_noticed_and_another_base_is_not_taken_for_them() -> None:
    data = result()["data"]
    assert same_dev([tuned(), tuned(data={**data, "dev_sha256": "00" * 32})])
    assert not same_dev([tuned(), tuned(data={**data, "dev": 100})])
    assert not same_dev([tuned(), tuned(data={**data, "digest": "00" * 32})])


def side(number: int, found: DevOutcomes | str, best: str = "model") -> ComparedTuning:
    return ComparedTuning(number, best, found)


def test_two_are_compared_item_by_item_over_groups() -> None:
    # Right are 1110 and 0100; by group 1 minus 1/2, 1 minus 0 and 0 minus 0: 0.5, 1 and 0.
    first, second = side(5, kept("0100")), side(7, kept("1110"))
    (pair,) = paired([first, second])
    assert (pair.tuning, pair.against, pair.reason) == (7, 5, "")
    assert (pair.items, pair.left_out, pair.groups) == (4, 0, 3)
    ((what, found),) = pair.found
    assert what == "tuned model" and found.difference.value == 0.5
    # With 1 and -1 added twice: mean 1.5 / 7, variance (5.25 / 7 - 0.0459) / 7, 1.95996 times its
    # root, and the lower limit moved down as the gaps are skewed.
    assert found.difference.interval == pytest.approx((-0.49591, 0.83589), abs=1e-5)
    assert (found.gained, found.lost) == (("i1", "i3"), ())
    assert found.p_value == pytest.approx(0.5)  # both of two by chance on one side, or the other


def test_of_several_the_intervals_hold_together() -> None:
    sides = [side(5, kept("0100")), side(7, kept("1110")), side(9, kept("1110"))]
    pairs = paired(sides)
    assert [(pair.tuning, pair.against) for pair in pairs] == [(7, 5), (9, 5)]
    low, high = pairs[0].found[0][1].difference.interval
    assert (low, high) == pytest.approx((-0.60930, 0.92514), abs=1e-5)


def test_the_best_candidates_are_compared_where_one_is_another_kind() -> None:
    first, second = side(5, kept("0100"), "classifier"), side(7, kept("1110"))
    ((_, models), (what, best)) = paired([first, second])[0].found
    assert what == "best: model, classifier" and best.first == "model"
    assert best.second == "classifier" and best.gained == models.gained
    same = paired([first, side(7, kept(classifier="1111"), "classifier")])[0].found
    assert same[1][0] == "best: classifier" and same[1][1].difference.value == pytest.approx(5 / 6)


def test_fields_are_compared_each() -> None:
    one = kept(fields={"model": {"port": "1111", "side": "0000", "old": "0000"}})
    other = kept(fields={"model": {"port": "1110", "side": "0000"}})
    found = dict(paired([side(5, other), side(7, one)])[0].found)
    assert list(found) == ["tuned model", "field port", "field side"]
    assert found["field port"].gained == ("i4",) and found["field side"].difference.value == 0


def test_what_only_one_answered_is_left_out_and_counted() -> None:
    short = kept("010", items=ITEMS[:3], groups=GROUPS[:3], classifier="010")
    (pair,) = paired([side(5, short), side(7, kept("1110"))])
    assert (pair.items, pair.left_out, pair.groups) == (3, 1, 2)
    assert pair.found[0][1].difference.value == 0.75


@pytest.mark.parametrize(
    ("other", "reason"),
    [
        (kept(data="34" * 32), "their datasets differ: 121212121212 and 343434343434"),
        (kept(split="train"), "their datasets differ"),
        (kept(rules="cd" * 32), "by other rules"),
        (kept(task="orders"), "by other rules"),
        (kept(items=("a", "b", "c", "d")), "no item of dev in common"),
        ("has no outcomes.json: gone", "tuning 5 has no outcomes.json: gone"),
    ],
)
def test_what_was_not_measured_on_the_same_is_not_compared(
    other: DevOutcomes | str, reason: str
) -> None:
    (pair,) = paired([side(5, other), side(7, kept())])
    assert reason in pair.reason and pair.found == ()
    if isinstance(other, str):
        (pair,) = paired([side(7, kept()), side(5, other)])
        assert reason in pair.reason
