"""The verdict of a gate: pass, fail or underpowered, floors, failures, and reported figures."""

import pytest

from appliance.errors import EvaluationRefused
from appliance.evals import judging
from appliance.evals.judging import judge
from appliance.evals.pairs import MILLION, ItemPair
from appliance.statistics.groups import GroupMean
from appliance.statistics.proportions import Interval
from appliance.trust.statements.evaluation import Pack
from tests.evals.gates import pairs, wanted


def test_a_candidate_that_is_as_good_passes_with_enough_groups() -> None:
    found = judge(wanted(), pairs(400))
    assert (found.verdict, found.groups, found.groups_needed) == ("pass", 400, 0)
    assert found.difference_micros == 0 and found.low_micros < 0 < found.high_micros


def test_a_worse_one_fails() -> None:
    found = judge(wanted(), pairs(400, lost=80))
    assert (found.verdict, found.comparison, found.groups_needed) == ("fail", "fail", 0)
    assert found.high_micros < -50_000


def test_few_groups_are_underpowered_and_say_how_many_it_takes() -> None:
    found = judge(wanted(), pairs(49, gained=49))
    assert found.verdict == "underpowered" and (found.groups_needed or 0) >= 50
    found = judge(wanted(), pairs(60, lost=1))
    assert found.verdict == "underpowered" and (found.groups_needed or 0) > 60


def test_one_that_looks_worse_than_the_margin_needs_no_number() -> None:
    found = judge(wanted(), pairs(49, lost=20))
    assert found.verdict == "underpowered" and found.groups_needed is None
    assert found.groups_range == (None, None)


def test_an_equal_candidate_with_bad_luck_is_told_a_number() -> None:
    found = judge(wanted(), pairs(100, gained=4, lost=9))
    assert found.difference_micros == -50_000 and found.verdict == "underpowered"
    low, high = found.groups_range or (None, None)
    assert low and found.groups_needed and high and low < found.groups_needed < high


def test_a_floor_that_is_open_asks_for_groups_in_all() -> None:
    whole = judge(wanted(floors={"": 690_000}), pairs(400, gained=20))
    assert (whole.verdict, whole.comparison) == ("underpowered", "pass")
    assert whole.groups_needed and whole.groups_needed > 400 and whole.groups_range
    half = judge(wanted(floors={"north": 690_000}), pairs(400, gained=20))
    assert half.groups_needed and half.groups_needed > 1.8 * whole.groups_needed


def test_items_of_a_group_count_once() -> None:
    many = [
        ItemPair(f"i{n}", f"g{n % 40}", "", "a", MILLION, MILLION, "a", "a") for n in range(4_000)
    ]
    assert judge(wanted(), many).verdict == "underpowered"  # 40 groups, whatever the items
    alone = [ItemPair(p.item, p.item, "", "a", MILLION, MILLION, "a", "a") for p in many]
    assert judge(wanted(), alone).verdict == "pass"  # the control: items as groups


def test_each_look_has_its_share_of_alpha() -> None:
    once, often = wanted(looks=1), wanted(looks=4)
    assert judging.confidence(once, 1) == pytest.approx(0.9)
    assert judging.confidence(often, 4) == pytest.approx(0.975)
    one, four = (judge(t, pairs(400, lost=5)) for t in (once, often))
    assert four.low_micros < one.low_micros < one.high_micros < four.high_micros


def test_a_schedule_spends_most_of_alpha_at_the_first_look() -> None:
    terms = wanted(schedule=(700_000, 100_000, 100_000, 100_000))
    assert judging.confidence(terms, 1) == pytest.approx(0.93)
    assert judging.confidence(terms, 4) == pytest.approx(0.99)
    first, second = (judge(terms, pairs(80), look=look) for look in (1, 2))
    assert (first.verdict, second.verdict) == ("pass", "underpowered")


def test_a_certificate_without_the_name_is_judged_by_the_old_interval() -> None:
    """62 groups without one loss passed; by Tango's interval they do not."""
    before, now = judge(wanted(), pairs(62), unnamed=True), judge(wanted(), pairs(62))
    assert (before.verdict, before.interval) == ("pass", "")
    assert (now.verdict, now.interval) == ("underpowered", "tango")


def test_each_floor_must_be_reached() -> None:
    good = judge(wanted(floors={"": 600_000}), pairs(400, gained=20))
    assert good.verdict == "pass" and good.floors == {"": "pass"}
    missed = judge(wanted(floors={"": 900_000}), pairs(400, gained=20))
    assert (missed.verdict, missed.comparison) == ("fail", "pass")
    sliced = judge(wanted(floors={"north": 600_000, "nowhere": 100_000}), pairs(400, gained=20))
    assert sliced.floors == {"north": "pass", "nowhere": "underpowered"}
    assert sliced.verdict == "underpowered"


def test_each_pack_must_reach_its_floor() -> None:
    terms = wanted(packs={"general": 750_000})
    assert judge(terms, pairs(400, gained=20), {"general": Pack(60, 80, "")}).verdict == "pass"
    missed = judge(terms, pairs(400, gained=20), {"general": Pack(59, 80, "")})
    assert (missed.verdict, missed.comparison) == ("fail", "pass")
    few = judge(terms, pairs(40), {"general": Pack(59, 80, "")})
    assert (few.verdict, few.comparison) == ("fail", "underpowered")  # its items are no sample


def test_failures_are_wrong_and_counted() -> None:
    ok = pairs(400)
    failing = [
        ItemPair(p.item, p.group, p.stratum, p.expected, 0, p.incumbent, None, p.incumbent_answer,
             "timeout") if n < 120 else p
        for n, p in enumerate(ok)
    ]  # fmt: skip
    found = judge(wanted(), failing)
    assert (found.verdict, found.failures, found.incumbent_failures) == ("fail", 120, 0)


def test_what_is_told_is_rounded_outward() -> None:
    told = judging.coarse(GroupMean(-0.0349, Interval(-0.0451, 0.0101), 100, 0.1))
    assert told == (-30_000, -50_000, 20_000)


def test_nothing_is_no_evidence() -> None:
    with pytest.raises(EvaluationRefused) as caught:
        judge(wanted(), [])
    assert caught.value.code == "evaluation_empty"
