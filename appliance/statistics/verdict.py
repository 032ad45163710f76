"""The verdict of a comparison: is the candidate worse than the incumbent by more than a margin?

Rules: the margin was fixed before the outcomes were seen; pass needs the lower limit above minus
the margin, fail the upper limit below it, everything else is underpowered; fewer than `FEWEST`
groups are always underpowered; an underpowered verdict says how many groups are missing.
Source: Wellek, Testing Statistical Hypotheses of Equivalence and Noninferiority, 2nd ed., 2010.
"""

from typing import Final, Literal, NamedTuple, TypeAlias

from appliance.statistics.groups import Estimate
from appliance.statistics.power import ALPHA, POWER, groups_for_difference

FEWEST: Final = 50

Outcome: TypeAlias = Literal["pass", "fail", "underpowered"]


class Verdict(NamedTuple):
    """A verdict; `missing` groups would be needed beyond those that were counted.

    `missing` is 0 after pass or fail; None says that no number of groups is expected to pass,
    because the candidate looks worse than the margin allows.
    """

    outcome: Outcome
    missing: int | None


def not_worse(
    estimate: Estimate, margin: float, alpha: float = ALPHA, power: float = POWER
) -> Verdict:
    """Judge a paired difference, candidate minus incumbent, against a margin.

    Args:
        estimate: what `groups.difference` gave at confidence 1 - 2 `alpha`.
        alpha: with which the missing groups are planned; it is that of the interval.

    Raises:
        ValueError: the margin is negative.
    """
    if margin < 0:
        raise ValueError("a margin is not negative")
    if estimate.groups >= FEWEST:
        if estimate.interval.low > -margin:
            return Verdict("pass", 0)
        if estimate.interval.high < -margin:
            return Verdict("fail", 0)
    spread = max(estimate.spread, (2 / (estimate.groups + 2)) ** 0.5)
    needed = groups_for_difference(margin, spread, estimate.value, alpha, power)
    if needed is None:
        return Verdict("underpowered", None)
    return Verdict("underpowered", max(needed, FEWEST, estimate.groups + 1) - estimate.groups)


def at_least(low: float, high: float, groups: int, floor: float) -> Outcome:
    """Judge the interval of one mean against a floor that it must reach."""
    if groups >= FEWEST:
        if low >= floor:
            return "pass"
        if high < floor:
            return "fail"
    return "underpowered"


def all_of(outcomes: list[Outcome]) -> Outcome:
    """Intersection-union (Berger, Technometrics 24, 1982): each must pass, one failure fails."""
    if "fail" in outcomes:
        return "fail"
    return "pass" if outcomes and all(o == "pass" for o in outcomes) else "underpowered"
