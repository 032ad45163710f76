"""Weight of a day of labels, and the distance of requests' weights from a certificate's. Pure.

Rules:
- Groups or answers count alike as in the certificate; older certificates weigh each day alike.
- Labels are drawn from answers alike: where groups count alike, one weighs the less the more
  answers its group got.
- Weights of fewer than 50 groups of one size certify nothing; a group without sealed answers is
  taken to err as the certificate says.
- Figures about sealed answers are rounded to a point.
Sources: Horvitz & Thompson, J. Am. Stat. Assoc. 47, 1952; Kish, Survey Sampling, 1965, with the
squares of counts freed of the chance in them; Korn & Graubard, Surv. Methodol. 24, 1998.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from appliance.statistics.betting import Monitor
from appliance.statistics.proportions import upper_limit
from appliance.statistics.verdict import FEWEST
from appliance.wire.admin.routes import Traffic


@dataclass(frozen=True)
class SealedAnswer:
    """A sealed answer that counts and that the certified threshold accepts.

    Attributes:
        size: items of its group in the sealed split.
    """

    group: str
    size: int
    wrong: bool


@dataclass(frozen=True)
class Basis:
    """Sealed answers of a certificate, and the delta and limit of its look."""

    weight: str
    bound: float
    delta: float
    limit: float
    answers: tuple[SealedAnswer, ...]


def bet(
    monitor: Monitor,
    weight: str,
    day: Sequence[tuple[bool, str]],
    answers: Mapping[str, int],
    heaviest: float,
) -> float:
    """Settle a day of labels: wrong or not, and the answer's group.

    Args:
        heaviest: day so far; 0 before the first.

    Returns:
        The heaviest day now.
    """
    usual = sum(answers.values()) / len(answers) if answers else 1.0
    masses = [1.0] * len(day)
    if weight == "groups":
        masses = [usual / max(1, answers.get(group, usual)) for _, group in day]
    mass = math.fsum(masses)
    share = math.fsum(m for m, (wrong, _) in zip(masses, day, strict=True) if wrong) / mass
    most = max(heaviest, mass)
    monitor.observe(min(1.0, share), mass / most if weight else 1.0)
    return most


def compared(basis: Basis, answers: Mapping[str, int], nameless: int = 0) -> Traffic:
    """Compare answers' weights with a certificate's.

    Args:
        nameless: answers whose group is not reported.
    """
    alike = basis.weight != "answers"
    weights = {group: 1.0 if alike else float(count) for group, count in answers.items()}
    spreads = {g: 1.0 if alike else float(count * (count - 1)) for g, count in answers.items()}
    total = math.fsum(weights.values())
    effective = _effective(list(weights.values()), list(spreads.values()))
    inside = [each for each in basis.answers if each.group in weights]
    known = math.fsum(weights[group] for group in {each.group for each in inside})
    unknown = 1 - known / (total + (0 if alike else nameless))
    sizes = [1 if alike else each.size for each in inside]
    ratios = [weights[each.group] / size for each, size in zip(inside, sizes, strict=True)]
    squares = [spreads[e.group] / size**2 for e, size in zip(inside, sizes, strict=True)]
    few = _effective(ratios, squares)
    apart, error = 0.0, basis.limit
    if inside:
        whole = sum(sizes)
        apart = sum(
            abs(weights[each.group] / known - size / whole)
            for each, size in zip(inside, sizes, strict=True)
        )
    if few >= FEWEST:
        wrong = math.fsum(r for r, each in zip(ratios, inside, strict=True) if each.wrong)
        limit = upper_limit(wrong / math.fsum(ratios) * few, few, basis.delta)
        error = (1 - unknown) * limit + unknown * basis.limit
    if effective < FEWEST:
        error = 1.0
    error = round(error, 2)
    beyond = error > basis.bound
    return Traffic(
        groups=len(answers), effective=effective, unknown=round(unknown, 2),
        apart=round(apart / 2, 2), error=error, beyond=beyond,
    )  # fmt: skip


def _effective(weights: Sequence[float], squares: Sequence[float]) -> float:
    """Kish's number, at most as many as there are."""
    whole = math.fsum(squares)
    return (
        min(float(len(weights)), math.fsum(weights) ** 2 / whole) if whole else float(len(weights))
    )
