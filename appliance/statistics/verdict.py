"""The verdict of a comparison: is the candidate worse than the incumbent by more than a margin?

Rules: pass needs the lower limit above minus the margin, fail the upper limit below it, everything
else is underpowered; so are fewer than `FEWEST` groups.
Source: Wellek, Testing Statistical Hypotheses of Equivalence and Noninferiority, 2nd ed., 2010.
"""

from typing import Final, Literal, NamedTuple, TypeAlias

from appliance.statistics.groups import GroupMean, mean_square
from appliance.statistics.power import ALPHA, TRUTH, GroupsNeeded, groups_for_truths
from appliance.types import FEWEST_GROUPS

FEWEST: Final = FEWEST_GROUPS

Outcome: TypeAlias = Literal["pass", "fail", "underpowered"]
Side: TypeAlias = Literal["better", "worse", "open"]


class Verdict(NamedTuple):
    """A verdict; `needed` is the number of groups that would decide.

    It is None after pass or fail, and where even the upper limit is more than `TRUTH` below nought:
    then no number of groups is known to pass.
    """

    outcome: Outcome
    needed: GroupsNeeded | None = None


def not_worse(estimate: GroupMean, margin: float, alpha: float = ALPHA) -> Verdict:
    """`estimate` is candidate minus incumbent.

    Args:
        alpha: of the needed groups.
    """
    if margin < 0:
        raise ValueError("a margin is not negative")
    if estimate.groups >= FEWEST:
        if estimate.interval.low > -margin:
            return Verdict("pass")
        if estimate.interval.high < -margin:
            return Verdict("fail")
    if estimate.interval.high < -TRUTH:
        return Verdict("underpowered")
    found = groups_for_truths(margin, mean_square(estimate), estimate.groups, alpha)
    return Verdict("underpowered", at_least_fewest(found))


def at_least_fewest(needed: GroupsNeeded | None) -> GroupsNeeded | None:
    """With no fewer groups than a verdict takes."""
    if needed is None:
        return None
    low, likely, high = needed
    return GroupsNeeded(max(FEWEST, low), max(FEWEST, likely), high and max(FEWEST, high))


def at_least(low: float, high: float, groups: int, floor: float) -> Outcome:
    """Judge an interval against a floor."""
    if groups >= FEWEST:
        if low >= floor:
            return "pass"
        if high < floor:
            return "fail"
    return "underpowered"


def side_of(estimate: GroupMean) -> Side:
    """The side that a difference is shown to be on; few groups show none."""
    if estimate.groups >= FEWEST:
        if estimate.interval.low > 0:
            return "better"
        if estimate.interval.high < 0:
            return "worse"
    return "open"


def too_few(groups: int) -> str:
    """A sentence; "" where there are enough."""
    if groups >= FEWEST:
        return ""
    return (
        f"Not enough data: {FEWEST - groups} more independent groups. With {groups} groups "
        f"candidates cannot be compared; you need at least {FEWEST}."
    )


def all_of(outcomes: list[Outcome]) -> Outcome:
    """Intersection-union (Berger, Technometrics 24, 1982): each must pass, one failure fails."""
    if "fail" in outcomes:
        return "fail"
    return "pass" if outcomes and all(o == "pass" for o in outcomes) else "underpowered"
