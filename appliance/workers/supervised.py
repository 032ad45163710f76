"""A model that the supervisor keeps alive, and how it looks from outside."""

import asyncio
import time
from dataclasses import dataclass, field, replace

from appliance.config import ModelConfig
from appliance.trust.artifacts.store import VerifiedAdapter, VerifiedModel
from appliance.types import ModelCard
from appliance.wire.admin.models import Worker, WorkerDevice
from appliance.workers.coverage import Obstacle
from appliance.workers.crashes import Deaths
from appliance.workers.gpu_devices import Device
from appliance.workers.memory_estimate import MIB, Estimate, longest_text
from appliance.workers.process import WorkerProcess


@dataclass
class SupervisedModel:
    """A started model and its worker."""

    model: VerifiedModel
    config: ModelConfig
    needs: Estimate
    device: Device = field(default_factory=Device)
    state: str = "starting"
    worker: WorkerProcess | None = None
    since_us: int = 0
    since: float = 0.0
    deaths: Deaths = field(default_factory=Deaths)
    restarts: int = 0
    keeper: asyncio.Task[None] | None = None
    reason: str = ""
    adapters: dict[str, VerifiedAdapter] = field(default_factory=dict)
    obstacles: dict[str, Obstacle | None] = field(default_factory=dict)  # by adapter

    def cards(self) -> list[ModelCard]:
        base = self.card()
        return [
            base,
            *(
                replace(base, id=a.id, digest=a.digest, parent=base.id, base_digest=base.digest)
                for a in self.adapters.values()
            ),
        ]

    def card(self) -> ModelCard:
        facts, worker = self.model.facts, self.worker
        return ModelCard(
            id=self.model.id,
            digest=self.model.digest,
            n_ctx=worker.ready.n_ctx if worker else longest_text(facts, self.config),
            created=self.since_us // 1_000_000,
            kind=facts.kind,
            n_embd=facts.n_embd,
            fewest=worker.ready.fewest if worker else 0,
            licence=facts.licence or "",
        )

    def status(self, variant: str, threads_most: int) -> Worker:
        """A snapshot for the operator; `threads_most` compute when no other process needs the
        cores.
        """
        worker = self.worker
        return Worker(
            model=self.model.id,
            digest=self.model.digest,
            state=self.state,
            pid=worker.pid if worker else None,
            n_ctx=worker.ready.n_ctx if worker else self.config.n_ctx,
            slots=self.config.slots,
            running=worker.running if worker else 0,
            queued=worker.waiting if worker else 0,
            kv_used=worker.cells_used if worker else 0,
            kv_kept=worker.cells_kept if worker else 0,
            threads=(worker.threads or threads_most) if worker else 0,
            threads_most=threads_most,
            restarts=self.restarts,
            deaths=self.deaths.lately(time.monotonic()),
            reason=self.reason,
            memory_mib=self.needs.total // MIB,
            variant=variant,
            confinement=dict(worker.ready.confinement) if worker else {},
            held="disk" if self.model.sealed.on_disk else "memory",
            kind=self.model.facts.kind,
            device=WorkerDevice.model_validate(self.device, from_attributes=True),
            adapters=list(self.adapters),
        )
