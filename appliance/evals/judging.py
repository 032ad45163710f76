"""The verdict of a gate, from specification and answers. Pure.

Rules: a look spends its share of alpha; groups weigh the same and intervals count groups; each
floor and the comparison must pass; a failure is a score of 0, on either side; reported figures are
rounded outward to the point.
Sources: `statistics.verdict`, `statistics.groups.paired_difference`; Bonferroni for the looks;
Berger (Technometrics 24, 1982) for the floors.
"""

import math
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import NamedTuple

from msgspec.structs import replace

from appliance.errors import EvaluationRefused
from appliance.evals import pairs as pairs_
from appliance.evals.pairs import MILLION, ItemPair
from appliance.statistics import groups, verdict
from appliance.statistics.groups import GroupMean
from appliance.statistics.power import groups_for_floor
from appliance.statistics.verdict import Verdict, at_least_fewest
from appliance.text import many
from appliance.trust.statements import evaluation
from appliance.trust.statements.evaluation import COARSE, GateCertificate, GateFound, Pack, Range
from appliance.trust.statements.specification import UNLABELLED, Specification


class Coarse(NamedTuple):
    """A reported estimate in millionths: to the point, its limits outward."""

    value: int
    low: int
    high: int


def coarse(estimate: GroupMean) -> Coarse:
    """An estimate rounded to the point."""
    points = MILLION // COARSE
    return Coarse(
        round(estimate.value * points) * COARSE,
        math.floor(estimate.interval.low * points) * COARSE,
        math.ceil(estimate.interval.high * points) * COARSE,
    )


def confidence(wanted: Specification, look: int) -> float:
    """Of a look's two-sided interval, each of whose limits leaves the look's alpha beyond."""
    return 1 - 2 * wanted.alpha_of(look)


def quality(
    wanted: Specification,
    look: int,
    scores: Sequence[int],
    names: Sequence[str],
    *,
    corrected: bool = True,
) -> GroupMean:
    """One side's mean.

    Args:
        scores: in millionths.
        names: the group of each.
        corrected: as in certificates with the candidate's quality.
    """
    mean = groups.mean if corrected else groups.uncorrected_mean
    return mean([s / MILLION for s in scores], names, confidence(wanted, look))


def judge(
    wanted: Specification,
    pairs: Sequence[ItemPair],
    packs: Mapping[str, Pack] = MappingProxyType({}),
    *,
    look: int = 1,
    unnamed: bool = False,
    corrected: bool = True,
    unasked: int = 0,
) -> GateFound:
    """Judge a gate.

    Args:
        packs: the candidate's model on each pack of the specification.
        look: its number, which decides its share of alpha.
        unnamed: by the interval of certificates that name none.
        corrected: as in `quality`.
        unasked: items that could not be asked and do not count.

    Raises:
        EvaluationRefused: `evaluation_empty`; `outcomes_invalid` for items without a label in a
            split that has labels.
    """
    if not pairs:
        raise EvaluationRefused("evaluation_empty", "There is no outcome to judge.")
    agreed = sum(p.agreed for p in pairs)
    if agreed and wanted.split != UNLABELLED:
        raise EvaluationRefused(
            "outcomes_invalid", f"Without a label: {many(agreed, 'item')} of {wanted.split}."
        )
    sides = (
        [p.candidate / MILLION for p in pairs],
        [p.incumbent / MILLION for p in pairs],
        [p.group for p in pairs],
    )
    between = groups.cautious_difference if unnamed else groups.paired_difference
    estimate = between(*sides, confidence(wanted, look))
    compared = verdict.not_worse(estimate, wanted.margin_micros / MILLION, wanted.alpha_of(1))
    corrected = corrected and not unnamed
    seen = {
        name: _stratum(wanted, look, name, pairs, corrected=corrected)
        for name in {**wanted.floors, "": 0}
    }
    whole_groups = len({p.group for p in pairs})
    floors = {
        name: _floor(wanted, floor / MILLION, seen[name], whole_groups)
        for name, floor in wanted.floors.items()
    }
    reached = evaluation.pack_verdicts(wanted, packs).values()
    told = coarse(estimate)
    parts = [compared, *floors.values()]
    whole = verdict.all_of([*(each.outcome for each in parts), *reached])
    needed, wide = _needed(parts) if whole == "underpowered" else (0, None)
    return GateFound(
        verdict=whole,
        comparison=compared.outcome,
        items=len(pairs),
        groups=estimate.groups,
        groups_needed=needed,
        groups_range=wide,
        floor_lows={} if unnamed else {n: _low(seen[n]) for n in wanted.floors},
        quality=_told(seen[""]) if corrected and not agreed else {},
        difference_micros=told.value,
        low_micros=told.low,
        high_micros=told.high,
        merkle_root=pairs_.root(pairs),
        floors={name: each.outcome for name, each in floors.items()},
        failures=sum(1 for p in pairs if p.candidate_failure),
        incumbent_failures=sum(1 for p in pairs if p.incumbent_failure),
        packs=dict(packs),
        interval="" if unnamed else groups.method_of(*sides),
        unasked=unasked,
        agreed=agreed,
    )


def judged_again(certificate: GateCertificate, pairs: Sequence[ItemPair]) -> GateFound:
    """The findings from a certificate's outcomes, by the interval that it names.

    An older certificate's number of needed groups is copied; it has no limits of its floors.
    """
    found = certificate.found
    again = judge(
        certificate.wanted,
        pairs,
        found.packs,
        look=certificate.circumstances.look,
        unnamed=not found.interval,
        corrected=bool(found.quality),
        unasked=found.unasked,
    )
    if found.groups_range is None:
        again = replace(again, groups_needed=found.groups_needed, groups_range=None)
    if not found.floor_lows:
        again = replace(again, floor_lows={})
    return again


def _needed(parts: Sequence[Verdict]) -> tuple[int | None, Range]:
    found = [each.needed for each in parts if each.outcome == "underpowered"]
    known = [each for each in found if each is not None]
    if len(known) < len(found):
        return None, (None, None)
    highs = [each.high for each in known if each.high is not None]
    high = max(highs) if len(highs) == len(known) else None
    return max(each.likely for each in known), (max(each.low for each in known), high)


class _Seen(NamedTuple):
    """The candidate's mean in a stratum, and the effective size behind it."""

    mean: GroupMean
    size: float


def _told(seen: _Seen | None) -> Mapping[str, int]:
    return {} if seen is None else coarse(seen.mean)._asdict()


def _low(seen: _Seen | None) -> int:
    return 0 if seen is None else coarse(seen.mean).low


def _stratum(
    wanted: Specification, look: int, stratum: str, pairs: Sequence[ItemPair], *, corrected: bool
) -> _Seen | None:
    chosen = [p for p in pairs if stratum in ("", p.stratum)]
    if not chosen:
        return None
    scores, names = [p.candidate for p in chosen], [p.group for p in chosen]
    found = quality(wanted, look, scores, names, corrected=corrected)
    return _Seen(found, groups.effective_size(found, len(chosen)))


def _floor(wanted: Specification, floor: float, seen: _Seen | None, whole: int) -> Verdict:
    if seen is None:
        return Verdict("underpowered")
    found = seen.mean
    outcome = verdict.at_least(found.interval.low, found.interval.high, found.groups, floor)
    if outcome != "underpowered":
        return Verdict(outcome)
    needed = groups_for_floor(floor, found.value, seen.size, whole, wanted.alpha_of(1))
    return Verdict(outcome, at_least_fewest(needed))
