"""The adapters next to the models that are served: attached to a running worker, detached, kept.

Rules: only a `VerifiedAdapter` is attached, and only to the model that it was checked against. The
worker knows it by its digest, so that another version under the same id finds nothing of the old
one. Concurrent requests attach it once. A restarted worker gets those that the policy still allows.
"""

import contextlib
from collections.abc import Awaitable, Callable, Iterator, Mapping
from dataclasses import replace
from typing import Protocol

from appliance.errors import Refused, StateRefused, WorkerLost
from appliance.trust.artifacts.adapter import base_of
from appliance.trust.artifacts.store import VerifiedAdapter, VerifiedModel
from appliance.trust.artifacts.verified import Verified
from appliance.types import Json
from appliance.workers.memory_estimate import Estimate, adapter_bytes
from appliance.workers.supervised import SupervisedModel


class AdapterNote(Protocol):
    """Appends an audit entry about a worker."""

    def __call__(self, served: SupervisedModel, event: str, **fields: Json) -> Awaitable[None]:
        """Wait until it is durable, or the log is closed."""
        ...


class Attachments:
    """The adapters of all models.

    Args:
        take: changes a model's part of the memory budget, or refuses.
        recheck: raises Refused when the trust policy no longer allows an artifact.
    """

    def __init__(
        self,
        served: Mapping[str, SupervisedModel],
        take: Callable[[str, Estimate], None],
        note: AdapterNote,
        recheck: Callable[[Verified], None],
    ) -> None:
        self._served = served
        self._take = take
        self._note = note
        self._recheck = recheck
        self._coming: list[VerifiedAdapter] = []  # the workers are being told to load them

    def __iter__(self) -> Iterator[VerifiedAdapter]:
        for served in self._served.values():
            yield from served.adapters.values()

    def find(self, model_id: str) -> VerifiedAdapter | None:
        served = self._served.get(base_of(model_id) or "")
        return served.adapters.get(model_id) if served else None

    def base(self, adapter_id: str) -> VerifiedModel:
        return self._ready(adapter_id).model

    async def attach(self, adapter: VerifiedAdapter) -> None:
        """Load an adapter; takes over the sealed file (`adapter_other_base`, `wrong_state`,
        `insufficient_memory`, or the worker's code).
        """
        served = self._ready(adapter.id)
        worker = served.worker
        if worker is None:
            raise StateRefused("wrong_state", f"{served.model.id} is not ready.")
        adapter.facts.base.check(served.model.digest, served.model.gguf_sha256)
        for other in self._with_coming(served):
            if adapter.id == other.id or adapter.digest == other.digest:
                raise StateRefused("wrong_state", f"{other.id} is this adapter, and loaded.")
        self._coming.append(adapter)
        try:
            self._account(served)
            await worker.attach(adapter.digest, adapter.sealed)
            if served.worker is not worker or self._served.get(served.model.id) is not served:
                raise WorkerLost("worker_lost", "The engine process of the model ended.")
            served.adapters[adapter.id] = adapter
        except WorkerLost as error:
            raise StateRefused("model_load_failed", error.message) from error
        finally:
            self._coming.remove(adapter)
            self._account(served)
        await self._note(served, "attach", **_of(adapter))

    async def detach(self, adapter_id: str) -> None:
        """Free an adapter; the answers that use it end."""
        served = self._served.get(base_of(adapter_id) or "")
        adapter = served.adapters.pop(adapter_id, None) if served else None
        if served is None or adapter is None:
            raise StateRefused("wrong_state", f"{adapter_id} is not loaded.")
        try:
            if served.worker is not None:
                with contextlib.suppress(WorkerLost, StateRefused):  # then it has no adapters
                    await served.worker.detach(adapter.digest)
            await self._note(served, "detach", **_of(adapter))
        finally:
            self._drop(served, adapter)

    async def recheck(self, served: SupervisedModel) -> None:
        for adapter in list(served.adapters.values()):
            try:
                self._recheck(adapter)
            except Refused as error:
                await self._lose(served, adapter, error.message)

    async def settle(self, served: SupervisedModel) -> None:
        """Forget the adapters that a started worker could not take."""
        for adapter in list(served.adapters.values()):
            if served.worker is not None and adapter.digest not in served.worker.adapters:
                await self._lose(served, adapter, "the engine did not load it again")

    async def _lose(self, served: SupervisedModel, adapter: VerifiedAdapter, reason: str) -> None:
        del served.adapters[adapter.id]
        try:
            await self._note(served, "detach", **_of(adapter), reason=reason)
        finally:
            self._drop(served, adapter)

    def _drop(self, served: SupervisedModel, adapter: VerifiedAdapter) -> None:
        adapter.close()
        self._account(served)

    def _with_coming(self, served: SupervisedModel) -> list[VerifiedAdapter]:
        """The adapters of a model, those that its worker is loading included."""
        coming = (a for a in self._coming if base_of(a.id) == served.model.id)
        return [*served.adapters.values(), *coming]

    def _account(self, served: SupervisedModel) -> None:
        """Take the adapters' memory from the budget; an ended model takes none."""
        if self._served.get(served.model.id) is not served:
            return
        found = self._with_coming(served)
        size = sum(adapter_bytes(adapter.facts.lora.file_bytes) for adapter in found)
        needs = replace(served.needs, adapters=size)
        self._take(served.model.id, needs)
        served.needs = needs

    def _ready(self, adapter_id: str) -> SupervisedModel:
        base = base_of(adapter_id) or ""
        served = self._served.get(base)
        if served is None or served.state != "ready":
            raise StateRefused("wrong_state", f"{adapter_id}: load {base} first.")
        return served


def _of(adapter: VerifiedAdapter) -> dict[str, Json]:
    return {"adapter": adapter.id, "adapter_digest": adapter.digest}
