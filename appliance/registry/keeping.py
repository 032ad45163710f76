"""The use-case of a gate's certificate from elsewhere: verified, recorded, kept."""

from collections.abc import Callable

from appliance.audit.entry import Draft
from appliance.trust.artifacts.store import ModelStore
from appliance.trust.policy.freshness import Freshness
from appliance.trust.policy.policy import TrustPolicy
from appliance.trust.statements import evaluation
from appliance.trust.statements.evaluation import GateCertificate


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
