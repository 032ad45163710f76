"""Confidence in an answer: a probability that it is right, from the stage's decisions. Pure.

Rules:
- Features come from raw probabilities where the stage had a choice; they depend on no sampling
  setting of the request.
- Other requests in a model's batch move its confidence. A certificate counts a right answer at the
  lowest score that they can give it, a wrong one at the highest.
- Scores are whole millionths, so that calibration and serving compare the same number.
Sources: El-Yaniv & Wiener, J. Mach. Learn. Res. 11, 2010, for the risk-coverage curve that chooses
between functions; Guo et al., ICML 2017.
"""

import functools
import hashlib
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple, TypeAlias

import numpy as np

from appliance.errors import Refused
from appliance.statistics import calibration, logistic
from appliance.statistics.calibration import Isotonic
from appliance.statistics.logistic import Fitted
from appliance.types import Decided, JsonValue, TaskAnswer

MILLION: Final = 1_000_000
LABELS: Final[tuple[str, ...]] = ("top", "margin", "entropy", "mass")
FIELDS: Final[tuple[str, ...]] = (
    "least", "mean", "quantile", "closest", "widest", "masked", "agreement", "length",
)  # fmt: skip
P_TRUE: Final = "p_true"
COMPANY: Final = 0.5
"""Most by which other requests in its batch move the log-odds of a model's choice; as far as the
tests let a likely token's log-probability move (ADR 0009), and more than was seen (ADR 0058)."""
TOKENS: Final = 0.75
"""The same of the margin between two tokens, which both move."""
_LOG_ODDS: Final = frozenset({"top", "margin", P_TRUE})
_LOGARITHMS: Final = frozenset({"mass", "least", "mean", "quantile", "masked"})
_FIXED: Final = frozenset({"length"})
_FOLDS: Final = 5
_LEAST: Final = 1e-12
_BOUND: Final = 1e6

Features: TypeAlias = tuple[float, ...]
"""Of one answer, in the order of one of the forms, which differ in length."""

_FORMS: Final[Mapping[int, tuple[str, ...]]] = {
    len(names): names for form in (LABELS, FIELDS) for names in (form, (*form, P_TRUE))
}
"""The names of the features of each form of answers, by how many they are."""


def features(about: TaskAnswer) -> Features | None:
    """Features of an answer; None where its form has no confidence.

    Of a distribution over labels:

    - `top`: log-odds of the likeliest label.
    - `margin`: logarithm of its probability over the second label's.
    - `entropy`: of the distribution, as a share of the largest there is.
    - `mass`: logarithm of all labels' raw probability; the rest is masked.

    Of fields, the worst one's:

    - `least`, `mean`, `quantile`: of the logarithms of its tokens' probabilities; the quantile at
      25 %.
    - `closest`: the smallest margin of the two likeliest tokens, as a logarithm.
    - `widest`: the largest entropy at a choice of a token, in nats.
    - `masked`: the smallest log-probability that the schema's allowed tokens had together.
    - `agreement`: logarithm of the probability that a sample at temperature 1 is the same in all
      fields together.
    - `length`: logarithm of the number of tokens chosen in all fields together.

    Of both, where the model was asked whether its answer is right:

    - `p_true`: log-odds of its "yes".
    """
    found = _of_fields(about.decided) if about.decided else _of_labels(about)
    if found is None or about.p_true is None:
        return found
    return (*found, _log_odds(about.p_true))


def _of_labels(about: TaskAnswer) -> Features | None:
    shares = sorted((share for _, share in about.distribution), reverse=True)
    if len(shares) < 2:
        return None
    first, second = (max(share, _LEAST) for share in shares[:2])
    entropy = -math.fsum(share * math.log(share) for share in shares if share > 0)
    return (
        _log_odds(shares[0]),
        math.log(first) - math.log(second),
        entropy / math.log(len(shares)),
        max(about.mass or 0.0, -_BOUND),
    )


def _of_fields(fields: Sequence[Decided]) -> Features:
    return (
        min(field.least for field in fields),
        min(field.mean for field in fields),
        min(field.quantiles[1] for field in fields),
        min(field.margin for field in fields),
        max(field.entropy for field in fields),
        min(field.mass for field in fields),
        math.fsum(field.alike for field in fields),
        math.log(sum(field.tokens for field in fields)),
    )


def _log_odds(share: float) -> float:
    return math.log(max(share, _LEAST)) - math.log(max(1 - share, _LEAST))


def names_of(found: Features) -> tuple[str, ...]:
    """Empty where no form has such features."""
    return _FORMS.get(len(found), ())


def moved(name: str, value: float) -> tuple[float, float]:
    """The lowest and the highest value that company can give a feature.

    Where log-odds move by at most d, the logarithm of a probability moves by at most d, and is
    multiplied by at most exp(d); so are sums of such logarithms, and an entropy.
    """
    if name in _FIXED:
        return value, value
    if name == "closest":
        return value - TOKENS, value + TOKENS
    if name in _LOG_ODDS:
        return value - COMPANY, value + COMPANY
    low, high = sorted((value * math.exp(COMPANY), value * math.exp(-COMPANY)))
    if name in _LOGARITHMS:
        return max(low, value - COMPANY), min(high, value + COMPANY)
    return low, high


def may_turn(found: Features) -> bool:
    """True if company can make it another answer."""
    names = names_of(found)
    name = "margin" if "margin" in names else "closest"
    return moved(name, found[names.index(name)])[0] <= 0


@dataclass(frozen=True)
class Logistic:
    """Logistic regression on some of the features."""

    names: tuple[str, ...]
    fitted: Fitted

    def score(self, found: Features) -> int:
        return round(MILLION * self.fitted.apply(_chosen(found, self.names)))

    def range(self, found: Features) -> tuple[int, int]:
        sides = [
            sorted(moved(name, value), key=lambda end, w=weight: w * end)  # type: ignore[misc]
            for name, value, weight in zip(
                self.names, _chosen(found, self.names), self.fitted.weights, strict=True
            )
        ]
        low, high = (self.fitted.apply([side[end] for side in sides]) for end in (0, 1))
        return round(MILLION * low), round(MILLION * high)

    def document(self) -> dict[str, JsonValue]:
        weights = dict(zip(self.names, self.fitted.weights, strict=True))
        return {"kind": "logistic", "weights": weights, "intercept": self.fitted.intercept}


@dataclass(frozen=True)
class Steps:
    """Isotonic regression on one feature."""

    name: str
    fitted: Isotonic

    def score(self, found: Features) -> int:
        (value,) = self.fitted.apply(_chosen(found, (self.name,)))
        return round(MILLION * float(value))

    def range(self, found: Features) -> tuple[int, int]:
        low, high = self.fitted.apply(moved(self.name, *_chosen(found, (self.name,))))
        return round(MILLION * float(low)), round(MILLION * float(high))

    def document(self) -> dict[str, JsonValue]:
        return {**self.fitted.coefficients(), "feature": self.name}


Confidence: TypeAlias = Logistic | Steps


class Counted(NamedTuple):
    """Score and outcome by which an answer counts."""

    score: int
    right: bool


def counted(function: Confidence, found: Features, *, right: bool, company: bool) -> Counted:
    """Count an answer as measured, or at the worst that company makes of it.

    Of the answers above a threshold, in any company, at most the share of wrong ones so counted is
    wrong: W / (W + C) grows with W and falls with C.
    """
    if not company:
        return Counted(function.score(found), right)
    low, high = function.range(found)
    stays = right and not may_turn(found)
    return Counted(low if stays else high, stays)


@dataclass(frozen=True)
class ChosenFunction:
    """A fitted function.

    Attributes:
        areas: of the candidates, cross-validated; smaller is better.
    """

    function: Confidence
    areas: Mapping[str, float]


def fit(
    rows: Sequence[Features],
    right: Sequence[bool],
    groups: Sequence[str],
    *,
    company: bool = False,
) -> ChosenFunction:
    """Fit the candidates and choose the one with the smallest area in cross-validation by group.

    Candidates are logistic regression on all features, on all but one, and on a single one, and
    isotonic regression on the margin of labels or the least token of fields: the ablation. Of
    equals the earlier is chosen.

    Args:
        rows: all of one form.
        company: whether the areas are those of answers as `counted` counts them.

    Raises:
        ValueError: lengths differ or are 0.
    """
    if not len(rows) == len(right) == len(groups) or not rows:
        raise ValueError("every row needs its outcome and its group, and at least one row")
    known = names_of(rows[0])
    candidates: dict[str, tuple[str, ...]] = {"all": known}
    candidates |= {f"without {n}": tuple(f for f in known if f != n) for n in known}
    candidates |= {f"{n} alone": (n,) for n in known}
    folds = [int(hashlib.sha256(group.encode()).hexdigest(), 16) % _FOLDS for group in groups]
    areas = {
        name: _crossed(rows, right, folds, names, company=company)
        for name, names in candidates.items()
    }
    areas["isotonic"] = _crossed(rows, right, folds, None, company=company)
    best = min(areas, key=lambda name: areas[name])
    return ChosenFunction(_fitted(rows, right, candidates.get(best)), areas)


def read(value: object) -> Confidence:
    """The function of coefficients from outside. Raises Refused (`coefficients_invalid`)."""
    table = dict(value) if isinstance(value, dict) else {}
    if table.get("kind") == "logistic" and set(table) == {"kind", "weights", "intercept"}:
        weights, intercept = table["weights"], table["intercept"]
        if isinstance(weights, dict) and weights and _one_form(set(weights)):
            numbers = [intercept, *weights.values()]
            if all(type(n) in (int, float) and abs(n) < _BOUND for n in numbers):
                fitted = Fitted(tuple(map(float, weights.values())), float(intercept))
                return Logistic(tuple(weights), fitted)
    name = table.pop("feature", None)
    if isinstance(name, str) and _one_form({name}):
        return Steps(name, calibration.read(table))
    raise Refused("coefficients_invalid", "The function of a route's confidence cannot be used.")


def area(scores: Sequence[float], right: Sequence[bool]) -> float:
    """The area under the risk-coverage curve: the mean error of the first 1, 2, 3, … by score.

    Answers with equal scores count with their mean error.
    """
    order = np.argsort(-np.asarray(scores, dtype=np.float64), kind="stable")
    ordered = np.asarray(scores, dtype=np.float64)[order]
    wrong = 1 - np.asarray(right, dtype=np.float64)[order]
    _, place, count = np.unique(-ordered, return_inverse=True, return_counts=True)
    wrong = (np.bincount(place, weights=wrong) / count)[place]
    return float(np.mean(np.cumsum(wrong) / np.arange(1, len(wrong) + 1)))


def _crossed(
    rows: Sequence[Features],
    right: Sequence[bool],
    folds: Sequence[int],
    names: tuple[str, ...] | None,
    *,
    company: bool,
) -> float:
    found = [Counted(0, right=False)] * len(rows)
    for fold in set(folds):
        inside = [n for n, other in enumerate(folds) if other != fold] or range(len(rows))
        function = _fitted([rows[n] for n in inside], [right[n] for n in inside], names)
        for n, other in enumerate(folds):
            if other == fold:
                found[n] = counted(function, rows[n], right=right[n], company=company)
    return area([each.score for each in found], [each.right for each in found])


def _fitted(
    rows: Sequence[Features], right: Sequence[bool], names: tuple[str, ...] | None
) -> Confidence:
    if names is None:
        name = "margin" if "margin" in names_of(rows[0]) else "least"
        scores = [_chosen(row, (name,))[0] for row in rows]
        return Steps(name, calibration.fit_isotonic(scores, right))
    return Logistic(names, logistic.fit([_chosen(row, names) for row in rows], right))


def _chosen(found: Features, names: tuple[str, ...]) -> tuple[float, ...]:
    return tuple([found[place] for place in _places(len(found), names)])


@functools.cache
def _places(count: int, names: tuple[str, ...]) -> tuple[int, ...]:
    return tuple(map(_FORMS[count].index, names))


def _one_form(names: set[object]) -> bool:
    return any(names <= set(form) for form in _FORMS.values())
