"""What so many groups can show, and how many groups a question needs.

Rules: numbers of groups are rounded up, effects are not rounded; the normal approximation plans,
it never decides; the exact binomial plans certificates.
"""

import math
from typing import Final, NamedTuple

from appliance.statistics.proportions import upper_limit
from appliance.statistics.special import beta_quantile, binomial_cdf, normal_quantile

ALPHA: Final = 0.05
POWER: Final = 0.8


def smallest_effect(
    groups: int, spread: float, alpha: float = ALPHA, power: float = POWER
) -> float:
    """The difference that a one-sided test at `alpha` finds with probability `power`.

    Args:
        spread: standard deviation of the groups' differences; the square root of the share of
            discordant items where every item is its own group (Connor, Biometrics 43, 1987).

    Raises:
        ValueError: no groups, or a spread that is not positive.
    """
    if groups < 1 or spread <= 0:
        raise ValueError("groups and spread are positive")
    return _both(alpha, power) * spread / math.sqrt(groups)


def groups_for_difference(
    margin: float,
    spread: float,
    difference: float = 0.0,
    alpha: float = ALPHA,
    power: float = POWER,
) -> int | None:
    """How many groups show that a candidate is not worse by `margin`; None: no number does.

    Args:
        difference: what is believed to be true, candidate minus incumbent (Blackwelder, Control.
            Clin. Trials 3, 1982, with the groups' differences in place of proportions).

    Raises:
        ValueError: the margin is negative or the spread is not positive.
    """
    if margin < 0 or spread <= 0:
        raise ValueError("a margin is not negative and a spread is positive")
    room = margin + difference
    if room <= 0:
        return None
    return math.ceil((_both(alpha, power) * spread / room) ** 2 - 1e-9)


def groups_without_error(bound: float, delta: float = ALPHA) -> int:
    """How many groups without one error certify a rate of at most `bound` (Louis, Am. Stat. 35,
    1981: the rule of three, exact).
    """
    if not (0 < bound < 1 and 0 < delta < 1):
        raise ValueError("a bound and delta are probabilities strictly between 0 and 1")
    return math.ceil(math.log(delta) / math.log1p(-bound) - 1e-9)


def groups_for_bound(
    bound: float, rate: float, delta: float = ALPHA, power: float = POWER, limit: int = 100_000
) -> int | None:
    """How many groups certify `bound` with probability `power` when `rate` is true.

    The exact power of Clopper & Pearson's upper limit; it saws, and the first number from which
    it reaches `power` is told. None: the rate is not below the bound, or `limit` is passed.
    """
    if rate >= bound:
        return None
    low, high = 0, groups_without_error(bound, delta)
    while _power(bound, rate, delta, high) < power:
        low, high = high, high * 2
        if high > limit:
            return None
    while high - low > 1:
        middle = (low + high) // 2
        if _power(bound, rate, delta, middle) < power:
            low = middle
        else:
            high = middle
    return high


class GroupsNeeded(NamedTuple):
    """How many groups would do, as a range; `high` is None where no number may do."""

    low: int
    likely: int
    high: int | None


def groups_range(
    bound: float, errors: int, accepted: int, seen: int, delta: float = ALPHA
) -> GroupsNeeded | None:
    """How many groups there must be in all to certify `bound`, by what was seen so far.

    Rate and coverage have Jeffreys' distribution; the medians are likely, the low end takes the
    5 % quantile of the rate and the 90 % quantile of the coverage, the high end 90 and 10 %. None:
    the likely rate is not below the bound.

    Args:
        accepted: of `seen` groups, how many were accepted at the threshold; `errors` of them wrong.
    """
    found = []
    for quantile, covered in ((0.05, 0.9), (0.5, 0.5), (0.9, 0.1)):
        rate = beta_quantile(quantile, errors + 0.5, accepted - errors + 0.5)
        share = beta_quantile(covered, accepted + 0.5, seen - accepted + 0.5)
        inside = groups_for_bound(bound, rate, delta)
        found.append(None if inside is None else math.ceil(inside / share))
    low, likely, high = found
    return None if low is None or likely is None else GroupsNeeded(low, likely, high)


def chance_for_bound(bound: float, rate: float, groups: int, delta: float = ALPHA) -> float:
    """The probability that so many groups certify `bound` where `rate` is true."""
    return _power(bound, rate, delta, groups) if groups else 0.0


def allowed_errors(bound: float, groups: int, delta: float = ALPHA) -> int:
    """The most errors with which so many groups still certify `bound`; -1: not even none."""
    low, high = -1, groups
    while high - low > 1:
        middle = (low + high) // 2
        if upper_limit(middle, groups, delta) <= bound:
            low = middle
        else:
            high = middle
    return low


def _power(bound: float, rate: float, delta: float, groups: int) -> float:
    return binomial_cdf(allowed_errors(bound, groups, delta), groups, rate)


def _both(alpha: float, power: float) -> float:
    return normal_quantile(1 - alpha) + normal_quantile(power)
