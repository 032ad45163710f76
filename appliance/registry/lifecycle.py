"""The use-case of a model's life: approve, load, unload, suspend, retire; each audited.

Rules: the entry is durable before the state changes, so the log never misses an edge; each edge
names actor, digest, policy version, reason and code. A model is loaded only as a `VerifiedModel`,
made afresh from the stored bytes each time. A suspension makes all approvals void. The disk holds
what was decided; staged and serving are facts of the running process. docs/trust.md draws the
states.
"""

import asyncio
import contextlib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Final

from appliance.audit.log import AuditLog
from appliance.errors import PolicyRefused, Refused, StateRefused, Unavailable
from appliance.registry.adapters import Adapters
from appliance.registry.audit_entries import REVOKED, SYSTEM, Edges
from appliance.registry.importing import UNFINISHED, Arrivals, Progress
from appliance.trust.adapter import base_of
from appliance.trust.approval import ApprovalSubject
from appliance.trust.copying import Told
from appliance.trust.freshness import Freshness
from appliance.trust.policy import TrustPolicy
from appliance.trust.store import ModelRecord, ModelStore, VerifiedModel
from appliance.trust.verified import Verified
from appliance.workers.memory_estimate import MIB, Estimate
from appliance.workers.supervisor import ENGINE, Supervisor

_FINAL: Final = frozenset({"retired", "revoked"})


class Lifecycle:
    """Models from the stick to memory and out again.

    Args:
        store: the artifacts and their states.
        policy: reads the trust policy in force.
        fresh: says how fresh it is.
        supervisor: where models are served.
        audit: the log.
    """

    def __init__(
        self,
        store: ModelStore,
        policy: Callable[[], TrustPolicy],
        fresh: Callable[[], Freshness],
        supervisor: Supervisor,
        audit: AuditLog,
    ) -> None:
        self._fresh = fresh
        self._store = store
        self._policy = policy
        self._supervisor = supervisor
        edges = Edges(audit)
        self._edge = edges.record
        self._arrivals = Arrivals(store, policy, fresh, edges)
        self._adapters = Adapters(store, policy, supervisor, edges, self._still)

    def records(self) -> list[ModelRecord]:
        """All models: "serving" those that are loaded, "missing" those without files."""
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
        if self.is_loaded(record.id):
            return replace(record, state="serving")
        if self._store.missing(record):
            message = f"It is {record.state}, and its files are not on this host."
            return replace(record, state="missing", code="model_missing", message=message)
        return record

    def import_model(
        self,
        actor: str,
        path: Path,
        model_id: str | None,
        progress: Progress,
        told: Told = lambda file: None,
    ) -> ModelRecord:
        """Take an artifact in: `Arrivals.import_model`."""
        return self._arrivals.import_model(actor, path, model_id, progress, told)

    def finish_import(self, actor: str, model_id: str, progress: Progress) -> ModelRecord:
        """Make the checks of an interrupted import: `Arrivals.finish`."""
        return self._arrivals.finish(actor, model_id, progress)

    def recover(self) -> list[str]:
        """Finish or clean up interrupted imports: `Arrivals.recover`."""
        return self._arrivals.recover()

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
            self._fresh().check_change()
            if record.state not in {"verified", "approved", "suspended"}:
                raise StateRefused("wrong_state", f"{model_id} is {record.state}, not verified.")
            approvals = self._store.add_approval(model_id, envelope, policy)
        except Refused as error:
            self._edge(actor, record, record.state, policy, event="approval_refused", error=error)
            raise
        latest = approvals[-1]
        state = "approved" if _enough(policy, [a.name for a in approvals]) else record.state
        self._edge(
            actor,
            record,
            state,
            policy,
            event="approval",
            approver=latest.name,
            meaning=latest.meaning,
            signed_at=latest.time,
        )
        return self._store.set_state(model_id, state)

    async def load(
        self, actor: str, model_id: str, progress: Progress | None = None, *, reason: str = ""
    ) -> ModelRecord:
        """Verify the stored bytes again, seal them and serve them.

        Args:
            progress: gets "verifying" when signature, policy and approvals are looked at, "sealing"
                with the bytes that are hashed and sealed in one pass, "loading" with those that
                the engine has; there, a report that raises ends nothing any more.

        Raises:
            Refused: any check of trust, `wrong_state`, `insufficient_memory`, or the engine's code.
        """
        record = self._store.record(model_id)
        policy = self._policy()
        progress = progress or _silent
        if base_of(model_id) is not None:
            return await self._load_adapter(actor, record, policy, progress)
        try:
            needs = self._reserve(record)
            model = await self._seal(record, policy, progress)
        except BaseException as error:
            self._supervisor.release(model_id)
            if isinstance(error, Refused):
                await self._refused_load(actor, record, policy, error)
            raise
        held = "disk" if model.sealed.on_disk else "memory"
        try:
            self._still(record, model)
            progress("loading", 0, model.facts.file_bytes)
            mib = needs.total // MIB
            self._edge(actor, record, "staged", policy, held=held, reason=reason, needs_mib=mib)
            await self._supervisor.start(model, _percent_of(model.facts.file_bytes, progress))
        except BaseException as error:
            model.close()
            self._supervisor.release(model_id)
            if isinstance(error, Refused):
                await self._refused_load(actor, record, policy, error)
            raise
        if model.sealed.on_disk:
            await self._check_held(actor, record, policy, model)
            if not self.is_loaded(model_id):
                raise StateRefused("wrong_state", f"{model_id} was unloaded while it was loading.")
        self._edge(actor, replace(record, state="staged"), "serving", policy, held=held)
        if record.code and self._store.record(model_id).state == record.state:
            self._store.set_state(model_id, record.state)  # what an earlier check found is over
        await self._adapters.follow(actor, model_id)
        return self.record(model_id)

    def _still(self, record: ModelRecord, model: Verified) -> None:
        """Ask again what may have changed while an artifact was being sealed: from here on until it
        is served nothing else runs, and what is served is ended by whoever changes something.

        Raises:
            StateRefused: `wrong_state`.
            PolicyRefused, SignatureRefused: as `recheck`.
        """
        now = self._store.record(record.id)
        if (now.state, now.round) != (record.state, record.round):
            raise StateRefused("wrong_state", f"{record.id} is {now.state} now.")
        self.recheck(model)

    async def _load_adapter(
        self, actor: str, record: ModelRecord, policy: TrustPolicy, progress: Progress
    ) -> ModelRecord:
        try:
            await self._adapters.load(actor, record, progress)
        except Refused as error:
            await self._refused_load(actor, record, policy, error)
            raise
        return self.record(record.id)

    def _reserve(self, record: ModelRecord) -> Estimate:
        """Take the memory before anything is read."""
        if self.is_loaded(record.id):
            raise StateRefused("wrong_state", f"{record.id} is loaded already.")
        if record.state != "approved":
            code = "not_approved" if record.state == "verified" else "wrong_state"
            raise StateRefused(code, f"{record.id} is {record.state}, not approved.")
        self._fresh().check_serve()
        return self._supervisor.reserve(record.id, self._store.facts(record))

    async def _seal(
        self, record: ModelRecord, policy: TrustPolicy, progress: Progress
    ) -> VerifiedModel:
        policy.check_engine(ENGINE, self._supervisor.engine_version)
        on_disk = self._supervisor.keeps_on_disk(record.id)
        size = self._store.size(record.id)
        if not on_disk:
            self._supervisor.check_sealing(record.id, size)
        progress("verifying", 0, size)
        return await asyncio.to_thread(
            self._store.seal, record.id, policy, progress, on_disk=on_disk
        )

    async def _check_held(
        self, actor: str, record: ModelRecord, policy: TrustPolicy, model: VerifiedModel
    ) -> None:
        """A model on the disk is hashed once more after the engine read it."""
        try:
            await asyncio.to_thread(model.rehash)
        except Refused as error:
            await self._supervisor.stop(record.id)
            await self._refused_load(actor, record, policy, error)
            raise

    async def _refused_load(
        self, actor: str, record: ModelRecord, policy: TrustPolicy, error: Refused
    ) -> None:
        if error.code in REVOKED and record.state not in _FINAL:
            await self.end(actor, record.id, "revoked", error)
            return
        self._edge(actor, record, record.state, policy, event="load_refused", error=error)

    async def unload(
        self, actor: str, model_id: str, *, event: str = "unload", reason: str = ""
    ) -> ModelRecord:
        """End the worker; the model stays approved.

        Raises:
            StateRefused: `wrong_state` when it is not loaded, `unknown_model_id`.
        """
        record = self._store.record(model_id)
        if not self.is_loaded(model_id):
            raise StateRefused("wrong_state", f"{model_id} is not loaded.")
        shown, policy = self._shown(record), self._policy()
        self._adapters.leave(actor, model_id, event)
        self._edge(actor, shown, record.state, policy, event=event, reason=reason)
        await self._supervisor.stop(model_id)
        return self.record(model_id)

    async def suspend(self, actor: str, model_id: str, reason: str) -> ModelRecord:
        """Stop serving a model until enough people approve it anew; its running answers end.

        Raises:
            StateRefused: `wrong_state`, `unknown_model_id`.
        """
        return await self._put_away(actor, model_id, "suspended", {"approved"}, reason)

    async def retire(self, actor: str, model_id: str, reason: str = "") -> ModelRecord:
        """Take a model out of service for good; its files stay as evidence.

        Raises:
            StateRefused: `wrong_state`, `unknown_model_id`.
        """
        allowed = {"approved", "verified", "suspended", "refused", *UNFINISHED}
        return await self._put_away(actor, model_id, "retired", allowed, reason)

    async def revoke(self, actor: str, model_id: str, reason: str) -> ModelRecord:
        """End a model for good because it must not be trusted; from any state.

        Raises:
            StateRefused: `wrong_state` when it is revoked already, `unknown_model_id`.
        """
        allowed = {"approved", "verified", "suspended", "refused", "retired", *UNFINISHED}
        return await self._put_away(actor, model_id, "revoked", allowed, reason)

    async def end(self, actor: str, model_id: str, state: str, error: Refused) -> ModelRecord:
        """Suspend or revoke a model for what a check found.

        Args:
            state: suspended or revoked.
        """
        allowed = {self._store.record(model_id).state}
        return await self._put_away(actor, model_id, state, allowed, error.message, error.code)

    async def _put_away(
        self,
        actor: str,
        model_id: str,
        state: str,
        allowed: set[str],
        reason: str,
        code: str | None = None,
    ) -> ModelRecord:
        record = self._store.record(model_id)
        if record.state not in allowed:
            raise StateRefused("wrong_state", f"{model_id} is {record.state}.")
        shown = self._shown(record)
        self._adapters.leave(actor, model_id)
        self._edge(actor, shown, state, self._policy(), reason=reason, code=code)
        changed = self._store.set_state(
            model_id,
            state,
            message=reason,
            code=code or record.code,
            new_round=state == "suspended",
        )
        if self.is_loaded(model_id):
            await self._supervisor.stop(model_id)
        return changed

    def note(self, model_id: str, event: str, error: Refused) -> ModelRecord:
        """Record what a check found without changing what the model may do."""
        record = self._store.record(model_id)
        shown = self._shown(record)
        self._edge(SYSTEM, shown, shown.state, self._policy(), event=event, error=error)
        return self._store.set_state(model_id, record.state, code=error.code, message=error.message)

    def may_restart(self, model: Verified) -> None:
        """Ask whether a worker may be started again: as `recheck`, or `trust_stale`."""
        self._fresh().check_serve()
        self.recheck(model)

    def recheck(self, model: Verified) -> None:
        """Ask the policy in force again about a model or adapter that is held.

        Raises:
            PolicyRefused: the model, a key or the engine is no longer allowed.
        """
        policy = self._policy()
        policy.check_engine(ENGINE, self._supervisor.engine_version)
        self._store.recheck(model, policy)


def _enough(policy: TrustPolicy, names: list[str]) -> bool:
    with contextlib.suppress(PolicyRefused):
        policy.check_approvals(names)
        return True
    return False


def _percent_of(size: int, progress: Progress) -> Callable[[int], None]:
    """Reports of the engine as progress in bytes; whoever has gone away stops nothing now."""

    def report(percent: int) -> None:
        with contextlib.suppress(Unavailable):
            progress("loading", size * percent // 100, size)

    return report


def _silent(_phase: str, _done: int, _total: int) -> None:
    """Progress that nobody watches."""
