"""The stages' answers to sealed items: for an auditor, and for the weights of later answers.

Rule: outcomes are encrypted, and leave only once the calibration is done.
"""

from pathlib import Path

from appliance.datasets.ledger import LedgerLook
from appliance.errors import EvaluationRefused, Refused
from appliance.evals import pairs
from appliance.looks.answers import LookFiles
from appliance.routing import confidence
from appliance.routing.calibration import SEALED
from appliance.routing.certifying import Observed, parse
from appliance.routing.confidence import MILLION
from appliance.routing.subject import CalibrationParts
from appliance.routing.weighing import Basis, SealedAnswer
from appliance.trust.statements import route as statements
from appliance.trust.statements.route import RouteCertificate


def read(directory: Path, look: LedgerLook, kek: bytes) -> list[Observed]:
    """A look's outcomes, in the order of their items.

    Args:
        directory: `DATA/evaluations`.

    Raises:
        EvaluationRefused: `report_missing`, `outcomes_invalid`.
    """
    place = directory / str(look.job)
    if not look.verdict or not (place / SEALED).exists():
        raise EvaluationRefused("report_missing", f"Job {look.job} has no outcomes here.")
    seen = LookFiles(place, kek).answers(SEALED, parse).read()
    return sorted(seen, key=lambda o: o.item)


def of_certificate(parts: CalibrationParts, certificate: RouteCertificate) -> list[Observed] | None:
    """A certificate's outcomes; None where the signed ones are not here."""
    gate = parts.look
    look = gate.ledger.of_certificate(certificate.origin)
    try:
        seen = [] if look is None else read(gate.directory, look, gate.kek())
    except Refused:
        return None
    return seen if seen and pairs.root(seen) == certificate.found.merkle_root else None


def basis(parts: CalibrationParts, origin: str) -> Basis | None:
    """The sealed answers behind an origin's newest certificate; None without outcomes."""
    envelope, policy = parts.certificates.envelope(origin), parts.look.policy()
    try:
        first = statements.verify(envelope or b"", policy)
    except Refused:
        return None
    known = parts.certificates.of(first.wanted.route_digest, policy)
    certificate = next((each for each in known if each.origin == origin), first)
    seen = of_certificate(parts, certificate)
    if seen is None:
        return None
    wanted, found = certificate.wanted, certificate.found
    function = confidence.read(found.function)
    counted = [(o, o.counted(function, company=found.company)) for o in seen if o.counts]
    return Basis(
        wanted.weight or "groups",
        wanted.error_micros / MILLION,
        wanted.delta_micros / MILLION * wanted.share(certificate.circumstances.look),
        found.limit_micros / MILLION,
        tuple(
            SealedAnswer(o.group, o.size, not each.right)
            for o, each in counted
            if each.score >= (found.threshold_micros or 0)
        ),
    )
