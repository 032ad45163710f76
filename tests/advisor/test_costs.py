"""Costs with P10, P50 and P90, against sums by hand."""

import math

import pytest

from appliance.advisor.costs import (
    Case,
    break_even,
    cost,
    first_true,
    groups_to_certify,
    tornado,
)
from appliance.advisor.questions import Price, Questions, exactly
from tests.advisor.scenarios import CLOUD, LEAVES, asked, facts, measured

VOLUME = "requests_day = [1000, 2000, 4000]\ntokens_in = 800\ntokens_out = 100"


def paid(questions: Questions) -> Case:
    (price,) = questions.prices
    return Case(questions, facts(), measured("cloud", 0.92, speed=None), price)


def test_one_uncertain_answer_gives_its_own_three_points() -> None:
    found = cost(paid(asked(CLOUD, load=VOLUME)))
    # 30,000, 60,000 and 120,000 requests of 0.003.
    assert found is not None
    assert (found.p10, found.p50, found.p90) == pytest.approx((90, 180, 360))


def test_two_uncertain_answers_give_the_percentiles_of_their_nine_combinations() -> None:
    dear = CLOUD.replace("million_in = 2.50", "million_in = [0.0, 2.50, 5.00]")
    found = cost(paid(asked(dear, load=VOLUME)))
    # A request costs 0.001, 0.003 or 0.005. In order of cost, with their weights:
    # 30 (.09) 60 (.12) 90 (.12) 120 (.09) 150 (.09) 180 (.16) 300 (.12) 360 (.12) 600 (.09);
    # the sums pass 0.1 at 60, 0.5 at 150 (0.51) and 0.9 at 360 (0.91).
    assert found is not None
    assert (found.p10, found.p50, found.p90) == pytest.approx((60, 150, 360))


def test_the_tornado_is_in_order_and_leaves_out_what_moves_nothing() -> None:
    dear = CLOUD.replace("million_in = 2.50", "million_in = [2.25, 2.50, 2.75]")
    found = tornado(paid(asked(dear, "[data]\nhour = [1, 2, 3]", load=VOLUME)))
    assert [each.name for each in found] == ["load.requests_day", "prices.cloud.million_in"]
    assert (found[1].at_low, found[1].at_high) == pytest.approx((168.0, 192.0))


def test_many_uncertain_answers_stay_bounded() -> None:
    lines = [f"{name} = [1, 2, 3]" for name in (
        "machine", "years", "watts_idle", "watts_busy", "kwh", "staff_hours", "staff_hour",
    )]  # fmt: skip
    wide = asked("[costs]", *lines, "[data]\nhour = [1, 2, 3]\nlabel_minutes = [1, 2, 3]",
                 load="requests_day = [1, 2, 3]")  # fmt: skip
    found = cost(Case(wide, facts(), measured("tuned", 0.9)))
    assert found is not None and found.p10 < found.p50 < found.p90


def test_what_is_missing_has_no_cost() -> None:
    nothing = Case(asked(load=""), facts(), measured("cascade", 0.9, speed=None))
    assert nothing.missing == (
        "load.requests_day", "costs.defer_minutes", "data.hour", "costs.machine", "speed",
        "coverage",
    )  # fmt: skip
    assert cost(nothing) is None and tornado(nothing) == [] and break_even(nothing, nothing) is None


@pytest.mark.parametrize(
    ("load", "missing"),
    [
        ("requests_day = 100", ("load.tokens_in", "load.tokens_out")),
        ("requests_day = 0\ntokens_in = 1\ntokens_out = 1", ("load.requests_day",)),
    ],
)
def test_what_was_not_told_is_never_zero(load: str, missing: tuple[str, ...]) -> None:
    case = paid(asked(CLOUD, LEAVES, load=load))
    assert case.missing == missing and cost(case) is None


def test_break_even_is_where_both_cost_the_same() -> None:
    questions = asked(CLOUD, LEAVES, "[costs]\nmachine = 4800", load=VOLUME)
    local = Case(questions, facts(), measured("prompt", 0.9, speed=50))
    # 4,800 / 48 = 100.00 a month; 100 / 0.003 / 30 = 1,111.11 requests a day.
    assert break_even(local, paid(questions)) == pytest.approx(1111.11, abs=0.01)
    assert break_even(paid(questions), local) is None  # the paid one is cheaper from the start
    free = Price("free", month=exactly(0))
    nothing = Case(questions.__class__(prices=(free,), load=questions.load,
                   costs=questions.costs), facts(), measured("cloud", 0.9), free)  # fmt: skip
    assert break_even(local, nothing) is None


def test_a_certificate_counts_groups() -> None:
    assert groups_to_certify(0.05, 0.0, 0.05) == 59
    assert groups_to_certify(0.05, 0.03, 0.05) == 647
    assert groups_to_certify(0.05, 0.06, 0.05) is None


def test_the_first_value_at_which_something_holds() -> None:
    assert first_true(lambda x: x >= math.pi, 1, 100) == pytest.approx(math.pi, rel=1e-8)
    assert first_true(lambda x: False, 1, 100) is None
    assert first_true(lambda x: True, 1, 100) == 1
