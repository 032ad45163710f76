"""The periodic re-check of the store against the policy and the digests at load.

Rules: a finding and its end are recorded once. A revoked key, certificate or digest ends a model
for good; one that the policy no longer allows, or a task without a valid evaluation, is suspended.
A changed store suspends a model that is not served; one in sealed memory keeps running, one served
from the disk ends. An unreadable policy and missing files change nothing. A task that was evaluated
with another engine answers nothing, unsuspended, until its evaluation is carried over.
"""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final

from appliance.errors import PolicyRefused, Refused
from appliance.pool.pool import Pool
from appliance.registry.audit_entries import REVOKED, SYSTEM
from appliance.registry.lifecycle import Custody
from appliance.trust.artifacts.store import ModelRecord
from appliance.trust.artifacts.verified import Verified
from appliance.types import silent

_WAITS: Final = {"model_missing", "evaluation_other_engine", "state_differs"}
"""States that do not serve now and may serve again as approved: with the files, after
`eval carry`, or once a person decided."""


@dataclass(eq=False)
class Sweep(Custody):
    """Checks all models."""

    pool: Pool

    async def run(self) -> list[ModelRecord]:
        """Check once; the models with which something was wrong."""
        return await self._all(self._problem, reads=True)

    async def ask(self) -> list[ModelRecord]:
        """Check all models under the policy in force without reading their files; otherwise as
        `run`.
        """
        return await self._all(self._no, reads=False)

    async def _all(
        self, problem: Callable[[ModelRecord], Awaitable[Refused | None]], *, reads: bool
    ) -> list[ModelRecord]:
        self.policy()
        wrong = []
        for record in self.store.inventory.records():
            if record.state != "approved":
                continue
            if error := await problem(record):
                await self._act(record, error)
                wrong.append(self.lifecycle.record(record.id))
            elif reads and record.code:
                await self.pool.note(record.id, "recheck_passed", None)
        return wrong

    async def _no(self, record: ModelRecord) -> Refused | None:
        try:
            if model := self._served(record.id):
                await asyncio.to_thread(self.lifecycle.recheck, model)
            policy = await asyncio.to_thread(self.policy)
            await asyncio.to_thread(self.store.ask, record.id, policy)
        except Refused as error:
            return error
        return None

    async def _problem(self, record: ModelRecord) -> Refused | None:
        try:
            if model := self._served(record.id):
                await asyncio.to_thread(self.lifecycle.recheck, model)
                if model.sealed.on_disk:
                    await asyncio.to_thread(model.rehash)
            policy = await asyncio.to_thread(self.policy)
            checked = await asyncio.to_thread(self.store.check, record.id, policy, silent)
            self.store.expect(record, checked.digest)
            if not record.is_model:
                await asyncio.to_thread(self.store.ask, record.id, policy)
        except Refused as error:
            return error
        return None

    async def _act(self, record: ModelRecord, error: Refused) -> None:
        model = self._served(record.id)
        if error.code in REVOKED:
            await self.pool.end(SYSTEM, record.id, "revoked", error)
        elif error.code in _WAITS and model is None:
            if record.code != error.code:
                await self.pool.note(record.id, "recheck_failed", error)
        elif isinstance(error, PolicyRefused) or model is None or model.sealed.on_disk:
            await self.pool.end(SYSTEM, record.id, "suspended", error)
        elif record.code != error.code:
            await self.pool.note(record.id, "recheck_failed", error)

    def _served(self, model_id: str) -> Verified | None:
        return next((m for m in self.supervisor.served() if m.id == model_id), None)
