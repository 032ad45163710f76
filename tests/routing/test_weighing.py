"""Weights: of days with labels, and of the answers of a route beside those of its certificate.

The examples of the long simulations: one customer with 50 times the traffic and 15 % wrong;
weekdays with 4 % wrong and weekends, with a hundredth of the answers, with 15 %.
"""

import numpy as np
import pytest

from appliance.routing.weighing import Basis, SealedAnswer, bet, compared
from appliance.statistics.betting import Monitor
from tests.evals.test_gate_simulation import told

BOUND = DELTA = 0.05
OTHERS = 60
BUSY = 50


def basis(weight: str = "answers", groups: int = 300, wrong: int = 6) -> Basis:
    answers = tuple(SealedAnswer(f"g{n}", 1, n < wrong) for n in range(groups))
    return Basis(weight, BOUND, DELTA, 0.04, answers)


def test_weights_like_the_certificates_change_nothing() -> None:
    found = compared(basis(), {f"g{n}": 7 for n in range(300)})
    assert (found.groups, found.unknown, found.apart, found.error) == (300, 0.0, 0.0, 0.04)
    assert not found.beyond and found.effective == 300


def test_chance_in_the_counts_is_no_weight() -> None:
    """In hundreds of worlds with the dataset's traffic, few are reported as different."""
    generator = np.random.default_rng(1)
    many = 0
    for _ in range(200):
        wrong = int(generator.binomial(300, 0.02))
        counts = generator.poisson(8, 300)
        answers = {f"g{n}": int(c) for n, c in enumerate(counts) if c}
        many += compared(basis(wrong=min(wrong, 8)), answers).beyond
    assert many <= 0.05 * 200


def test_a_busy_customer_is_beyond_what_was_certified() -> None:
    """300 customers, of whom one sends half."""
    usual = {f"g{n}": 10 for n in range(300)}
    for busy in ("g7", "somebody"):
        found = compared(basis(), {**usual, busy: 3_000})
        assert found.effective < 50 and found.error == 1.0 and found.beyond
    alike = compared(basis("groups"), {**usual, "g7": 3_000})  # the control: groups count alike
    assert not alike.beyond and alike.effective == 300


def test_customers_that_err_more_and_send_more_are_beyond() -> None:
    """Twenty of 300 groups, six of them wrong, send ten times as much."""
    found = compared(basis(), {f"g{n}": 100 if n < 20 else 10 for n in range(300)})
    assert found.error > 0.1 and found.beyond and 0.3 < found.apart < 0.4
    fewer = compared(basis(), {f"g{n}": 100 if n >= 280 else 10 for n in range(300)})
    assert not fewer.beyond and fewer.apart == found.apart  # the control: others send more


def test_groups_that_nobody_knows_err_as_the_certificate_says() -> None:
    found = compared(basis(), {f"h{n}": 10 for n in range(300)}, nameless=100)
    assert (found.unknown, found.error, found.beyond) == (1.0, 0.04, False)
    few = compared(basis(), {f"g{n}": 10 for n in range(49)})
    assert few.error == 1.0 and few.beyond  # fewer than 50 groups certify nothing


def test_a_group_weighs_what_its_items_do() -> None:
    """Groups of 1 to 3 items with proportional traffic; with equal traffic they differ."""
    answers = tuple(SealedAnswer(f"g{n}", 1 + n % 3, n < 4) for n in range(300))
    found = Basis("answers", BOUND, DELTA, 0.04, answers)
    like = compared(found, {f"g{n}": 20 * (1 + n % 3) for n in range(300)})
    assert (like.apart, like.beyond) == (0.0, False)
    assert compared(found, {f"g{n}": 20 for n in range(300)}).apart > 0.1


def customers(seed: int, weight: str, busy: float, others: float, days: int = 365) -> bool:
    """True if a year of labels raises an alarm: a busy customer beside others."""
    generator = np.random.default_rng(seed)
    monitor, heaviest = Monitor(BOUND), 0.0
    answers = {"busy": 28 * BUSY, **{f"g{n}": 28 for n in range(OTHERS)}}
    for _ in range(days):
        day = [(bool(generator.random() < busy), "busy") for _ in range(generator.poisson(10))]
        seen = generator.integers(OTHERS, size=generator.poisson(10 * OTHERS / BUSY))
        day += [(bool(generator.random() < others), f"g{n}") for n in seen]
        if day:
            heaviest = bet(monitor, weight, day, answers, heaviest)
        if monitor.alarm(DELTA):
            return True
    return False


def weeks(seed: int, weight: str, usual: float, weekend: float, labels: int) -> bool:
    """True if a year of labels raises an alarm; weekends have a hundredth of the answers."""
    generator = np.random.default_rng(seed)
    monitor, heaviest = Monitor(BOUND), 0.0
    for number in range(365):
        rest = number % 7 > 4
        count = generator.poisson(labels * 0.01 * 2.5 / 0.99 if rest else labels)
        wrong = generator.random(count) < (weekend if rest else usual)
        if count:
            day = [(bool(each), "") for each in wrong]
            heaviest = bet(monitor, weight, day, {}, heaviest)
        if monitor.alarm(DELTA):
            return True
    return False


def share(alarms: list[bool]) -> float:
    return sum(alarms) / len(alarms)


def check_customers(years: int) -> None:
    """2.8 % wrong by groups, though 8.6 % of the answers are; and the other way round."""
    groups, answers = (
        share([customers(seed, weight, 0.15, 0.026) for seed in range(years)])
        for weight in ("groups", "answers")
    )
    told(f"busy customer 15 % wrong: alarms by groups {groups:.1%}, by answers {answers:.1%}")
    assert groups <= DELTA + 3 * (DELTA / years) ** 0.5 and answers > 2 * DELTA
    groups = share([customers(seed, "groups", 0.01, 0.15) for seed in range(years)])
    told(f"the other customers 15 % wrong: alarms by groups {groups:.1%}")
    assert groups > 0.9


def check_weeks(years: int, labels: int) -> None:
    """4.1 % of the answers are wrong, 7.1 % of the days' means; 6.45 % and 4.6 %."""
    answers, days = (
        share([weeks(seed, weight, 0.04, 0.15, labels) for seed in range(years)])
        for weight in ("answers", "")
    )
    told(f"{labels} labels, weekends 15 %: alarms by answers {answers:.1%}, by day {days:.1%}")
    assert answers <= DELTA + 3 * (DELTA / years) ** 0.5
    assert labels < 200 or days > 2 * DELTA  # the control: each day alike
    answers, days = (
        share([weeks(seed, weight, 0.065, 0.0, labels) for seed in range(years)])
        for weight in ("answers", "")
    )
    told(f"{labels} labels, 6.45 % wrong: found by answers {answers:.1%}, by day {days:.1%}")
    assert labels < 200 or (answers > 0.9 and days < answers / 2)


def test_a_monitor_weighs_customers_as_declared() -> None:
    check_customers(6)


def test_a_monitor_weighs_weekends_as_declared() -> None:
    check_weeks(5, 200)


@pytest.mark.slow
def test_customers_in_two_hundred_years() -> None:
    check_customers(200)


@pytest.mark.slow
@pytest.mark.parametrize("labels", [5, 20, 200])
def test_weekends_in_two_hundred_years(labels: int) -> None:
    check_weeks(200, labels)
