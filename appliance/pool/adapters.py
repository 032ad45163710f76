"""Adapters next to their base: attached to the running worker, and recorded as they leave.

Rules: an adapter is loaded only beside its loaded base, as a `VerifiedAdapter` made from the stored
bytes each time and checked against what the base's worker really has. The approved adapters of a
base are loaded with it, unless `autoload` is off, and leave with it. Each edge is recorded before
it is true. A refused adapter stops nothing else.
"""

import asyncio
from dataclasses import dataclass, replace

from appliance.errors import Refused, StateRefused
from appliance.facts import AdapterFacts
from appliance.pool.model import PooledModel
from appliance.registry.audit_entries import Edges
from appliance.registry.lifecycle import Custody
from appliance.registry.states import following
from appliance.trust.artifacts.records import followers
from appliance.trust.artifacts.store import ModelRecord
from appliance.trust.artifacts.verified import VerifiedAdapter
from appliance.types import Report, silent


@dataclass(eq=False)
class AdapterLoader(Custody):
    """Adapters in and out of workers; `edges` records what happens."""

    edges: Edges

    async def load(
        self, base: PooledModel, actor: str, record: ModelRecord, progress: Report
    ) -> None:
        """Attach an adapter to its base. Raises any refusal of trust or the engine; `not_approved`,
        `insufficient_memory`, `wrong_state` while its base is not loaded.
        """
        if self.supervisor.is_loaded(record.id):
            raise StateRefused("wrong_state", f"{record.id} is loaded already.")
        following(record.id, record.state, "load")
        model = self.supervisor.adapters.base(record.id)
        policy = await asyncio.to_thread(self.policy)
        known = record.facts if isinstance(record.facts, AdapterFacts) else None
        progress("verifying", 0, known.file_bytes if known else 0)
        adapter = await asyncio.to_thread(
            self.store.seal_adapter, record.id, model, policy, progress
        )
        held = {"held": "memory", "base": model.digest}
        try:
            async with base.lock:
                await asyncio.to_thread(self.lifecycle.still, record, adapter)
                progress("loading", 0, adapter.facts.lora.file_bytes)
                await self.edges.append(actor, record, "staged", policy, fields=held)
            await self.supervisor.adapters.attach(adapter)
        except BaseException:
            adapter.close()
            raise
        async with base.lock:
            await self._check_attached(record, adapter)
            staged = replace(record, state="staged")
            await self.edges.append(actor, staged, "serving", policy, fields=held)

    async def _check_attached(self, record: ModelRecord, adapter: VerifiedAdapter) -> None:
        if not self.supervisor.is_loaded(record.id):
            raise StateRefused("wrong_state", f"{record.id} was unloaded while it was loading.")
        try:
            await asyncio.to_thread(self.lifecycle.still, record, adapter)
        except Refused:
            await self.supervisor.adapters.detach(record.id)
            raise

    async def follow(self, base: PooledModel, actor: str) -> list[str]:
        """Load a loaded base's adapters; the recorded refusals, as sentences."""
        problems = []
        for record in followers(self.store.inventory.records(), base.id):
            if not self.supervisor.wants(record.id):
                continue
            try:
                await self.load(base, actor, record, silent)
            except Refused as error:
                problems.append(f"{record.id}: {error.message}")
                policy = await asyncio.to_thread(self.policy)
                await self.edges.append(
                    actor, record, record.state, policy, event="load_refused", error=error
                )
        return problems

    async def leave(self, actor: str, base_id: str, event: str = "unload") -> None:
        """Record that a base's loaded adapters end with it; the base is locked."""
        for record in followers(self.store.inventory.records(), base_id):
            if self.supervisor.is_loaded(record.id):
                shown = replace(record, state="serving")
                reason, policy = f"{base_id} ends", await asyncio.to_thread(self.policy)
                await self.edges.append(
                    actor, shown, record.state, policy, event=event, reason=reason
                )
