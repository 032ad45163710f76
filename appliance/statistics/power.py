"""Power of a number of groups, and the number of groups that a question needs.

Rules: numbers of groups are rounded up, effects are not rounded; the normal approximation plans and
never decides; the exact binomial plans certificates.
"""

import math
from typing import Final, NamedTuple

from appliance.statistics.paired import supposed_variance
from appliance.statistics.proportions import upper_limit, wilson
from appliance.statistics.special import beta_quantile, binomial_cdf, normal_quantile

ALPHA: Final = 0.05
POWER: Final = 0.8
TRUTH: Final = 0.02
"""A range of groups supposes a candidate to be so much better or worse than equal."""
_LIKELY: Final = 0.8
"""Confidence of the limits of what was seen, with which a range is planned."""


def smallest_effect(
    groups: int, spread: float, alpha: float = ALPHA, power: float = POWER
) -> float:
    """The difference that a one-sided test at `alpha` finds with probability `power`.

    Args:
        spread: standard deviation of the groups' differences; the square root of the share of
            discordant items where every item is its own group (Connor, Biometrics 43, 1987).
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
    """Number of groups that show a candidate not worse by `margin`; None: no number does.

    Args:
        difference: believed candidate minus incumbent (Blackwelder, Control. Clin. Trials 3, 1982,
            with the groups' differences in place of proportions).
    """
    if margin < 0 or spread <= 0:
        raise ValueError("a margin is not negative and a spread is positive")
    room = margin + difference
    if room <= 0:
        return None
    return math.ceil((_both(alpha, power) * spread / room) ** 2 - 1e-9)


def groups_without_error(bound: float, delta: float = ALPHA) -> int:
    """Groups without one error that certify a rate of at most `bound` (Louis, Am. Stat. 35,
    1981: the rule of three, exact).
    """
    if not (0 < bound < 1 and 0 < delta < 1):
        raise ValueError("a bound and delta are probabilities strictly between 0 and 1")
    return math.ceil(math.log(delta) / math.log1p(-bound) - 1e-9)


def groups_for_bound(
    bound: float, rate: float, delta: float = ALPHA, power: float = POWER, limit: int = 100_000
) -> int | None:
    """Number of groups that certify `bound` with probability `power` when `rate` is true.

    The exact power of Clopper & Pearson's upper limit; it saws; the result is the first number that
    reaches `power`. None: the rate is not below the bound, or `limit` is passed.
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
    """`high` is None where no number is known to be enough."""

    low: int
    likely: int
    high: int | None


def groups_range(
    bound: float, errors: int, accepted: int, seen: int, delta: float = ALPHA
) -> GroupsNeeded | None:
    """Number of groups in all that certify `bound`, by the observations so far.

    Rate and coverage have Jeffreys' distribution; the medians are likely, the low end takes the 2.5
    % quantile of the rate and the 90 % quantile of the coverage, the high end 90 and 10 %: after a
    failed look the errors are more than the rate's. None: the likely rate is not below the bound.

    Args:
        accepted: of `seen` groups, accepted at the threshold; `errors` of them wrong.
    """
    found = []
    for quantile, covered in ((0.025, 0.9), (0.5, 0.5), (0.9, 0.1)):
        rate = beta_quantile(quantile, errors + 0.5, accepted - errors + 0.5)
        share = beta_quantile(covered, accepted + 0.5, seen - accepted + 0.5)
        inside = groups_for_bound(bound, rate, delta)
        found.append(None if inside is None else math.ceil(inside / share))
    low, likely, high = found
    return None if low is None or likely is None else GroupsNeeded(low, likely, high)


def groups_for_truths(
    margin: float, second: float, groups: int, alpha: float = ALPHA, power: float = POWER
) -> GroupsNeeded | None:
    """The groups that show that a candidate is not worse by `margin`, for three truths.

    Likely: it is equal; low: it is `TRUTH` better, and the two differ as seldom as the data allow;
    high: it is `TRUTH` worse, and they differ as often. The expected counts in Tango's score test,
    as Nam (Biometrics 53, 1997) plans it.

    Args:
        second: mean square of the groups' differences: with one item a group the share on which one
            side alone is right.
        groups: observed ones.
    """
    seen = wilson(second * groups, groups, _LIKELY)
    low, likely, high = (
        _not_worse(margin, differ, truth, alpha, power)
        for differ, truth in ((seen.low, TRUTH), (sum(seen) / 2, 0.0), (seen.high, -TRUTH))
    )
    return None if low is None or likely is None else GroupsNeeded(low, likely, high)


def _not_worse(
    margin: float, differ: float, truth: float, alpha: float, power: float
) -> int | None:
    room = margin + truth
    if room <= 0:
        return None
    differ = max(differ, abs(truth))
    gained, lost = (differ + truth) / 2, (differ - truth) / 2
    at_margin = math.sqrt(supposed_variance(gained, lost, 1, -margin))
    truly = math.sqrt(differ - truth * truth)
    both = normal_quantile(1 - alpha) * at_margin + normal_quantile(power) * truly
    return math.ceil((both / room) ** 2 - 1e-9)


def groups_for_floor(
    floor: float,
    value: float,
    size: float,
    groups: int,
    alpha: float = ALPHA,
    power: float = POWER,
) -> GroupsNeeded | None:
    """The groups that show that a mean reaches a floor, by the observations.

    The score test with continuity correction behind the mean's limit (Fleiss, Levin & Paik,
    Statistical Methods for Rates and Proportions, 3rd ed., 2003, section 2.4). Where the likely
    mean does not reach the floor, only the low end is reported; None: the mean's upper limit does
    not reach it.

    Args:
        size: effective number of trials behind `value`, in so many `groups`.
    """
    seen = wilson(value * size, size, _LIKELY)
    found: list[int | None] = []
    for rate in (seen.high, sum(seen) / 2, seen.low):
        if rate <= floor:
            found.append(None)
            continue
        at_floor, truly = math.sqrt(floor * (1 - floor)), math.sqrt(rate * (1 - rate))
        both = normal_quantile(1 - alpha) * at_floor + normal_quantile(power) * truly
        plain = (both / (rate - floor)) ** 2
        whole = plain / 4 * (1 + math.sqrt(1 + 2 / (plain * (rate - floor)))) ** 2
        found.append(math.ceil(whole * groups / size - 1e-9))
    low, likely, high = found
    return None if low is None else GroupsNeeded(low, likely or low, high)


def chance_for_bound(bound: float, rate: float, groups: int, delta: float = ALPHA) -> float:
    """The chance that so many groups certify `bound`."""
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
