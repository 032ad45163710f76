"""A threshold whose accepted error is bounded for this calibration, with confidence 1 - delta.

Rules: thresholds were fixed on another split; the first failure ends the search (fixed-sequence
testing), so that no share of delta is spent on their number; every observation is its own group.
Sources: Clopper & Pearson, Biometrika 26, 1934; Maurer, Hothorn & Lehmacher 1995 for the fixed
sequence; Angelopoulos et al., Ann. Appl. Stat. 19, 2025, "Learn then Test".
"""

import itertools
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from appliance.statistics.power import groups_without_error
from appliance.statistics.proportions import upper_limit


class ThresholdStep(NamedTuple):
    """One threshold: accepted answers, wrong ones among them, and the limit."""

    threshold: float
    accepted: int
    errors: int
    limit: float


class Certified(NamedTuple):
    """Result of the search.

    Attributes:
        threshold: accept answers of at least this confidence; None: nothing can be certified.
        coverage: accepted share of the observations.
        steps: all tests, in order.
    """

    threshold: float | None
    coverage: float
    steps: tuple[ThresholdStep, ...]


def certify(
    confidence: Sequence[float],
    wrong: Sequence[bool],
    thresholds: Sequence[float],
    bound: float,
    delta: float = 0.05,
    rooms: Sequence[float] = (),
) -> Certified:
    """The least cautious threshold whose accepted error is certified to be at most `bound`.

    A threshold that accepts too few to be certified without an error is skipped: the number that it
    accepts does not depend on which are wrong.

    Args:
        thresholds: strictly falling, fixed before `wrong` was known.
        rooms: the bound at each threshold, where they differ, fixed without `wrong`, too; a
            threshold without room is skipped.
    """
    if len(confidence) != len(wrong):
        raise ValueError("every confidence needs its outcome")
    if any(a <= b for a, b in itertools.pairwise(thresholds)):
        raise ValueError("thresholds fall strictly")
    scores, bad = np.asarray(confidence, dtype=np.float64), np.asarray(wrong, dtype=bool)
    best: float | None = None
    coverage = 0.0
    steps = []
    for threshold, room in zip(thresholds, rooms or [bound] * len(thresholds), strict=True):
        inside = scores >= threshold
        accepted, errors = int(inside.sum()), int((inside & bad).sum())
        if room <= 0 or accepted < groups_without_error(room, delta):
            continue
        limit = upper_limit(errors, accepted, delta)
        steps.append(ThresholdStep(float(threshold), accepted, errors, limit))
        if limit > room:
            break
        best, coverage = float(threshold), accepted / len(scores)
    return Certified(best, coverage, tuple(steps))
