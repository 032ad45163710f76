"""The certificate of a route, from what its stages answered. Pure.

Rules:
- Open items fix function and thresholds; sealed ones decide, once.
- An announced draw takes one sealed item of a group. Where answers count alike, groups are drawn in
  proportion to their items.
- The first threshold with too much error, or with a route worse than its second stage, ends the
  search, so that both together are wrong with probability at most delta of one look.
- Items with times must have been certifiable at earlier times, too, and hold at the next.
- A stage's failure is its wrong answer; an item unasked for a reason of ours counts nowhere.
- Where company moves the first stage's confidence, each item counts at its worst
  (`confidence.counted`).
Sources: `statistics.risk`, `statistics.groups.paired_difference`; Berger (Technometrics 24, 1982)
for two tests in a step; rolling origins: Tashman, Int. J. Forecast. 16, 2000.
"""

import itertools
import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Final, Literal, NamedTuple, TypeAlias

import msgspec
import numpy as np

from appliance.errors import EvaluationRefused
from appliance.routing import confidence
from appliance.routing.confidence import MILLION, Confidence, Counted, Features
from appliance.routing.definition import Weight
from appliance.statistics import groups as grouped
from appliance.statistics.groups import draw_by_size, draw_one_each
from appliance.statistics.power import (
    GroupsNeeded,
    chance_for_bound,
    groups_range,
    groups_without_error,
)
from appliance.statistics.proportions import lower_limit
from appliance.statistics.risk import Certified, ThresholdStep, certify
from appliance.statistics.verdict import FEWEST
from appliance.text import percent
from appliance.trust.bytes import strict_json
from appliance.types import Json

FEWEST_ACCEPTED: Final = 60
"""Answers that the first threshold must accept."""
_COVERAGES: Final = tuple(round(0.05 + 0.025 * n, 3) for n in range(39))
_START: Final = 0.3
"""The first threshold accepts this share of what the open items seem to allow."""
_ORIGINS: Final = (0.5, 0.75)
"""Shares of the groups, in the order of time, that the backtest takes as the past."""
_LATER: Final[Mapping[str, Json]] = {"size": 1, "ruled": False, "unasked": ""}
"""Fields of lines that older versions did not write, and what these meant."""

_HOPELESS: Final = 0.1
"""Probability of a certificate below which no look is taken."""
_AFTER: Final = 0.1
"""Probability that a stable source is found not to hold in the times after."""

Reason: TypeAlias = Literal[
    "", "underpowered", "labels disagree", "too many errors", "unstable over time",
    "worse than the larger stage",
]  # fmt: skip
"""Why nothing is certified; "" where something is."""


@dataclass(frozen=True)
class CertificationTerms:
    """Requirements of a certification.

    Attributes:
        error: largest share of accepted answers that may be wrong.
        delta: probability of a wrong certificate, for this look only.
        margin: how much worse the route may be than its second stage.
        company: whether room is left for other requests in the batch of the first stage.
        weight: of what the error is a share.
    """

    error: float
    delta: float
    margin: float
    company: bool = False
    weight: Weight = "groups"


@dataclass(frozen=True)
class Observed:
    """The stages' results on one item.

    Attributes:
        features: of the first stage's answer; None where it gave none.
        small, larger: whether each was right; `larger` is None without a second stage.
        small_us, larger_us: microseconds of each.
        told, larger_told: digests of their answers; "" for none.
        size: items of its group in the split.
        ruled: whether a rule keeps it from the first stage, so that it was not asked.
        unasked: code of our reason for no answer; "" otherwise.
    """

    item: str
    group: str
    time: str
    features: Features | None
    small: bool
    larger: bool | None = None
    small_us: int = 0
    larger_us: int = 0
    told: str = ""
    larger_told: str = ""
    size: int = 1
    ruled: bool = False
    unasked: str = ""

    def line(self) -> bytes:
        """As JSON; newer fields are left out at their defaults."""
        told = asdict(self).items()
        return strict_json.dump({k: v for k, v in told if k not in _LATER or v != _LATER[k]})

    @property
    def counts(self) -> bool:
        """True if the first stage could have answered it."""
        return not (self.ruled or self.unasked)

    def score(self, function: Confidence) -> int:
        """Millionths; below every threshold without an answer."""
        return -1 if self.features is None else function.score(self.features)

    def counted(self, function: Confidence, *, company: bool) -> Counted:
        """As `confidence.counted`; otherwise as `score`."""
        if self.features is None:
            return Counted(-1, self.small)
        return confidence.counted(function, self.features, right=self.small, company=company)


def parse(line: bytes) -> Observed:
    """Read a line. Raises EvaluationRefused (`outcomes_invalid`)."""
    try:
        seen = msgspec.json.decode(line, type=Observed)
    except msgspec.MsgspecError as error:
        raise EvaluationRefused("outcomes_invalid", f"Outcomes cannot be used: {error}.") from error
    if seen.features is not None and not confidence.names_of(seen.features):
        raise EvaluationRefused(
            "outcomes_invalid", "Outcomes cannot be used: another version wrote their features."
        )
    return seen


@dataclass(frozen=True)
class CertificationPlan:
    """Choices fixed before a sealed split is opened.

    Attributes:
        thresholds: in millionths, strictly falling.
        start: the first one if there were groups enough; the missing number is computed for it.
        doubtful: who answers in place of the first stage: the larger one, or people where it is not
            better on such items.
        error: of the first stage on all open items.
    """

    function: Confidence
    thresholds: tuple[int, ...]
    start: int
    doubtful: Literal["larger", "people"]
    error: float
    areas: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Uncertifiable:
    """Why no look is taken.

    Attributes:
        needed: groups of a sealed split in all; None: no number helps.
    """

    reason: Reason
    message: str
    needed: GroupsNeeded | None = None


class Origin(NamedTuple):
    """One origin of the backtest.

    Attributes:
        threshold: in millionths; None where the past certifies nothing.
        share: accepted error of the past at its most cautious threshold; None where it accepts too
            few to be certified even without an error.
        limit: upper limit of that error.
        accepted, wrong: in the time after, at the threshold.
    """

    until: str
    groups: int
    threshold: int | None
    share: float | None
    limit: float
    accepted: int
    wrong: int


@dataclass(frozen=True)
class SealedVerdict:
    """Result on the sealed groups.

    Attributes:
        threshold: in millionths; None where nothing is certified.
        coverage: share of the groups that it accepts.
        limit: upper limit of the accepted error at the threshold, or at the first one that failed.
        difference: route minus second stage: value, lower and upper limit; None without one.
        needed: groups in all that would be enough; None for no known number.
    """

    reason: Reason
    threshold: int | None
    coverage: float
    groups: int
    limit: float
    needed: GroupsNeeded | None = None
    difference: tuple[float, float, float] | None = None
    avoided: tuple[float, float, float] | None = None
    origins: tuple[Origin, ...] = ()

    @property
    def certified(self) -> bool:
        return self.threshold is not None


def drawn(seen: Sequence[Observed], seed: str, weight: Weight = "groups") -> list[Observed]:
    """At most one item of each group, by the announced seed."""
    draw = draw_one_each if weight == "groups" else draw_by_size
    places = draw([o.item for o in seen], [o.group for o in seen], seed)
    return [seen[place] for place in places]


def plan(
    dev: Sequence[Observed],
    terms: CertificationTerms,
    groups: int,
    noise: float = 0.0,
    effective: float = math.inf,
) -> CertificationPlan | Uncertifiable:
    """Fix function and thresholds on open items, or say why a look would be wasted.

    Args:
        groups: number to draw of the sealed split.
        noise: share of wrong labels, which the best answerer is charged with, too.
        effective: groups of one size that weigh as those of the sealed split do.
    """
    enough = groups_without_error(terms.error, terms.delta)
    open_groups = len({o.group for o in dev})
    if open_groups < FEWEST:
        message = f"{open_groups} groups in dev are fewer than {FEWEST}, so that nothing can be set"
        return _refused("underpowered", message)
    if noise > terms.error:
        message = (
            f"repeated texts have labels of which {percent(noise)} contradict the commonest one"
        )
        return _refused("labels disagree", message)
    choice = _fitted(dev, company=terms.company)
    if choice is None:
        return _refused("too many errors", "the first stage gave no answer with a confidence")
    counted = [o.counted(choice.function, company=terms.company) for o in dev]
    scores = np.array([each.score for each in counted])
    right = np.array([each.right for each in counted])
    sizes = Counter(o.group for o in dev)
    weights = np.array([1 / sizes[o.group] if terms.weight == "groups" else 1.0 for o in dev])
    grid = _grid(scores, right, terms.error, weights)
    coverage, errors = grid.coverage, grid.errors
    if grid.start is None:
        best = min(errors.values(), default=1.0)
        room = ", with room for other requests in the batch" if terms.company else ""
        message = (
            f"on dev no threshold has fewer than {percent(best)} errors among accepted answers"
        )
        return _refused("too many errors", message + room)
    start = grid.start
    needed = _needed(start, choice.function, drawn(dev, "needed", terms.weight), terms)
    if groups < FEWEST:
        return _refused(
            "underpowered", f"{groups} sealed groups would be drawn, which are too few", needed
        )
    if effective < FEWEST:
        message = f"the sealed groups weigh as {effective:.0f} of one size do, fewer than {FEWEST}"
        return _refused("underpowered", message)
    fewest = max(FEWEST_ACCEPTED, enough)
    kept = [t for t in coverage if t <= start and coverage[t] * groups >= fewest]
    if not kept:
        message = f"of {groups} sealed groups fewer than {fewest} would be accepted"
        return _refused("underpowered", message, needed)
    accepted = int((scores >= kept[0]).sum())
    rate = (errors[kept[0]] * accepted + 0.5) / (accepted + 1)
    chance = chance_for_bound(terms.error, rate, int(coverage[kept[0]] * groups), terms.delta)
    if chance < _HOPELESS:
        message = f"by dev a look has a chance of {percent(chance)}"
        return _refused("underpowered", message, needed)
    doubtful = [o for o, score in zip(dev, scores, strict=True) if score < grid.least]
    error = 1 - sum(o.small for o in dev) / len(dev)
    return CertificationPlan(
        choice.function, tuple(kept), start, _better(doubtful), error, choice.areas
    )


class _Grid(NamedTuple):
    """Thresholds, most cautious first.

    Attributes:
        coverage, errors: of each threshold: accepted share, and its wrong share.
        start: the first one of a search; None where each has more errors than the bound.
        least: the least cautious one within the bound.
    """

    coverage: dict[int, float]
    errors: dict[int, float]
    start: int | None
    least: int


def _grid(
    scores: np.ndarray, right: np.ndarray, error: float, weights: np.ndarray | None = None
) -> _Grid:
    held = np.ones(len(scores)) if weights is None else weights
    levels = {int(np.quantile(scores, 1 - c, method="higher")) for c in _COVERAGES}
    falling = sorted((level for level in levels if level >= 0), reverse=True)
    inside = {t: float(held[scores >= t].sum()) for t in falling}
    coverage = {t: inside[t] / float(held.sum()) for t in falling}
    errors = {t: float(held[(scores >= t) & ~right].sum()) / inside[t] for t in falling}
    least = min((t for t in falling if errors[t] <= error), default=None)
    if least is None:
        return _Grid(coverage, errors, None, MILLION)
    start = next(t for t in falling if coverage[t] >= _START * coverage[least])
    return _Grid(coverage, errors, start, least)


def judge(
    plan: CertificationPlan,
    sealed: Sequence[Observed],
    dev: Sequence[Observed],
    terms: CertificationTerms,
    whole: float,
) -> SealedVerdict:
    """Decide on sealed items, drawn.

    Args:
        dev: open items, drawn: the past of the backtest.
        whole: delta over all looks, with which the backtest is made.
    """
    counted = [o.counted(plan.function, company=terms.company) for o in sealed]
    found = _certified(counted, plan.thresholds, terms.error, terms.delta)
    origins: tuple[Origin, ...] = ()
    if all(o.time for o in (*sealed, *dev)):
        origins = backtest([*dev, *sealed], terms.error, whole, company=terms.company)
    if origins and not held(origins, terms.error) and all(o.share is not None for o in origins):
        limit = found.steps[0].limit if found.steps else 1.0
        return _nothing("unstable over time", sealed, limit, origins=origins)
    if found.threshold is None:
        return _unshown(found, [*dev, *sealed], len(sealed), plan, terms, origins)
    kept, difference = _not_worse(found, sealed, counted, terms)
    if kept is None:
        return _nothing(
            "worse than the larger stage", sealed, found.steps[0].limit, difference=difference
        )
    if origins and not held(origins, terms.error):  # too few earlier groups to say it
        needed = GroupsNeeded(len(sealed), math.ceil(len(sealed) / _ORIGINS[0]), None)
        return _nothing("underpowered", sealed, kept.limit, needed=needed, origins=origins)
    scores = [o.score(plan.function) for o in sealed]
    return SealedVerdict(
        reason="",
        threshold=int(kept.threshold),
        coverage=sum(score >= kept.threshold for score in scores) / len(sealed),
        groups=len(sealed),
        limit=kept.limit,
        difference=difference,
        avoided=_avoided(sealed, scores, kept.threshold) if plan.doubtful == "larger" else None,
        origins=origins,
    )


def under_change(
    function: Confidence,
    thresholds: Sequence[int],
    sealed: Sequence[Observed],
    terms: CertificationTerms,
    rooms: Sequence[float],
) -> SealedVerdict | None:
    """The least cautious threshold that is certified still where answers may have changed.

    None where no threshold bears the change.

    Args:
        terms: with the margin that the change leaves.
        rooms: the bound at each threshold that the change leaves.
    """
    counted = [o.counted(function, company=terms.company) for o in sealed]
    found = _certified(counted, thresholds, terms.error, terms.delta, rooms)
    kept, difference = _not_worse(found, sealed, counted, terms)
    if kept is None:
        return None
    inside = sum(o.score(function) >= kept.threshold for o in sealed)
    coverage, groups = inside / len(sealed), len(sealed)
    threshold = int(kept.threshold)
    return SealedVerdict("", threshold, coverage, groups, kept.limit, difference=difference)


def backtest(
    seen: Sequence[Observed], error: float, delta: float, *, company: bool = False
) -> tuple[Origin, ...]:
    """Certify as of earlier times, and check each certificate on the time after.

    Function and thresholds are fitted to the past of each origin only; an item of the past is
    scored by a function that was fitted to the other half of its groups.

    Args:
        seen: one item of each group, with times.
    """
    ordered = sorted(seen, key=lambda o: (o.time, o.group))
    edges = [round(share * len(ordered)) for share in (*_ORIGINS, 1.0)]
    return tuple(
        _origin(ordered[:edge], ordered[edge:after], error, delta, company=company)
        for edge, after in itertools.pairwise(edges)
    )


def _origin(
    past: Sequence[Observed],
    after: Sequence[Observed],
    error: float,
    delta: float,
    *,
    company: bool,
) -> Origin:
    until, groups = past[-1].time, len(past)
    halves = [past[0::2], past[1::2]]  # every other group in the order of time
    choices = [_fitted(half, company=company) for half in halves]
    whole = _fitted(past, company=company)
    if whole is None or None in choices:
        return Origin(until, groups, None, None, 1.0, 0, 0)
    crossed = [
        o.counted(choice.function, company=company)
        for half, choice in zip(halves, reversed(choices), strict=True)
        for o in half
        if choice is not None
    ]
    scores = np.array([each.score for each in crossed])
    right = np.array([each.right for each in crossed])
    grid = _grid(scores, right, error)
    start = max(grid.coverage, default=0) if grid.start is None else grid.start
    thresholds = [t for t in grid.coverage if t <= start]
    found = _certified(crossed, thresholds, error, delta)
    threshold = None if found.threshold is None else int(found.threshold)
    first = found.steps[0] if found.steps else None
    later = [o.counted(whole.function, company=company) for o in after]
    taken = [each for each in later if threshold is not None and each.score >= threshold]
    return Origin(
        until,
        groups,
        threshold,
        first.errors / first.accepted if first else None,
        first.limit if first else 1.0,
        len(taken),
        sum(not each.right for each in taken),
    )


def _fitted(seen: Sequence[Observed], *, company: bool) -> confidence.ChosenFunction | None:
    answered = [o for o in seen if o.features is not None]
    if not answered:
        return None
    return confidence.fit(
        [o.features for o in answered if o.features is not None],
        [o.small for o in answered],
        [o.group for o in answered],
        company=company,
    )


def held(origins: Sequence[Origin], error: float) -> bool:
    """True if each past was certified, and the times after do not show more errors than the bound.

    They are tested together, exactly, at 10 %, one-sided.
    """
    if any(origin.threshold is None for origin in origins):
        return False
    accepted = sum(origin.accepted for origin in origins)
    wrong = sum(origin.wrong for origin in origins)
    return accepted > 0 and lower_limit(wrong, accepted, _AFTER) <= error


class Point(NamedTuple):
    """One threshold of the what-if curve.

    Attributes:
        low, high: two-sided 95 % limits of the accepted error.
    """

    threshold: int
    coverage: float
    error: float
    low: float
    high: float


def curve(
    function: Confidence, seen: Sequence[Observed], weight: Weight = "groups", most: int = 101
) -> list[Point]:
    """Error and coverage on open items by threshold, the most cautious first."""
    mean = grouped.mean if weight == "groups" else grouped.mean_of_items
    names = [o.group for o in seen]
    scores = np.array([o.score(function) for o in seen])
    levels = sorted({int(s) for s in scores if s >= 0}, reverse=True)
    step = max(1, math.ceil(len(levels) / most))
    points = []
    for threshold in levels[step - 1 :: step]:
        inside = [o for o, score in zip(seen, scores, strict=True) if score >= threshold]
        found = mean([float(not o.small) for o in inside], [o.group for o in inside])
        share = mean((scores >= threshold).astype(float).tolist(), names).value
        low, high = found.interval
        points.append(Point(threshold, share, found.value, low, high))
    return points


def _certified(
    counted: Sequence[Counted],
    thresholds: Sequence[int],
    error: float,
    delta: float,
    rooms: Sequence[float] = (),
) -> Certified:
    scores, wrong = [float(each.score) for each in counted], [not each.right for each in counted]
    return certify(scores, wrong, [float(t) for t in thresholds], error, delta, rooms)


def _not_worse(
    found: Certified,
    sealed: Sequence[Observed],
    counted: Sequence[Counted],
    terms: CertificationTerms,
) -> tuple[ThresholdStep | None, tuple[float, float, float] | None]:
    """The last certified step before the route is worse than its second stage; the difference."""
    kept, difference = None, None
    for step in found.steps:
        if found.threshold is None or step.threshold < found.threshold:
            break
        told = _difference(sealed, counted, step.threshold, terms)
        if told is not None and told[1] <= -terms.margin:
            return kept, difference or told
        kept, difference = step, told
    return kept, difference


def _unshown(
    found: Certified,
    seen: Sequence[Observed],
    size: int,
    plan: CertificationPlan,
    terms: CertificationTerms,
    origins: tuple[Origin, ...],
) -> SealedVerdict:
    """Nothing is certified: errors, or too few groups; `size` of those seen are sealed."""
    needed = _needed(plan.start, plan.function, seen, terms)
    limit = found.steps[0].limit if found.steps else 1.0
    reason: Reason = "too many errors" if found.steps and needed is None else "underpowered"
    return SealedVerdict(reason, None, 0.0, size, limit, needed, origins=origins)


def _needed(
    start: int, function: Confidence, seen: Sequence[Observed], terms: CertificationTerms
) -> GroupsNeeded | None:
    counted = [o.counted(function, company=terms.company) for o in seen]
    inside = [each for each in counted if each.score >= start]
    errors = sum(not each.right for each in inside)
    found = groups_range(terms.error, errors, len(inside), len(seen), terms.delta)
    if found is None:
        return None
    low, likely, high = found
    return GroupsNeeded(max(FEWEST, low), max(FEWEST, likely), high and max(FEWEST, high))


def _nothing(
    reason: Reason,
    sealed: Sequence[Observed],
    limit: float,
    needed: GroupsNeeded | None = None,
    difference: tuple[float, float, float] | None = None,
    origins: tuple[Origin, ...] = (),
) -> SealedVerdict:
    return SealedVerdict(reason, None, 0.0, len(sealed), limit, needed, difference, None, origins)


def _difference(
    sealed: Sequence[Observed],
    counted: Sequence[Counted],
    threshold: float,
    terms: CertificationTerms,
) -> tuple[float, float, float] | None:
    """Route minus second stage: an item that is not accepted is the second stage's own."""
    if any(o.larger is None for o in sealed):
        return None
    whole = [
        float(each.right if each.score >= threshold else bool(o.larger))
        for o, each in zip(sealed, counted, strict=True)
    ]
    alone = [float(bool(o.larger)) for o in sealed]
    names = [o.group for o in sealed]
    found = grouped.paired_difference(whole, alone, names, 1 - 2 * terms.delta)
    return found.value, found.interval.low, found.interval.high


def _better(doubtful: Sequence[Observed]) -> Literal["larger", "people"]:
    if not doubtful or any(o.larger is None for o in doubtful):
        return "people"
    found = grouped.paired_difference(
        [float(bool(o.larger)) for o in doubtful],
        [float(o.small) for o in doubtful],
        [o.group for o in doubtful],
    )
    return "larger" if found.interval.low > 0 else "people"


def _avoided(
    sealed: Sequence[Observed], scores: Sequence[int], threshold: float
) -> tuple[float, float, float] | None:
    """Seconds that the route saves, as a share of the second stage's for all, with 95 % limits.

    A ratio of means with the interval of its linearisation (Cochran, Sampling Techniques, 3rd ed.,
    1977, section 6.3).
    """
    before = np.array([float(o.larger_us) for o in sealed])
    kept = np.array([score >= threshold for score in scores])
    saved = np.where(kept, before, 0.0) - np.array([float(o.small_us) for o in sealed])
    if not before.sum():
        return None
    ratio = float(saved.sum() / before.sum())
    error = float(np.std(saved - ratio * before) / (before.mean() * math.sqrt(len(sealed))))
    return ratio, ratio - 1.96 * error, ratio + 1.96 * error


def _refused(reason: Reason, message: str, needed: GroupsNeeded | None = None) -> Uncertifiable:
    return Uncertifiable(reason, message, needed)
