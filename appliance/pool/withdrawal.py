"""Models that are taken out of service: suspended, retired, revoked.

Rules: the entry is durable before the state changes; then the worker ends, and its running answers
get an error. A suspension makes all approvals void. Files, record and approvals stay as evidence.
"""

import asyncio
from dataclasses import dataclass
from typing import Final

from appliance.errors import Refused
from appliance.pool.adapters import AdapterLoader
from appliance.pool.model import PooledModel
from appliance.registry.audit_entries import SYSTEM, Edges
from appliance.registry.lifecycle import Custody
from appliance.registry.states import following
from appliance.trust.artifacts.store import ModelRecord

FINAL: Final = frozenset({"retired", "revoked"})


@dataclass(eq=False)
class Withdrawal(Custody):
    """Takes models out of service; `edges` records what happens."""

    adapters: AdapterLoader
    edges: Edges

    async def withdraw(
        self, model: PooledModel, actor: str, model_id: str, action: str, reason: str
    ) -> ModelRecord:
        """Suspend, retire or revoke a model or an adapter of it for a person, by `action`. Raises
        `wrong_state`, `unknown_model_id`.
        """
        async with model.lock:
            record = self.store.inventory.record(model_id)
            state = following(model_id, record.state, action).value
            return await self._put_away(actor, record, state, reason)

    async def end(
        self, model: PooledModel, actor: str, model_id: str, state: str, error: Refused
    ) -> ModelRecord:
        """Suspend or revoke for what a check found, unless retired or revoked already."""
        async with model.lock:
            record = self.store.inventory.record(model_id)
            if record.state in (*FINAL, state):
                return record
            return await self._put_away(actor, record, state, error.message, error.code)

    async def _put_away(
        self, actor: str, record: ModelRecord, state: str, reason: str, code: str | None = None
    ) -> ModelRecord:
        shown = self.lifecycle.shown(record)
        await self.adapters.leave(actor, record.id)
        policy = await asyncio.to_thread(self.policy)
        await self.edges.append(actor, shown, state, policy, reason=reason, code=code)
        changed = await asyncio.to_thread(
            self.store.inventory.set_state,
            record.id,
            state,
            message=reason,
            code=code or record.code,
            new_round=state == "suspended",
        )
        if self.supervisor.is_loaded(record.id):
            await self.supervisor.stop(record.id)
        return changed

    async def note(
        self, model: PooledModel, model_id: str, event: str, error: Refused | None
    ) -> ModelRecord:
        async with model.lock:
            record = self.store.inventory.record(model_id)
            shown = self.lifecycle.shown(record)
            policy = await asyncio.to_thread(self.policy)
            await self.edges.append(SYSTEM, shown, shown.state, policy, event=event, error=error)
            return await asyncio.to_thread(
                self.store.inventory.set_state,
                model_id,
                record.state,
                code=None if error is None else error.code,
                message="" if error is None else error.message,
            )
