"""The steps of loading and unloading one model: its checks, its entries, its worker.

Rules: a model is loaded only as a `VerifiedModel`, made from the stored bytes each time. Its memory
is taken before a byte is sealed. Each edge is recorded before it is true, and no other change of
the model comes between. A refusal is recorded with its code.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, replace

from appliance.errors import Refused, StateRefused, Unavailable
from appliance.facts import ModelFacts
from appliance.pool.adapters import AdapterLoader
from appliance.pool.model import PooledModel
from appliance.pool.withdrawal import FINAL, Withdrawal
from appliance.registry.audit_entries import REVOKED, Edges
from appliance.registry.lifecycle import Custody
from appliance.registry.states import following
from appliance.trust.artifacts.store import ModelRecord, VerifiedModel
from appliance.trust.policy.freshness import Freshness
from appliance.trust.policy.policy import TrustPolicy
from appliance.types import Json, Report
from appliance.workers.memory_estimate import MIB, Estimate
from appliance.workers.supervisor import ENGINE


@dataclass(eq=False)
class Loader(Custody):
    """Loads and unloads.

    Attributes:
        withdrawal: revokes what a load found to be revoked.
    """

    fresh: Callable[[], Freshness]
    adapters: AdapterLoader
    withdrawal: Withdrawal
    edges: Edges

    async def load(
        self, model: PooledModel, actor: str, progress: Report, *, reason: str
    ) -> ModelRecord:
        """Verify the stored bytes again, seal them and serve them. Raises any refusal of trust or
        the engine; `wrong_state`, `insufficient_memory`.

        Args:
            progress: gets "verifying", then "sealing" with the bytes that are hashed and sealed in
                one pass, then "loading" with those that the engine has; there, a report that raises
                ends nothing any more.
        """
        record = self.store.inventory.record(model.id)
        policy = await asyncio.to_thread(self.policy)
        async with self._recording_refusal(model, actor, record, policy):
            needs = await self._reserve(record)
            verified = await self._seal(record, policy, progress)
        held: dict[str, Json] = {"held": "disk" if verified.sealed.on_disk else "memory"}
        async with self._recording_refusal(model, actor, record, policy, verified):
            async with model.lock:
                await asyncio.to_thread(self.lifecycle.still, record, verified)
                size = verified.facts.file_bytes
                progress("loading", 0, size)
                fields: dict[str, Json] = {**held, "needs_mib": needs.total // MIB}
                await self.edges.append(
                    actor, record, "staged", policy, reason=reason, fields=fields
                )
                served = self.supervisor.begin(verified, _percent_of(size, progress))
            await self.supervisor.started(served)
        if verified.sealed.on_disk:
            await self._check_held(model, actor, record, policy, verified)
        async with model.lock:
            if model.served is not served:
                raise StateRefused("wrong_state", f"{model.id} was unloaded while it was loading.")
            staged = replace(record, state="staged")
            await self.edges.append(actor, staged, "serving", policy, fields=held)
            if record.code:  # what an earlier check found is over
                await asyncio.to_thread(self.store.inventory.set_state, model.id, record.state)
        await self.adapters.follow(model, actor)
        return self.lifecycle.record(model.id)

    async def load_adapter(
        self, base: PooledModel, actor: str, adapter_id: str, progress: Report
    ) -> ModelRecord:
        """Attach an adapter to its loaded base. Raises as `load`."""
        record = self.store.inventory.record(adapter_id)
        policy = await asyncio.to_thread(self.policy)
        async with self._recording_refusal(base, actor, record, policy):
            await self.adapters.load(base, actor, record, progress)
        return self.lifecycle.record(adapter_id)

    async def unload(
        self, model: PooledModel, actor: str, model_id: str, *, event: str, reason: str
    ) -> ModelRecord:
        """End a worker, or free an adapter of the model; the artifact stays approved.

        Raises `wrong_state` when it is not loaded, `unknown_model_id`.
        """
        async with model.lock:
            record = self.store.inventory.record(model_id)
            if not self.supervisor.is_loaded(model_id):
                raise StateRefused("wrong_state", f"{model_id} is not loaded.")
            shown, policy = self.lifecycle.shown(record), await asyncio.to_thread(self.policy)
            await self.adapters.leave(actor, model_id, event)
            await self.edges.append(actor, shown, record.state, policy, event=event, reason=reason)
            await self.supervisor.stop(model_id)
        return self.lifecycle.record(model_id)

    @contextlib.asynccontextmanager
    async def _recording_refusal(
        self,
        model: PooledModel,
        actor: str,
        record: ModelRecord,
        policy: TrustPolicy,
        verified: VerifiedModel | None = None,
    ) -> AsyncIterator[None]:
        """If a load fails, give back what it took and record the refusal."""
        try:
            yield
        except BaseException as error:
            if verified is not None:
                verified.close()
            self.supervisor.release(record.id)
            if isinstance(error, Refused):
                await self._refused(model, actor, record, policy, error)
            raise

    async def _refused(
        self,
        model: PooledModel,
        actor: str,
        record: ModelRecord,
        policy: TrustPolicy,
        error: Refused,
    ) -> None:
        if error.code in REVOKED and record.state not in FINAL:
            await self.withdrawal.end(model, actor, record.id, "revoked", error)
            return
        await self.edges.append(
            actor, record, record.state, policy, event="load_refused", error=error
        )

    async def _reserve(self, record: ModelRecord) -> Estimate:
        if self.supervisor.is_loaded(record.id):
            raise StateRefused("wrong_state", f"{record.id} is loaded already.")
        following(record.id, record.state, "load")
        facts = await asyncio.to_thread(self._servable, record)
        return self.supervisor.reserve(record.id, facts)

    def _servable(self, record: ModelRecord) -> ModelFacts:
        self.fresh().check_serve()
        return self.store.inventory.facts(record)

    async def _seal(
        self, record: ModelRecord, policy: TrustPolicy, progress: Report
    ) -> VerifiedModel:
        policy.check_engine(ENGINE, self.supervisor.engine_version)
        on_disk = self.supervisor.keeps_on_disk(record.id)
        size = await asyncio.to_thread(self.store.inventory.size, record.id)
        if not on_disk:
            self.supervisor.check_sealing(record.id, size)
        progress("verifying", 0, size)
        return await asyncio.to_thread(
            self.store.seal, record.id, policy, progress, on_disk=on_disk
        )

    async def _check_held(
        self,
        model: PooledModel,
        actor: str,
        record: ModelRecord,
        policy: TrustPolicy,
        verified: VerifiedModel,
    ) -> None:
        """Hash a model on the disk once more after the engine read it."""
        try:
            await asyncio.to_thread(verified.rehash)
        except Refused as error:
            await self.supervisor.stop(record.id)
            await self._refused(model, actor, record, policy, error)
            raise


def _percent_of(size: int, progress: Report) -> Callable[[int], None]:
    """Reports of the engine as progress in bytes; a watcher that left stops nothing now."""

    def report(percent: int) -> None:
        with contextlib.suppress(Unavailable):
            progress("loading", size * percent // 100, size)

    return report
