"""Computes a route certificate's findings again, from its outcomes. Pure.

Rule: the search is that of the calibration; for a carried certificate, with the bound that the
change of the engine leaves at each threshold.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import replace

import msgspec

from appliance.errors import EvaluationRefused
from appliance.evals import pairs
from appliance.routing import certifying, confidence
from appliance.routing.certifying import CertificationTerms, Observed, SealedVerdict
from appliance.routing.confidence import MILLION
from appliance.statistics.groups import drawn_by_size
from appliance.trust.statements import evaluation
from appliance.trust.statements.route import (
    COARSE,
    CalibrationFound,
    RouteCertificate,
    RouteSpecification,
)


def terms_of(wanted: RouteSpecification, number: int, *, company: bool) -> CertificationTerms:
    """The terms of one look."""
    return CertificationTerms(
        wanted.error_micros / MILLION,
        wanted.delta_micros / MILLION * wanted.share(number),
        wanted.margin_micros / MILLION,
        company,
        wanted.weight or "groups",
    )


def numbers(verdict: SealedVerdict, most: int, least: int) -> tuple[int, int, int | None]:
    """Coverage, limit and lower limit of the difference, outward to the point, in millionths.

    Args:
        most, least: what was shown of limit and difference, which rounding must not contradict.
    """
    low = verdict.difference and max(least, outward(verdict.difference[1], math.floor))
    limit = min(most, outward(verdict.limit, math.ceil))
    return outward(verdict.coverage, round), limit, low


def outward(share: float, toward: Callable[[float], int]) -> int:
    """A share to the point, in millionths."""
    return toward(share * MILLION / COARSE) * COARSE


def judged(
    certificate: RouteCertificate, seen: Sequence[Observed], accepted: Sequence[int], open_: int
) -> CalibrationFound | None:
    """The findings with the least cautious threshold that bears a change; None where none does.

    Args:
        seen: the outcomes of the calibration.
        accepted: groups of open items that each threshold accepts, of the first ones or of all;
            none where nothing changed.
        open_: groups of open items in all.
    """
    wanted, found, look = certificate.wanted, certificate.found, certificate.circumstances.look
    fixed, delta = found.thresholds[: len(accepted) or None], wanted.delta_micros
    changes = [evaluation.change_micros(each, delta) for each in accepted] or [0] * len(fixed)
    moved = 2 * evaluation.change_micros(open_, delta) if accepted else 0
    verdict = certifying.under_change(
        confidence.read(found.function),
        fixed,
        [each for each in seen if each.counts],
        replace(
            terms_of(wanted, look, company=found.company),
            margin=(wanted.margin_micros - moved) / MILLION,
        ),
        [(wanted.error_micros - change) / MILLION for change in changes],
    )
    if verdict is None or verdict.threshold is None:
        return None
    most = wanted.error_micros - changes[fixed.index(verdict.threshold)]
    coverage, limit, low = numbers(verdict, most, moved + 1 - wanted.margin_micros)
    return msgspec.structs.replace(
        found,
        threshold_micros=verdict.threshold,
        coverage_micros=coverage,
        limit_micros=limit,
        low_micros=low,
    )


def check_outcomes(certificate: RouteCertificate, seen: Sequence[Observed]) -> None:
    """Refuse a certificate that does not follow from these outcomes.

    Raises:
        EvaluationRefused: `route_certificate_inconsistent`; `outcomes_invalid` for an older
            version's, which `verify_certificate.py` judges.
    """
    found, at, seed = certificate.found, certificate.circumstances, certificate.wanted.seed
    if not found.thresholds:
        message = "An older version made it; verify_certificate.py judges it."
        raise EvaluationRefused("outcomes_invalid", message)
    asked = [each for each in seen if not each.ruled]
    again: CalibrationFound | None = found
    if found.certified:
        again = judged(certificate, seen, at.accepted, at.unflipped.get("", 0))
    told = again and msgspec.structs.replace(
        again,
        merkle_root=pairs.root(seen),
        groups=sum(each.counts for each in asked),
        unasked=sum(bool(each.unasked) for each in asked),
        reach_micros=outward(len(asked) / max(1, len(seen)), round),
    )
    alone = len({each.group for each in seen}) == len(seen)
    drawn = not found.largest or all(
        each.size <= found.largest and drawn_by_size(seed, each.group, each.size, found.largest)
        for each in seen
    )
    if told != found or not (alone and drawn):
        message = "The threshold does not follow from these outcomes."
        raise EvaluationRefused("route_certificate_inconsistent", message)
