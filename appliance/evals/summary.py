"""Summary of candidates' outcomes: quality with intervals, speed, slices, comparisons. Pure.

Rules: quality is the mean over items weighted by group, with its interval over groups; of several
comparisons with one baseline, all hold together with the stated confidence (Bonferroni); speed is
never mixed into quality.
"""

import itertools
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from appliance.errors import EvaluationRefused
from appliance.evals.outcomes import Outcome
from appliance.statistics import groups, paired, scores
from appliance.statistics.groups import GroupMean

Outcomes = Sequence[Outcome]
_BINS: Final = 10
_LEAST: Final = 20
"""Answers of a point of the calibration plot."""


@dataclass(frozen=True)
class Summary:
    """One candidate on one split.

    Attributes:
        documents_per_second: by the wall time of all answers.
        p50, p95: seconds of one answer.
        slices: quality by stratum, where items have one.
        calibration_error: of the confidence; None where the candidate has none.
        reliability: for parts of about equal size, the least sure first, the mean confidence and
            the share that is right; empty where nothing varies, or answers are few.
    """

    name: str
    quality: GroupMean
    items: int
    documents_per_second: float
    p50: float
    p95: float
    tokens: int
    wrong: int
    failures: dict[str, int]
    slices: dict[str, GroupMean]
    calibration_error: GroupMean | None = None
    reliability: tuple[tuple[float, GroupMean], ...] = ()


@dataclass(frozen=True)
class Comparison:
    """Two candidates on the same items: the first minus the second.

    Attributes:
        confidence: of the interval by itself.
        gained, lost: ids of items that only the first, or only the second, has wholly right.
        p_value: of McNemar's exact test on these; unlike the interval it treats items as
            independent.
    """

    first: str
    second: str
    difference: GroupMean
    confidence: float
    gained: tuple[str, ...]
    lost: tuple[str, ...]

    @property
    def p_value(self) -> float:
        return paired.mcnemar(len(self.gained), len(self.lost))


def summarise(name: str, outcomes: Outcomes, seconds: float) -> Summary:
    """Raises EvaluationRefused (`evaluation_empty`).

    Args:
        seconds: wall time of all answers together.
    """
    if not outcomes:
        raise EvaluationRefused("evaluation_empty", f"{name} has no outcomes.")
    times = sorted(outcome.microseconds / 1e6 for outcome in outcomes)
    failures: dict[str, int] = defaultdict(int)
    for outcome in outcomes:
        if outcome.failure:
            failures[outcome.failure] += 1
    return Summary(
        name=name,
        quality=_quality(outcomes),
        items=len(outcomes),
        documents_per_second=len(outcomes) / seconds if seconds > 0 else 0.0,
        p50=_quantile(times, 0.5),
        p95=_quantile(times, 0.95),
        tokens=sum(outcome.tokens for outcome in outcomes),
        wrong=sum(outcome.wrong for outcome in outcomes),
        failures=dict(sorted(failures.items())),
        slices=_slices(outcomes),
        calibration_error=_calibration(outcomes),
        reliability=_reliability(outcomes),
    )


def compare(
    first: str, ones: Outcomes, second: str, others: Outcomes, confidence: float = 0.95
) -> Comparison:
    """Compare item by item. Raises EvaluationRefused: `outcomes_incomplete` for other items."""
    by_item = {outcome.item: outcome for outcome in others}
    if len(ones) != len(others) or {outcome.item for outcome in ones} != set(by_item):
        raise EvaluationRefused(
            "outcomes_incomplete", f"{first} and {second} did not answer the same items."
        )
    pairs = [(outcome, by_item[outcome.item]) for outcome in ones]
    difference = groups.paired_difference(
        [one.score for one, _ in pairs],
        [other.score for _, other in pairs],
        [one.group for one, _ in pairs],
        confidence,
    )
    return Comparison(
        first,
        second,
        difference,
        confidence,
        gained=tuple(a.item for a, b in pairs if a.score == 1 > b.score),
        lost=tuple(a.item for a, b in pairs if b.score == 1 > a.score),
    )


def compare_all(
    baseline: str, candidates: Mapping[str, Outcomes], confidence: float = 0.95
) -> list[Comparison]:
    """Compare all with the baseline; the intervals hold together."""
    others = [name for name in candidates if name != baseline]
    each = 1 - (1 - confidence) / max(1, len(others))
    theirs = candidates[baseline]
    return [compare(name, candidates[name], baseline, theirs, each) for name in others]


def _quality(outcomes: Outcomes) -> GroupMean:
    return groups.mean([o.score for o in outcomes], [o.group for o in outcomes])


def _slices(outcomes: Outcomes) -> dict[str, GroupMean]:
    parts: dict[str, list[Outcome]] = defaultdict(list)
    for outcome in outcomes:
        if outcome.stratum:
            parts[outcome.stratum].append(outcome)
    return {name: _quality(parts[name]) for name in sorted(parts)}


def _calibration(outcomes: Outcomes) -> GroupMean | None:
    told = [o for o in outcomes if o.confidence_micros is not None]
    if not told:
        return None
    confidence = [(o.confidence_micros or 0) / 1e6 for o in told]
    return scores.calibration_error(
        confidence, [o.score == 1 for o in told], [o.group for o in told]
    )


def _reliability(outcomes: Outcomes) -> tuple[tuple[float, GroupMean], ...]:
    told = sorted(
        (o for o in outcomes if o.confidence_micros is not None),
        key=lambda o: (o.confidence_micros or 0, o.item),
    )
    bins = min(_BINS, len(told) // _LEAST)
    if bins < 2 or told[0].confidence_micros == told[-1].confidence_micros:
        return ()
    edges = [len(told) * n // bins for n in range(bins + 1)]
    parts = [told[start:end] for start, end in itertools.pairwise(edges)]
    return tuple(
        (
            sum(o.confidence_micros or 0 for o in part) / 1e6 / len(part),
            groups.mean([float(o.score == 1) for o in part], [o.group for o in part]),
        )
        for part in parts
    )


def _quantile(ordered: Sequence[float], share: float) -> float:
    return ordered[min(len(ordered) - 1, max(0, -int(-share * len(ordered) // 1) - 1))]
