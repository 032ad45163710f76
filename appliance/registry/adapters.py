"""The use-case of an adapter's life beside its base: attached to the running worker, and let go.

Rules: an adapter is loaded only beside its loaded base, as a `VerifiedAdapter` made afresh from the
stored bytes and held against what the base's worker really has. The approved adapters of a base
follow it into memory, unless `autoload` is off, and leave with it; each edge is recorded before it
is true. An adapter that is refused stops neither the base nor the other adapters.
"""

import asyncio
from collections.abc import Callable
from dataclasses import replace

from appliance.errors import Refused, StateRefused
from appliance.registry.audit_entries import Edges
from appliance.trust.policy import TrustPolicy
from appliance.trust.records import followers
from appliance.trust.store import ModelRecord, ModelStore
from appliance.trust.verified import Verified
from appliance.workers.supervisor import Supervisor

Progress = Callable[[str, int, int], None]


class Adapters:
    """Adapters in and out of workers.

    Args:
        store: the artifacts and their states.
        policy: reads the trust policy in force.
        supervisor: where the bases are served.
        edges: records what happens.
        still: asks again what may have changed while something took its time.
    """

    def __init__(
        self,
        store: ModelStore,
        policy: Callable[[], TrustPolicy],
        supervisor: Supervisor,
        edges: Edges,
        still: Callable[[ModelRecord, Verified], None],
    ) -> None:
        self._store = store
        self._policy = policy
        self._supervisor = supervisor
        self._edges = edges
        self._still = still

    async def load(self, actor: str, record: ModelRecord, progress: Progress) -> None:
        """Seal an adapter and attach it to its base.

        Raises:
            Refused: any check of trust; `not_approved`, `wrong_state` while its base is not
                loaded, `insufficient_memory`, or the engine's code.
        """
        if self._supervisor.is_loaded(record.id):
            raise StateRefused("wrong_state", f"{record.id} is loaded already.")
        if record.state != "approved":
            code = "not_approved" if record.state == "verified" else "wrong_state"
            raise StateRefused(code, f"{record.id} is {record.state}, not approved.")
        base = self._supervisor.adapters.base(record.id)
        policy = self._policy()
        progress("verifying", 0, int(record.facts["file_bytes"]))
        adapter = await asyncio.to_thread(
            self._store.seal_adapter, record.id, base, policy, progress
        )
        try:
            self._still(record, adapter)
            progress("loading", 0, adapter.facts.lora.file_bytes)
            self._edges.record(actor, record, "staged", policy, held="memory", base=base.digest)
            await self._supervisor.adapters.attach(adapter)
        except BaseException:
            adapter.close()
            raise
        if not self._supervisor.is_loaded(record.id):
            raise StateRefused("wrong_state", f"{record.id} was unloaded while it was loading.")
        try:
            self._still(record, adapter)
        except Refused:
            await self._supervisor.adapters.detach(record.id)
            raise
        staged = replace(record, state="staged")
        self._edges.record(actor, staged, "serving", policy, held="memory", base=base.digest)

    async def follow(self, actor: str, base_id: str) -> list[str]:
        """Load the adapters of a base that has just been loaded.

        Returns:
            The refusals as sentences; each is recorded.
        """
        problems = []
        for record in followers(self._store.records(), base_id):
            if not self._supervisor.wants(record.id):
                continue
            try:
                await self.load(actor, record, _silent)
            except Refused as error:
                problems.append(f"{record.id}: {error.message}")
                self._edges.record(
                    actor, record, record.state, self._policy(), event="load_refused", error=error
                )
        return problems

    def leave(self, actor: str, base_id: str, event: str = "unload") -> None:
        """Record that the loaded adapters of a base end with it."""
        for record in followers(self._store.records(), base_id):
            if self._supervisor.is_loaded(record.id):
                shown = replace(record, state="serving")
                reason = f"{base_id} ends"
                policy = self._policy()
                self._edges.record(actor, shown, record.state, policy, event=event, reason=reason)


def _silent(_phase: str, _done: int, _total: int) -> None:
    """Progress that nobody watches."""
