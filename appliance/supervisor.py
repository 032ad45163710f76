"""Starts, watches and ends the workers, within a memory budget.

Rules: `start` takes a `VerifiedModel`, and only `trust` can make one: there is no other way in.
A model that does not fit the budget is refused before it is loaded, with the numbers. A worker
that dies is started again from the same sealed file after the trust policy was asked again, with
backoff, until the deaths say that it must be suspended. Unloading is ending the child. Every
start and every end is recorded.
"""

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any

from appliance.clock import Clock
from appliance.config import Config, ModelConfig
from appliance.engine.deaths import Deaths
from appliance.engine.memory import MIB, Estimate, estimate, longest_text
from appliance.engine.messages import Load
from appliance.engine.process import Death, WorkerProcess
from appliance.engine.variants import best_variant, library_directory
from appliance.errors import NotFound, Overloaded, Refused, StateRefused, Unavailable, WorkerLost
from appliance.hardware import (
    available_cores,
    available_memory,
    compute_threads,
    total_memory,
)
from appliance.trust.store import VerifiedModel
from appliance.types import Json, ModelCard, ModelKind

Record = Callable[[str, Mapping[str, Json]], Awaitable[None]]
ENGINE = "llama-cpp-python"
_ADDRESS_SLACK = 3 << 30  # thread stacks, malloc arenas and mappings that are never touched


@dataclass(frozen=True)
class WorkerStatus:
    """One model as the operator sees it.

    Attributes:
        state: starting, ready, restarting or suspended.
        confinement: what the worker reports to be in force.
        threads: that computed the last step.
        threads_most: that compute when nobody else needs the cores.
        kv_kept: cells that only kept prefixes use; they give way.
        held: "memory" for sealed memory; "disk" for a file that the service cannot write.
        kind: what the model is for.
    """

    model: str
    digest: str
    state: str
    pid: int | None
    n_ctx: int
    slots: int
    running: int
    queued: int
    kv_used: int
    restarts: int
    memory_mib: int
    variant: str
    confinement: Mapping[str, Any]
    held: str
    kind: ModelKind = "generate"
    threads: int = 0
    threads_most: int = 0
    kv_kept: int = 0


@dataclass
class Served:
    """A model that the supervisor keeps alive."""

    model: VerifiedModel
    config: ModelConfig
    needs: Estimate
    state: str = "starting"
    worker: WorkerProcess | None = None
    since_us: int = 0
    deaths: Deaths = field(default_factory=Deaths)
    restarts: int = 0
    keeper: asyncio.Task[None] | None = None
    reason: str = ""


class Supervisor:
    """All workers of this server.

    Args:
        config: the whole configuration.
        clock: wall time of a load.
        record: appends an audit entry of kind "worker"; awaited before work goes on.
        recheck: raises Refused when the trust policy no longer allows the model.
    """

    def __init__(
        self,
        config: Config,
        clock: Clock,
        record: Record,
        recheck: Callable[[VerifiedModel], None],
    ) -> None:
        self._config = config
        self._clock = clock
        self._record = record
        self._recheck = recheck
        self._served: dict[str, Served] = {}
        self._variant: Path | None = None

    @property
    def engine(self) -> str:
        """Name and version of the engine, as audit records and fingerprints carry it."""
        variant = self._variant.stem.removeprefix("libggml-cpu-") if self._variant else "not loaded"
        return f"{ENGINE} {self.engine_version} {variant}"

    @property
    def engine_version(self) -> str:
        """Version of the engine, for the trust policy."""
        return version(ENGINE)

    def budget(self) -> int:
        """Bytes that all workers may take together."""
        configured = self._config.engine.memory_mib * MIB
        return configured or total_memory() * 8 // 10

    def check_room(self, needs: Estimate, what: str) -> None:
        """Refuse what does not fit beside the models that are loaded.

        Raises:
            StateRefused: `insufficient_memory`, with the numbers.
        """
        taken = sum(s.needs.total for s in self._served.values())
        if taken + needs.total > self.budget():
            raise StateRefused(
                "insufficient_memory",
                f"{what} needs {needs.describe()}; of {self.budget() // MIB} MiB, "
                f"{taken // MIB} MiB are taken.",
            )

    def check_sealing(self, model_id: str, size: int) -> None:
        """Refuse to seal what the host's memory cannot hold now.

        Raises:
            StateRefused: `insufficient_memory`, with the numbers.
        """
        free = available_memory()
        if size > free:
            raise StateRefused(
                "insufficient_memory",
                f"Sealing {model_id} takes {size // MIB} MiB, and {free // MIB} MiB are free; "
                'hold = "disk" keeps it in a store that the service cannot write.',
            )

    def keeps_on_disk(self, model_id: str) -> bool:
        """Whether the configuration holds this model on the disk instead of in sealed memory."""
        return self._config.model(model_id).hold == "disk"

    def served(self) -> list[VerifiedModel]:
        """The models that are loaded."""
        return [served.model for served in self._served.values()]

    async def start(self, model: VerifiedModel) -> None:
        """Load a model and keep it alive; returns when it can answer. Takes over the sealed file.

        Raises:
            StateRefused: `insufficient_memory`, or the worker's code when it does not load.
        """
        if model.id in self._served:
            raise StateRefused("wrong_state", f"{model.id} is loaded already.")
        config = self._config.model(model.id)
        served = Served(
            model, config, estimate(model.facts, config), since_us=self._clock.wall_us()
        )
        self.check_room(served.needs, model.id)
        self._served[model.id] = served
        served.keeper = asyncio.create_task(self._launch(served))
        try:
            await served.keeper
        except BaseException:
            if self._served.get(model.id) is served:
                del self._served[model.id]
                raise
        if self._served.get(model.id) is not served:
            raise StateRefused("wrong_state", f"{model.id} was unloaded while it was loading.")
        served.keeper = asyncio.create_task(self._keep(served))

    async def stop(self, model_id: str) -> None:
        """End a model's worker; its running requests get an error.

        Raises:
            StateRefused: `wrong_state` when it is not loaded.
        """
        served = self._served.pop(model_id, None)
        if served is None:
            raise StateRefused("wrong_state", f"{model_id} is not loaded.")
        if served.keeper:
            served.keeper.cancel()
            await asyncio.wait([served.keeper])
        if served.worker:
            served.worker.kill()
            await served.worker.closed()
            await self._note(served, "stop", pid=served.worker.pid)
        served.model.close()

    async def close(self) -> None:
        """End all workers."""
        for model_id in list(self._served):
            await self.stop(model_id)

    def cards(self) -> list[ModelCard]:
        """The models that are loaded or being restarted, as the API shows them."""
        return [self.card(model_id) for model_id in self._served]

    def card(self, model_id: str) -> ModelCard:
        """What the API says about a loaded model."""
        served = self._served[model_id]
        facts, worker = served.model.facts, served.worker
        n_ctx = worker.ready.n_ctx if worker else longest_text(facts, served.config)
        return ModelCard(
            id=model_id,
            digest=served.model.digest,
            n_ctx=n_ctx,
            created=served.since_us // 1_000_000,
            kind=facts.kind,
            n_embd=facts.n_embd,
        )

    def is_loaded(self, model_id: str) -> bool:
        """Whether a model has a worker, or will have one again."""
        return model_id in self._served

    def wants(self, model_id: str) -> bool:
        """Whether the configuration loads this model at the start."""
        return self._config.model(model_id).autoload

    def ready(self) -> bool:
        """Whether at least one model can answer."""
        return any(s.state == "ready" for s in self._served.values())

    def worker(self, model_id: str, key_id: str) -> tuple[VerifiedModel, WorkerProcess]:
        """The worker that answers for a model.

        Raises:
            NotFound: `model_not_found`.
            Overloaded: `key_quarantined` after deaths attributed to the key.
            Unavailable: `model_loading` while it starts again, `worker_lost` when suspended.
        """
        served = self._served.get(model_id)
        if served is None:
            raise NotFound(
                "model_not_found", f"The model {model_id!r} does not exist.", param="model"
            )
        left = served.deaths.blocked_for(key_id, time.monotonic())
        if left:
            raise Overloaded(
                "key_quarantined", f"This key may use {model_id} again in {int(left) + 1} seconds."
            )
        if served.state == "suspended":
            raise WorkerLost("worker_lost", f"{model_id} is suspended: {served.reason}")
        if served.state != "ready" or served.worker is None:
            raise Unavailable("model_loading", f"{model_id} is not ready yet.")
        return served.model, served.worker

    def slots(self, model_id: str) -> int:
        """Requests that a loaded model runs at once."""
        return self._served[model_id].config.slots

    def status(self) -> list[WorkerStatus]:
        """What the operator sees."""
        return [self._status(s) for s in self._served.values()]

    def _threads(self) -> int:
        return self._config.engine.threads or compute_threads(available_cores())

    def _status(self, served: Served) -> WorkerStatus:
        worker = served.worker
        return WorkerStatus(
            model=served.model.id,
            digest=served.model.digest,
            state=served.state,
            pid=worker.pid if worker else None,
            n_ctx=worker.ready.n_ctx if worker else served.config.n_ctx,
            slots=served.config.slots,
            running=worker.running if worker else 0,
            queued=worker.waiting if worker else 0,
            kv_used=worker.cells_used if worker else 0,
            kv_kept=worker.cells_kept if worker else 0,
            threads=(worker.threads or self._threads()) if worker else 0,
            threads_most=self._threads(),
            restarts=served.restarts,
            memory_mib=served.needs.total // MIB,
            variant=self._variant.name if self._variant else "",
            confinement=worker.ready.confinement if worker else {},
            held="disk" if served.model.sealed.on_disk else "memory",
            kind=served.model.facts.kind,
        )

    async def _launch(self, served: Served) -> None:
        if self._variant is None:
            self._variant = await asyncio.to_thread(lambda: best_variant(library_directory()))
        config = served.config
        load = Load(
            variant=str(self._variant),
            n_ctx=longest_text(served.model.facts, config),
            slots=config.slots,
            threads=self._threads(),
            prefill_budget=config.prefill_budget,
            reproducible=config.reproducible,
            memory_bytes=served.needs.total + _ADDRESS_SLACK,
            max_prepare_bytes=self._config.engine.max_prepare_bytes,
            on_disk=served.model.sealed.on_disk,
            kind=served.model.facts.kind,
            gap_ms=config.target_gap_ms,
            kept=config.kept_prefixes,
            prefixes=config.prefixes,
        )
        worker = await WorkerProcess.start(served.model.sealed, load)
        await self._note(served, "start", pid=worker.pid, load_ms=worker.ready.load_ms)
        served.worker, served.state = worker, "ready"

    async def _keep(self, served: Served) -> None:
        """Deliver rows while the worker lives; start it again when it dies."""
        while served.worker is not None:
            death = await served.worker.pump()
            pid, served.worker, served.state = served.worker.pid, None, "restarting"
            now = time.monotonic()
            served.deaths.record(now, death.suspects)
            await self._note_death(served, pid, death)
            if served.deaths.must_suspend(now):
                return await self._suspend(served, "its engine died five times in ten minutes")
            await self._restart(served)

    async def _restart(self, served: Served) -> None:
        while served.worker is None:
            await asyncio.sleep(served.deaths.backoff(time.monotonic()))
            try:
                self._recheck(served.model)
                await self._launch(served)
                served.restarts += 1
            except (Refused, OSError) as error:  # OSError: no process or descriptor to be had
                if isinstance(error, Refused) and error.code != "model_load_failed":
                    return await self._suspend(served, error.message)
                served.deaths.record(time.monotonic(), ())
                if served.deaths.must_suspend(time.monotonic()):
                    return await self._suspend(served, str(error))

    async def _suspend(self, served: Served, reason: str) -> None:
        await self._note(served, "suspend", reason=reason)  # recorded first, then true
        served.state, served.reason = "suspended", reason

    async def _note_death(self, served: Served, pid: int, death: Death) -> None:
        await self._note(
            served,
            "exit",
            pid=pid,
            status=death.status,
            suspects=[*sorted(death.suspects)],
            reason=death.reason[-500:],
        )

    async def _note(self, served: Served, event: str, **fields: Json) -> None:
        with contextlib.suppress(Unavailable):  # a latched log must not stop the restart
            await self._record(
                "worker",
                {
                    "event": event,
                    "model": served.model.id,
                    "digest": served.model.digest,
                    "engine": self.engine,
                    **fields,
                },
            )
