"""The use-case of an artifact's life up to its approval, and the policy's later verdicts.

Rules: the entry is durable before the state changes. Writes here block, and run in a thread. The
disk holds decisions; staged and serving are facts of the running process, and `appliance/pool` is
the only door to them. docs/trust.md draws the states.
"""

import contextlib
import hashlib
from collections.abc import Callable
from dataclasses import dataclass, replace

from appliance.errors import PolicyRefused, Refused
from appliance.registry.audit_entries import Edges
from appliance.registry.importing import Arrivals
from appliance.registry.permission import Permission
from appliance.registry.states import following
from appliance.trust.artifacts.store import ModelRecord, ModelStore
from appliance.trust.policy.freshness import Freshness
from appliance.trust.policy.policy import TrustPolicy
from appliance.trust.statements.approval import ApprovalSubject, ValidApproval
from appliance.types import Json
from appliance.workers.supervisor import Supervisor


class Lifecycle:
    """Artifacts from the stick to approved.

    Args:
        is_loaded: whether a model or adapter is in memory.
        permission: whether what is in memory may be there.
    """

    def __init__(
        self,
        store: ModelStore,
        policy: Callable[[], TrustPolicy],
        fresh: Callable[[], Freshness],
        is_loaded: Callable[[str], bool],
        permission: Permission,
        edges: Edges,
    ) -> None:
        self._fresh = fresh
        self._store = store
        self._policy = policy
        self._edge = edges.record
        arrivals = Arrivals(store, policy, fresh, edges)
        self.import_model, self.finish_import = arrivals.import_model, arrivals.finish
        self.recover = arrivals.recover
        self.is_loaded = is_loaded
        self.still, self.recheck = permission.still, permission.recheck

    def records(self) -> list[ModelRecord]:
        """All models: "serving" those that are loaded, "missing" those without files."""
        return [self.shown(r) for r in self._store.inventory.records()]

    def record(self, model_id: str) -> ModelRecord:
        """Raises StateRefused (`unknown_model_id`)."""
        return self.shown(self._store.inventory.record(model_id))

    def shown(self, record: ModelRecord) -> ModelRecord:
        """A record for people: "serving" while it is loaded, "missing" without its files."""
        if self.is_loaded(record.id):
            return replace(record, state="serving")
        if self._store.inventory.missing(record):
            message = f"It is {record.state}, and its files are not on this host."
            return replace(record, state="missing", code="model_missing", message=message)
        return record

    def subject(self, model_id: str) -> ApprovalSubject:
        return self._store.subject(model_id, self._policy())

    def approve(self, actor: str, model_id: str, envelope: bytes) -> ModelRecord:
        """Take one approval; enough of them by different people make the model loadable.

        Raises:
            PolicyRefused: the approval does not hold; audited, nothing changed.
            StateRefused: `wrong_state`.
        """
        record = self._store.inventory.record(model_id)
        policy = self._policy()

        def recorded(latest: ValidApproval, approvals: list[ValidApproval]) -> str | None:
            after = approved.value if _enough(policy, [a.name for a in approvals]) else None
            fields: dict[str, Json] = {
                "approver": latest.name,
                "meaning": latest.meaning,
                "signed_at": latest.time,
                "key": latest.key,
                "envelope_sha256": hashlib.sha256(envelope).hexdigest(),
            }
            self._edge(
                actor, record, after or record.state, policy, event="approval", fields=fields
            )
            return after

        try:
            self._fresh().check_change()
            approved = following(model_id, record.state, "approve")
            self._store.add_approval(model_id, envelope, policy, recorded)
        except Refused as error:
            self._edge(actor, record, record.state, policy, event="approval_refused", error=error)
            raise
        return self._store.inventory.record(model_id)


def _enough(policy: TrustPolicy, names: list[str]) -> bool:
    with contextlib.suppress(PolicyRefused):
        policy.check_approvals(names)
        return True
    return False


@dataclass(eq=False)
class Custody:
    """Shared by parts that load and unload models."""

    store: ModelStore
    policy: Callable[[], TrustPolicy]
    supervisor: Supervisor
    lifecycle: Lifecycle
