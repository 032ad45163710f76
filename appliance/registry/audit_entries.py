"""The audit entries of the life of models and adapters: one for each edge between two states.

Rules: an entry is durable before the state changes. The event loop never blocks for one.
"""

import hashlib
import json
from collections.abc import Mapping
from typing import Final, TypedDict, Unpack

from appliance.audit.appending import append
from appliance.audit.log import AuditLog, Draft
from appliance.errors import Refused
from appliance.trust.artifacts.store import ModelRecord
from appliance.trust.policy.policy import TrustPolicy
from appliance.types import Json

SYSTEM: Final = "appliance"
"""The actor of what the appliance does by itself: resuming, re-checking, evicting."""
REVOKED: Final = frozenset({"key_revoked", "certificate_revoked", "digest_revoked"})
"""Codes that end a model for good."""


class Details(TypedDict, total=False):
    """Further fields of an edge's entry.

    Attributes:
        event: a change of state if not given.
        error: gives the reason and the code.
        fields: of this event only.
    """

    event: str
    error: Refused | None
    reason: str
    code: str | None
    fields: Mapping[str, Json]


class Edges:
    """Writes them to the log."""

    def __init__(self, audit: AuditLog) -> None:
        self._audit = audit

    def record(
        self,
        actor: str,
        record: ModelRecord,
        after: str,
        policy: TrustPolicy,
        **more: Unpack[Details],
    ) -> None:
        """Record an edge from the record's state and block until it is durable: for threads.

        Raises:
            AuditUnavailable: the log cannot be written.
        """
        self._audit.append(_draft(actor, record, after, policy, more)).result()

    async def append(
        self,
        actor: str,
        record: ModelRecord,
        after: str,
        policy: TrustPolicy,
        **more: Unpack[Details],
    ) -> None:
        """As `record`, in the event loop, which keeps running meanwhile."""
        await append(self._audit, _draft(actor, record, after, policy, more))


def facts_digest(table: Mapping[str, Json]) -> str:
    """SHA-256 of an artifact's facts, as its record keeps them."""
    return hashlib.sha256(json.dumps(table, sort_keys=True).encode()).hexdigest()


def _draft(
    actor: str, record: ModelRecord, after: str, policy: TrustPolicy, more: Details
) -> Draft:
    error = more.get("error")
    body: dict[str, Json] = {
        "actor": actor,
        "model": record.id,
        "event": more.get("event", "state"),
        "before": record.state,
        "state": after,
        "digest": record.digest or "",
        "policy": policy.version,
        "reason": error.message if error else more.get("reason", ""),
        "code": (error.code if error else more.get("code")) or "",
        **more.get("fields", {}),
    }
    return Draft("model", body)
