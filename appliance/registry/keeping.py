"""The use-case of a certificate from elsewhere: verified, recorded, kept."""

from collections.abc import Callable

from appliance.audit.entry import Draft
from appliance.errors import StateRefused
from appliance.trust.artifacts.store import ModelStore
from appliance.trust.policy.freshness import Freshness
from appliance.trust.policy.policy import TrustPolicy
from appliance.trust.statements import evaluation, route
from appliance.trust.statements.evaluation import GateCertificate
from appliance.trust.statements.route_certificates import RouteCertificates


def keep_certificate(
    store: ModelStore,
    fresh: Callable[[], Freshness],
    record: Callable[[Draft], object],
    actor: str,
    envelope: bytes,
    policy: TrustPolicy,
) -> GateCertificate:
    """Keep a certificate; its entry is durable before.

    Raises:
        PolicyRefused: it does not hold, or is dated in the future; the policy is too old.
    """
    fresh().check_change()
    found = evaluation.verify(envelope, policy)
    evaluation.check_dated(found, store.evaluations.now_us())
    record(
        Draft.deed(
            "certificate_kept",
            actor,
            certificate=found.id,
            task_digest=found.wanted.task_digest,
            verdict=found.found.verdict,
        )
    )
    store.evaluations.add(envelope, policy)
    return found


def keep_route_certificate(
    certificates: RouteCertificates,
    engine: Callable[[], str],
    fresh: Callable[[], Freshness],
    record: Callable[[Draft], object],
    actor: str,
    envelope: bytes,
    policy: TrustPolicy,
) -> None:
    """Keep a route's certificate; its entry is durable before.

    Args:
        engine: name, version and build of the one that serves.

    Raises:
        PolicyRefused: it does not hold; the policy is too old.
        StateRefused: `route_certificate_other`: it would take the place of one that counts here.
    """
    fresh().check_change()
    found = route.verify(envelope, policy)
    if found.circumstances.engine not in ("", engine()):
        message = f"It is for {found.circumstances.engine}; {engine()} serves."
        raise StateRefused("route_certificate_other", message)
    said = {"certificate": found.id, "route_digest": found.wanted.route_digest}
    record(Draft.deed("route_certificate_kept", actor, **said))
    certificates.add(envelope, policy)
