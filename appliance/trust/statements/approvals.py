"""The approvals of a stored model: which of them count, and whether one more does.

Rules: envelopes are verified again under the policy of the day; a person counts once. An envelope
that no longer holds does not count and stays as evidence.
"""

import contextlib
from collections.abc import Iterable

from appliance.errors import PolicyRefused, Refused
from appliance.trust.policy.policy import PolicyKey, TrustPolicy
from appliance.trust.statements import approval
from appliance.trust.statements.approval import Subject, ValidApproval


def valid(
    envelopes: Iterable[bytes],
    policy: TrustPolicy,
    subject: Subject,
    publisher: PolicyKey | None = None,
) -> list[ValidApproval]:
    """Those that count, one per person, by time."""
    found: dict[str, ValidApproval] = {}
    for envelope in envelopes:
        with contextlib.suppress(Refused):
            given = approval.verify(envelope, policy, subject)
            if publisher is None or policy.may_approve(policy.keys[given.key], publisher):
                found.setdefault(given.name, given)
    return sorted(found.values(), key=lambda given: (given.time, given.name))


def accept(
    envelope: bytes,
    earlier: Iterable[bytes],
    policy: TrustPolicy,
    subject: Subject,
    publisher: PolicyKey | None = None,
) -> ValidApproval:
    """One more approval (`approver_not_distinct`, `approval_duplicate`)."""
    given = approval.verify(envelope, policy, subject)
    if publisher is not None and not policy.may_approve(policy.keys[given.key], publisher):
        raise PolicyRefused(
            "approver_not_distinct", f"{given.name} signed the artifact as its publisher."
        )
    if any(other.name == given.name for other in valid(earlier, policy, subject, publisher)):
        raise PolicyRefused("approval_duplicate", f"{given.name} has approved it already.")
    return given
