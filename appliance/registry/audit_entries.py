"""The audit entries of the life of models and adapters: one for each edge between two states.

Rules: an entry is durable before the state changes; it names actor, digest, policy version, reason
and code.
"""

from typing import Final

from appliance.audit.log import AuditLog, Draft
from appliance.errors import Refused
from appliance.trust.policy import TrustPolicy
from appliance.trust.store import ModelRecord
from appliance.types import Json

SYSTEM: Final = "appliance"
"""The actor of what nobody asked for: resuming, re-checking, ending."""
REVOKED: Final = frozenset({"key_revoked", "certificate_revoked", "digest_revoked"})
"""Codes that end a model for good."""


class Edges:
    """Writes them.

    Args:
        audit: the log.
    """

    def __init__(self, audit: AuditLog) -> None:
        self._audit = audit

    def record(
        self,
        actor: str,
        record: ModelRecord,
        after: str,
        policy: TrustPolicy,
        *,
        event: str = "state",
        error: Refused | None = None,
        reason: str = "",
        code: str | None = None,
        **fields: Json,
    ) -> None:
        """Record an edge from the record's state and wait until it is durable.

        Raises:
            AuditUnavailable: the log cannot be written.
        """
        body: dict[str, Json] = {
            "actor": actor,
            "model": record.id,
            "event": event,
            "before": record.state,
            "state": after,
            "digest": record.digest or "",
            "policy": policy.version,
            "reason": error.message if error else reason,
            "code": (error.code if error else code) or "",
            **fields,
        }
        self._audit.append(Draft("model", body)).result()
