"""The use-case of a model's life: import, approve, load, unload, suspend, retire; each audited.

Rules: the entry is durable before the state changes, so the log never misses an edge; a refused
artifact leaves the store as it was, except for a row that says why; a model is loaded only as a
`VerifiedModel`, made afresh from the stored bytes each time. The disk holds what was decided
(quarantined, verified, approved, suspended, retired, refused); staged and serving are facts of
the running process.
"""

import asyncio
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from appliance.audit.log import AuditLog, Draft
from appliance.errors import PolicyRefused, Refused, StateRefused
from appliance.supervisor import ENGINE, Supervisor
from appliance.trust.approval import ApprovalSubject
from appliance.trust.policy import TrustPolicy
from appliance.trust.store import ModelRecord, ModelStore, VerifiedModel
from appliance.types import Json

Progress = Callable[[str, int, int], None]
_LOADABLE = frozenset({"approved"})


class Lifecycle:
    """Models from the stick to memory and out again.

    Args:
        store: the artifacts and their states.
        policy: reads the trust policy in force.
        supervisor: where models are served.
        audit: the log.
    """

    def __init__(
        self,
        store: ModelStore,
        policy: Callable[[], TrustPolicy],
        supervisor: Supervisor,
        audit: AuditLog,
    ) -> None:
        self._store = store
        self._policy = policy
        self._supervisor = supervisor
        self._audit = audit

    def records(self) -> list[ModelRecord]:
        """All models, with "serving" for those that are loaded."""
        return [self._shown(r) for r in self._store.records()]

    def record(self, model_id: str) -> ModelRecord:
        """One model.

        Raises:
            StateRefused: `unknown_model_id`.
        """
        return self._shown(self._store.record(model_id))

    def is_loaded(self, model_id: str) -> bool:
        """Whether the model is being served."""
        return self._supervisor.is_loaded(model_id)

    def _shown(self, record: ModelRecord) -> ModelRecord:
        return replace(record, state="serving") if self.is_loaded(record.id) else record

    def import_model(
        self, actor: str, path: Path, model_id: str | None, progress: Progress
    ) -> ModelRecord:
        """Copy an artifact into quarantine, vet and verify it.

        Returns:
            The record, in state verified, or refused with a code. What cannot even be stored
            (a link inside, an id that is taken) is refused the same way and leaves no record.
        """
        try:
            record = self._store.quarantine(path, model_id, progress)
        except Refused as error:
            shown = model_id or path.name
            self._edge(actor, shown, "media", "refused", code=error.code, reason=error.message)
            raise
        self._edge(actor, record.id, "media", "quarantined")
        policy = self._policy()
        try:
            checked = self._store.check(record.id, policy, progress)
        except Refused as error:
            self._edge(
                actor,
                record.id,
                "quarantined",
                "refused",
                policy=policy.version,
                code=error.code,
                reason=error.message,
            )
            return self._store.set_state(
                record.id, "refused", code=error.code, message=error.message
            )
        self._edge(
            actor,
            record.id,
            "quarantined",
            "verified",
            policy=policy.version,
            digest=checked.digest,
            signer=checked.signer,
        )
        return self._store.set_state(
            record.id, "verified", digest=checked.digest, facts=checked.facts
        )

    def subject(self, model_id: str) -> ApprovalSubject:
        """What an approver of the model signs."""
        return self._store.subject(model_id)

    def approve(self, actor: str, model_id: str, envelope: bytes) -> ModelRecord:
        """Take one approval; enough of them by different people make the model loadable.

        Raises:
            PolicyRefused: the approval does not hold; audited, nothing changed.
            StateRefused: `wrong_state`.
        """
        record = self._store.record(model_id)
        policy = self._policy()
        try:
            if record.state not in {"verified", "approved", "suspended"}:
                raise StateRefused("wrong_state", f"{model_id} is {record.state}, not verified.")
            approvals = self._store.add_approval(model_id, envelope, policy)
        except Refused as error:
            self._edge(
                actor,
                model_id,
                record.state,
                record.state,
                event="approval_refused",
                policy=policy.version,
                code=error.code,
                reason=error.message,
            )
            raise
        latest = approvals[-1]
        state = "approved" if _enough(policy, [a.name for a in approvals]) else record.state
        self._edge(
            actor,
            model_id,
            record.state,
            state,
            event="approval",
            policy=policy.version,
            digest=record.digest or "",
            approver=latest.name,
            meaning=latest.meaning,
        )
        return self._store.set_state(model_id, state, digest=record.digest)

    async def load(
        self, actor: str, model_id: str, progress: Progress | None = None
    ) -> ModelRecord:
        """Verify the stored bytes again, seal them and serve them.

        Raises:
            Refused: any check of trust, `wrong_state`, `insufficient_memory`, or the engine's code.
        """
        record = self._store.record(model_id)
        policy = self._policy()
        try:
            if self.is_loaded(model_id):
                raise StateRefused("wrong_state", f"{model_id} is loaded already.")
            if record.state not in _LOADABLE:
                code = "not_approved" if record.state == "verified" else "wrong_state"
                raise StateRefused(code, f"{model_id} is {record.state}, not approved.")
            policy.check_engine(ENGINE, self._supervisor.engine_version)
            model = await asyncio.to_thread(self._store.seal, model_id, policy, progress or _silent)
        except Refused as error:
            self._refused_load(actor, record, policy, error)
            raise
        try:
            self._edge(
                actor, model_id, "approved", "staged", policy=policy.version, digest=model.digest
            )
            await self._supervisor.start(model)
        except BaseException as error:
            model.close()
            if isinstance(error, Refused):
                self._refused_load(actor, record, policy, error)
            raise
        self._edge(actor, model_id, "staged", "serving", policy=policy.version, digest=model.digest)
        return self.record(model_id)

    def _refused_load(
        self, actor: str, record: ModelRecord, policy: TrustPolicy, error: Refused
    ) -> None:
        self._edge(
            actor,
            record.id,
            record.state,
            record.state,
            event="load_refused",
            policy=policy.version,
            code=error.code,
            reason=error.message,
        )

    async def unload(self, actor: str, model_id: str) -> ModelRecord:
        """End the worker; the model stays approved.

        Raises:
            StateRefused: `wrong_state` when it is not loaded, `unknown_model_id`.
        """
        record = self._store.record(model_id)
        if not self.is_loaded(model_id):
            raise StateRefused("wrong_state", f"{model_id} is not loaded.")
        self._edge(actor, model_id, "serving", record.state, event="unload")
        await self._supervisor.stop(model_id)
        return self.record(model_id)

    async def suspend(self, actor: str, model_id: str, reason: str) -> ModelRecord:
        """Stop serving a model until it is approved again; its running answers end.

        Raises:
            StateRefused: `wrong_state`, `unknown_model_id`.
        """
        return await self._put_away(actor, model_id, "suspended", {"approved"}, reason)

    async def retire(self, actor: str, model_id: str) -> ModelRecord:
        """Take a model out of service for good; its files stay as evidence.

        Raises:
            StateRefused: `wrong_state`, `unknown_model_id`.
        """
        allowed = {"approved", "verified", "suspended", "refused", "quarantined"}
        return await self._put_away(actor, model_id, "retired", allowed, "")

    async def _put_away(
        self, actor: str, model_id: str, state: str, allowed: set[str], reason: str
    ) -> ModelRecord:
        record = self._store.record(model_id)
        if record.state not in allowed:
            raise StateRefused("wrong_state", f"{model_id} is {record.state}.")
        self._edge(actor, model_id, self.record(model_id).state, state, reason=reason)
        changed = self._store.set_state(
            model_id, state, digest=record.digest, message=reason, code=record.code
        )
        if self.is_loaded(model_id):
            await self._supervisor.stop(model_id)
        return changed

    def recheck(self, model: VerifiedModel) -> None:
        """Ask the policy in force again before a worker restarts.

        Raises:
            PolicyRefused: the model, a key or the engine is no longer allowed.
        """
        policy = self._policy()
        policy.check_digests(model.digest, model.gguf_sha256)
        policy.publisher(model.signer)
        policy.check_engine(ENGINE, self._supervisor.engine_version)
        names = [a.name for a in self._store.approvals(model.id, policy)]
        if "approval" in policy.model_rule(model.id, model.digest).require:
            policy.check_approvals(names)

    async def autoload(self) -> list[str]:
        """Load every approved model that is configured to; what is refused is audited and skipped.

        Returns:
            The refusals as sentences.
        """
        problems = []
        for record in self._store.records():
            if record.state in _LOADABLE and self._supervisor.wants(record.id):
                try:
                    await self.load("appliance", record.id)
                except Refused as error:
                    problems.append(f"{record.id}: {error.message}")
        return problems

    def _edge(
        self,
        actor: str,
        model_id: str,
        before: str,
        after: str,
        *,
        event: str = "state",
        **fields: Json,
    ) -> None:
        """Record an edge and wait until it is durable."""
        self._audit.append(
            Draft(
                "model",
                {
                    "actor": actor,
                    "model": model_id,
                    "event": event,
                    "before": before,
                    "state": after,
                    **fields,
                },
            )
        ).result()


def _enough(policy: TrustPolicy, names: list[str]) -> bool:
    try:
        policy.check_approvals(names)
    except PolicyRefused:
        return False
    return True


def _silent(_phase: str, _done: int, _total: int) -> None:
    """Progress that nobody watches."""
