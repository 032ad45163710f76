"""The verdict of a gate, from what was specified and what was answered. Pure.

Rules: the margin and alpha are the specification's, and a look spends its share of alpha; groups
weigh the same and intervals count groups; each floor and the comparison must pass; a failure is a
score of 0, on either side; what is told is rounded outward to the point.
Sources: `statistics.verdict`, `statistics.groups.paired_difference`; Bonferroni for the looks;
Berger (Technometrics 24, 1982) for the floors.
"""

import math
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import NamedTuple

from appliance.errors import EvaluationRefused
from appliance.evals import pairs as pairs_
from appliance.evals.pairs import MILLION, Pair
from appliance.statistics import groups, verdict
from appliance.statistics.groups import Estimate
from appliance.trust import evaluation
from appliance.trust.evaluation import COARSE, Certificate, Found, Pack
from appliance.trust.specification import Specification


class Coarse(NamedTuple):
    """An estimate as it is told, in millionths: to the point, its limits outward."""

    value: int
    low: int
    high: int


def coarse(estimate: Estimate) -> Coarse:
    """An estimate to the point."""
    points = MILLION // COARSE
    return Coarse(
        round(estimate.value * points) * COARSE,
        math.floor(estimate.interval.low * points) * COARSE,
        math.ceil(estimate.interval.high * points) * COARSE,
    )


def confidence(wanted: Specification, look: int) -> float:
    """Of the two-sided interval of a look, each of whose limits leaves the look's alpha beyond."""
    return 1 - 2 * wanted.alpha_of(look)


def quality(
    wanted: Specification, look: int, scores: Sequence[int], names: Sequence[str]
) -> Estimate:
    """One side's mean, weighted by group.

    Args:
        scores: in millionths.
        names: the group of each.
    """
    return groups.mean([s / MILLION for s in scores], names, confidence(wanted, look))


def judge(
    wanted: Specification,
    pairs: Sequence[Pair],
    packs: Mapping[str, Pack] = MappingProxyType({}),
    *,
    look: int = 1,
    unnamed: bool = False,
    unasked: int = 0,
) -> Found:
    """What a gate found.

    Args:
        packs: what the candidate's model did on each pack of the specification.
        look: number of the look, which says how much of alpha it spends.
        unnamed: by the interval of certificates that name none.
        unasked: items that do not count, because they could not be asked.

    Raises:
        EvaluationRefused: `evaluation_empty`.
    """
    if not pairs:
        raise EvaluationRefused("evaluation_empty", "There is no outcome to judge.")
    sides = (
        [p.candidate / MILLION for p in pairs],
        [p.incumbent / MILLION for p in pairs],
        [p.group for p in pairs],
    )
    between = groups.cautious_difference if unnamed else groups.paired_difference
    estimate = between(*sides, confidence(wanted, look))
    compared = verdict.not_worse(estimate, wanted.margin_micros / MILLION, wanted.alpha_of(look))
    floors = {
        name: _floor(wanted, look, name, floor, pairs) for name, floor in wanted.floors.items()
    }
    reached = evaluation.pack_verdicts(wanted, packs).values()
    told = coarse(estimate)
    needed = 0 if compared.outcome != "underpowered" else None
    if compared.outcome == "underpowered" and compared.missing is not None:
        needed = estimate.groups + compared.missing
    return Found(
        verdict=verdict.all_of([compared.outcome, *floors.values(), *reached]),
        comparison=compared.outcome,
        items=len(pairs),
        groups=estimate.groups,
        groups_needed=needed,
        difference_micros=told.value,
        low_micros=told.low,
        high_micros=told.high,
        merkle_root=pairs_.root(pairs),
        floors=floors,
        failures=sum(1 for p in pairs if p.candidate_failure),
        incumbent_failures=sum(1 for p in pairs if p.incumbent_failure),
        packs=packs,
        interval="" if unnamed else groups.method_of(*sides),
        unasked=unasked,
    )


def judged_again(certificate: Certificate, pairs: Sequence[Pair]) -> Found:
    """What follows from the outcomes of a certificate, by the interval that it names."""
    found = certificate.found
    return judge(
        certificate.wanted,
        pairs,
        found.packs,
        look=certificate.circumstances.look,
        unnamed=not found.interval,
        unasked=found.unasked,
    )


def _floor(
    wanted: Specification, look: int, stratum: str, floor: int, pairs: Sequence[Pair]
) -> verdict.Outcome:
    chosen = [p for p in pairs if stratum in ("", p.stratum)]
    if not chosen:
        return "underpowered"
    found = quality(wanted, look, [p.candidate for p in chosen], [p.group for p in chosen])
    return verdict.at_least(found.interval.low, found.interval.high, found.groups, floor / MILLION)
