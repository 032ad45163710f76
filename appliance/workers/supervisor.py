"""Starts, watches and ends the workers, within a memory budget.

Rules: `start` takes a `VerifiedModel`, which only `trust` can make. Its sealed memory is given back
once the worker has the weights. A worker that dies is restarted, with backoff, after the trust
policy was re-checked and the stored file was checked and sealed again, until the deaths demand a
suspension.
"""

import asyncio
import contextlib
import logging
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace
from functools import cache
from importlib.metadata import version
from typing import Final

from appliance.clock import Clock
from appliance.config import Config
from appliance.engine.protocol import Load
from appliance.errors import NotFound, Overloaded, Refused, StateRefused, Unavailable
from appliance.facts import ModelFacts
from appliance.host.hardware import available_cores, available_memory, compute_threads, total_memory
from appliance.text import visible
from appliance.trust.artifacts.adapter import base_of
from appliance.trust.artifacts.store import VerifiedModel
from appliance.trust.artifacts.verified import Verified
from appliance.trust.gguf.gguf import GgufFacts
from appliance.trust.gguf.lora import Lora
from appliance.types import Constraint, Json, ModelCard
from appliance.wire.admin.models import Worker
from appliance.workers.adapters import Attachments
from appliance.workers.child import TalkingChild
from appliance.workers.coverage import Obstacle, obstacle
from appliance.workers.cpu_variants import HostVariant, Variant
from appliance.workers.crashes import Death, Deaths
from appliance.workers.engine_build import build_of
from appliance.workers.gpu_probe import device_for
from appliance.workers.memory_budget import Budget
from appliance.workers.memory_estimate import MIB, Estimate, estimate, longest_text
from appliance.workers.process import WorkerProcess, engine
from appliance.workers.repacking import multipliers
from appliance.workers.supervised import SupervisedModel

_log = logging.getLogger("appliance")
Record = Callable[[str, Mapping[str, Json]], Awaitable[None]]
ENGINE = "llama-cpp-python"
_ADDRESS_SLACK = 3 << 30  # thread stacks, malloc arenas and mappings that are never touched


@cache
def engine_version() -> str:
    """Version of the engine, for the trust policy; cached, since that reads files."""
    return version(ENGINE)


_MAY_PASS = frozenset({"model_load_failed", "insufficient_memory"})
"""Refusals after which a worker is started again, as long as the deaths allow it."""


class Supervisor:
    """All workers of this server.

    Args:
        record: appends an audit entry of kind "worker"; awaited before work continues.
        restarts: how often that of a model was, before it is loaded; blocks.

    Attributes:
        variant: of the engine's processor backend; a model's memory depends on it.
    """

    def __init__(
        self,
        config: Config,
        clock: Clock,
        record: Record,
        recheck: Callable[[Verified], None],
        seal_again: Callable[[VerifiedModel], VerifiedModel],
        restarted: Callable[[str], None] = lambda model_id: None,
        restarts: Callable[[str], int] = lambda model_id: 0,
    ) -> None:
        self._config = config
        self._clock = clock
        self._record = record
        self._recheck = recheck
        self._seal_again = seal_again
        self._watchers: list[Callable[[], None]] = []
        self.engine_version: Final = engine_version()
        self._restarted, self._restarts_of = restarted, restarts
        self._served: dict[str, SupervisedModel] = {}
        self._ending: set[str] = set()
        self._early: dict[str, TalkingChild] = {}  # processes that wait for their models
        # Both count on when a model is loaded again.
        self._deaths: dict[str, Deaths] = {}
        self._restarts: dict[str, int] = {}
        self.variant = HostVariant()
        self._variant: Variant | None = None  # that of the workers
        self._build = ""
        self.budget = Budget(config.engine.memory_mib * MIB or total_memory() * 8 // 10)
        self.adapters = Attachments(self._served, self.budget.take, self._note, recheck)

    @property
    def engine(self) -> str:
        """All that the numbers depend on besides a model: version, build, processor, kernels."""
        build = self._variant and f"build {self._build} {self._variant.computes}"
        return f"{ENGINE} {self.engine_version} {build or 'not loaded'}"

    def when_changed(self, call: Callable[[], None]) -> None:
        """Register a call for when a model can answer, or memory has come back."""
        self._watchers.append(call)

    def _changed(self) -> None:
        for call in self._watchers:
            call()

    def estimate(self, model_id: str, facts: ModelFacts, adapters: int = 0) -> Estimate:
        config, host = self._config.model(model_id), self.variant
        needs = estimate(facts, config, host.name, host.wrong)
        return replace(needs, adapters=adapters)

    def reserve(self, model_id: str, facts: ModelFacts) -> Estimate:
        """Take memory for a model that is about to be sealed, and start its process, which imports
        its modules meanwhile.

        `wrong_state` while its worker is ending.
        """
        if model_id in self._ending:
            raise StateRefused("wrong_state", f"{model_id} is being unloaded.")
        needs = self.estimate(model_id, facts)
        self.budget.take(model_id, needs)
        if model_id not in self._early:
            with contextlib.suppress(OSError):  # tried again when the worker is needed
                self._early[model_id] = engine()
        return needs

    def release(self, model_id: str) -> None:
        if model_id not in self._served:
            self._end_early(model_id)
            self.budget.give(model_id)
            self._changed()

    def _end_early(self, model_id: str) -> None:
        if child := self._early.pop(model_id, None):
            child.end()

    def check_sealing(self, model_id: str, size: int) -> None:
        """Refuse to seal what the host's memory cannot hold now (`insufficient_memory`)."""
        free = available_memory()
        if size > free:
            raise StateRefused(
                "insufficient_memory",
                f"Sealing {model_id} takes {size // MIB} MiB, and {free // MIB} MiB are free; "
                'hold = "disk" keeps it in a store that the service cannot write.',
            )

    def keeps_on_disk(self, model_id: str) -> bool:
        """True if the model stays on the disk instead of in sealed memory."""
        return self._config.model(model_id).hold == "disk"

    def served(self) -> list[Verified]:
        return [*(served.model for served in self._served.values()), *self.adapters]

    def find(self, model_id: str) -> SupervisedModel | None:
        """A model that was started, or is starting, and was not stopped since."""
        return self._served.get(model_id)

    async def start(
        self, model: VerifiedModel, loading: Callable[[int], None] = lambda percent: None
    ) -> None:
        """Load a model: `begin`, then `started`."""
        await self.started(self.begin(model, loading))

    def begin(
        self, model: VerifiedModel, loading: Callable[[int], None] = lambda percent: None
    ) -> SupervisedModel:
        """Begin to load a model; it counts as loaded from now on. `started` must follow.

        `wrong_state` when it is loaded.
        """
        if model.id in self._served:
            raise StateRefused("wrong_state", f"{model.id} is loaded already.")
        needs = self.reserve(model.id, model.facts)
        served = SupervisedModel(
            model,
            self._config.model(model.id),
            needs,
            since_us=self._clock.wall_us(),
            deaths=self._deaths.setdefault(model.id, Deaths()),
            restarts=self._restarts.get(model.id, 0),
        )
        self._served[model.id] = served
        served.keeper = asyncio.create_task(self._launch(served, loading))
        return served

    async def started(self, served: SupervisedModel) -> None:
        """Wait until a model can answer. Takes over its sealed file.

        `wrong_state` when it was unloaded meanwhile.
        """
        model_id = served.model.id
        try:
            if served.keeper is not None:
                await served.keeper
        except BaseException:
            if self._served.get(model_id) is served:
                del self._served[model_id]
                self.release(model_id)
                raise
        if self._served.get(model_id) is not served:
            raise StateRefused("wrong_state", f"{model_id} was unloaded while it was loading.")
        served.since = time.monotonic()
        served.keeper = asyncio.create_task(self._keep(served))
        self._changed()

    async def stop(self, model_id: str) -> None:
        """End a model's worker and its adapters, or one adapter (`wrong_state`)."""
        if base_of(model_id) is not None:
            return await self.adapters.detach(model_id)
        served = self._served.pop(model_id, None)
        if served is None:
            raise StateRefused("wrong_state", f"{model_id} is not loaded.")
        self._ending.add(model_id)
        try:
            if served.keeper:
                served.keeper.cancel()
                await asyncio.wait([served.keeper])
            if served.worker:
                served.worker.kill()
                await served.worker.closed()
                await self._note(served, "stop", pid=served.worker.pid)
        finally:
            for held in (served.model, *served.adapters.values()):
                held.close()
            self._end_early(model_id)
            self._ending.discard(model_id)
            self.budget.give(model_id)
            self._changed()

    async def close(self) -> None:
        for model_id in list(self._served):
            await self.stop(model_id)

    def cards(self) -> list[ModelCard]:
        return [card for served in self._served.values() for card in served.cards()]

    def card(self, model_id: str) -> ModelCard:
        served = self._served[base_of(model_id) or model_id]
        return next(card for card in served.cards() if card.id == model_id)

    def is_loaded(self, model_id: str) -> bool:
        """True if a model or adapter is in a worker, or will be in one again."""
        return model_id in self._served or self.adapters.find(model_id) is not None

    def wants(self, model_id: str) -> bool:
        return self._config.model(model_id).autoload

    def ready(self) -> bool:
        return any(s.state == "ready" for s in self._served.values())

    def quarantined(self) -> list[tuple[str, str]]:
        """Each model and a key that may not use it now, since its requests ended the engine."""
        now = time.monotonic()
        return [(m, key) for m, deaths in self._deaths.items() for key in deaths.blocked(now)]

    def worker(self, model_id: str, key_id: str) -> tuple[VerifiedModel, WorkerProcess]:
        """The worker that answers for a model or an adapter, and its model.

        Raises:
            NotFound: `model_not_found`.
            Overloaded: `key_quarantined` after deaths attributed to the key.
            Unavailable: `model_loading` while it restarts, `model_suspended`.
        """
        served = self._served.get(base_of(model_id) or model_id)
        if served is None or not self.is_loaded(model_id):
            raise NotFound(
                "model_not_found", f"The model {model_id!r} does not exist.", param="model"
            )
        left = served.deaths.blocked_for(key_id, time.monotonic())
        if left:
            raise Overloaded(
                "key_quarantined", f"This key may use {model_id} again in {int(left) + 1} seconds."
            )
        if served.state == "suspended":
            raise Unavailable("model_suspended", f"{model_id} is suspended: {served.reason}.")
        if served.state != "ready" or served.worker is None:
            raise Unavailable("model_loading", f"{model_id} is not ready yet.")
        return served.model, served.worker

    def engine_for(self, model_id: str) -> str:
        """`engine` of one model, with its GPU plugin and driver, if any."""
        served = self._served.get(model_id)
        return f"{self.engine} {served.device.label if served else ''}".strip()

    def obstacle(self, model_id: str) -> Obstacle | None:
        """As `coverage.obstacle`, of a loaded model or adapter."""
        served, adapter = self._served[base_of(model_id) or model_id], self.adapters.find(model_id)
        which, gpu = adapter.digest if adapter else "", served.device.kind != "cpu"
        if which not in served.obstacles:
            lora = adapter.facts.lora if adapter else None
            served.obstacles[which] = obstacle(
                served.model.facts, self.variant.get(), gpu=gpu, adapter=lora
            )
        return served.obstacles[which]

    def covers(self, model_id: str, facts: GgufFacts, adapter: Lora | None = None) -> bool:
        """True if a model, loaded or not, has no obstacle."""
        try:
            device = device_for(facts, self._config.model(model_id), self.engine_version)
        except StateRefused:
            return False
        return not obstacle(facts, self.variant.get(), gpu=device.kind != "cpu", adapter=adapter)

    def slots(self, model_id: str) -> int:
        return self._served[model_id].config.slots

    def status(self) -> list[Worker]:
        return [
            served.status(self._multiplies(served), self._threads())
            for served in self._served.values()
        ]

    def _multiplies(self, served: SupervisedModel) -> str:
        if (found := self._variant) is None:
            return ""
        matrices = served.model.facts.matrices
        return found.multiplies(multipliers(matrices, found.name, found.wrong))

    def _threads(self) -> int:
        return self._config.engine.threads or compute_threads(available_cores())

    async def _launch(
        self,
        served: SupervisedModel,
        loading: Callable[[int], None] = lambda percent: None,
        *,
        again: bool = False,
    ) -> None:
        model_id = served.model.id
        if model_id not in self._restarts:
            times = await asyncio.to_thread(self._restarts_of, model_id)
            self._restarts[model_id] = served.restarts = times
        found = asyncio.to_thread(build_of), asyncio.to_thread(self.variant.get)
        self._build, variant = await asyncio.gather(*found)
        self._variant = variant
        served.obstacles.clear()
        served.device = await asyncio.to_thread(
            device_for, served.model.facts, served.config, self.engine_version
        )
        if served.config.reproducible and self.obstacle(model_id) is None:
            _log.warning(
                "reproducible = true makes %s slower and changes no answer: its answers have the"
                " same bits in any company", model_id,
            )  # fmt: skip
        load = self.load_of(served, variant)
        adapters = {a.digest: a.sealed for a in served.adapters.values()}

        def loaded(percent: int) -> None:
            if percent == 100:  # the worker reads no more of it
                _let_go(served.model)
            loading(percent)

        child = self._early.pop(served.model.id, None)
        worker = await WorkerProcess.start(served.model.sealed, load, adapters, loaded, child)
        _let_go(served.model)
        restarts = served.restarts + again
        await self._note(
            served,
            "start",
            restarts=restarts,
            pid=worker.pid,
            load_ms=worker.ready.load_ms,
            device=served.device.text,
        )
        self._restarts[model_id] = served.restarts = restarts
        served.worker, served.state = worker, "ready"
        await self.adapters.settle(served)

    def load_of(self, served: SupervisedModel, variant: Variant) -> Load:
        config, facts = served.config, served.model.facts
        return Load(
            variant=str(variant.path),
            refused=variant.refused,
            n_ctx=longest_text(facts, config),
            slots=config.slots,
            threads=self._threads(),
            prefill_budget=config.prefill_budget,
            reproducible=config.reproducible,
            memory_bytes=served.needs.total + _ADDRESS_SLACK,
            max_prepare_bytes=self._config.engine.max_prepare_bytes,
            on_disk=served.model.sealed.on_disk,
            kind=facts.kind,
            gap_ms=config.target_gap_ms,
            batch_after_s=self._config.batches.after_seconds,
            batch_percent=self._config.batches.percent,
            kept=config.kept_prefixes,
            prefixes=config.prefixes,
            template=facts.chat_template or "",
            grammars={g.name: Constraint(g.kind, g.text) for g in served.model.grammars},
            gpu=served.device.load,
        )

    async def _keep(self, served: SupervisedModel) -> None:
        while served.worker is not None:
            death = await served.worker.pump()
            pid, served.worker, served.state = served.worker.pid, None, "restarting"
            now = time.monotonic()
            served.deaths.record(now, death.suspects, stuck=death.stuck)
            count = served.deaths.lately(now)
            _log.warning(
                "the engine of %s (process %d) ended with status %d, death %d in ten minutes: %s",
                served.model.id,
                pid,
                death.status,
                count,
                visible(death.reason[-300:].strip(), limit=300) or "it said nothing",
                extra={"model": served.model.id, "code": "worker_lost"},
            )
            await self._note_death(served, pid, death)
            if reason := served.deaths.reason(now):
                return await self._suspend(served, reason)
            await self._restart(served)

    async def _restart(self, served: SupervisedModel) -> None:
        while served.worker is None:
            await asyncio.sleep(served.deaths.backoff(time.monotonic()))
            try:
                await asyncio.to_thread(self._recheck, served.model)
                await self.adapters.recheck(served)
                await self._hold_again(served)
                await self._launch(served, again=True)
                self._restarted(served.model.id)
                _log.info(
                    "the engine of %s runs again",
                    served.model.id,
                    extra={"model": served.model.id},
                )
            except (Refused, OSError) as error:  # OSError: no process or descriptor to be had
                if isinstance(error, Refused) and error.code not in _MAY_PASS:
                    return await self._suspend(served, error.message)
                served.deaths.record(time.monotonic(), ())
                _log.warning(
                    "the engine of %s was not started again: %s",
                    served.model.id,
                    error,
                    extra={"model": served.model.id, "code": getattr(error, "code", "")},
                )
                if served.deaths.must_suspend(time.monotonic()):
                    return await self._suspend(served, str(error))

    async def _hold_again(self, served: SupervisedModel) -> None:
        """Seal the stored file again, unless it is held still."""
        if served.model.sealed.fd >= 0:
            return
        self.check_sealing(served.model.id, served.model.facts.file_bytes)
        sealing = asyncio.ensure_future(asyncio.to_thread(self._seal_again, served.model))
        try:
            served.model = await asyncio.shield(sealing)
        except asyncio.CancelledError:  # it is unloaded: close the file here
            sealing.add_done_callback(_close_result)
            raise

    async def _suspend(self, served: SupervisedModel, reason: str) -> None:
        await self._note(served, "suspend", reason=reason)  # recorded first, then true
        _log.error(
            "%s is suspended: %s",
            served.model.id,
            reason,
            extra={"model": served.model.id, "code": "model_suspended"},
        )
        served.state, served.reason = "suspended", reason
        # Its worker is gone: what is left are the sealed files of its adapters.
        _let_go(served.model)
        left = Estimate(0, 0, 0, 0, adapters=served.needs.adapters)
        self.budget.take(served.model.id, left)
        self._changed()

    async def _note_death(self, served: SupervisedModel, pid: int, death: Death) -> None:
        await self._note(
            served,
            "exit",
            pid=pid,
            status=death.status,
            suspects=[*sorted(death.suspects)],
            reason=death.reason[-500:],
        )

    async def _note(self, served: SupervisedModel, event: str, **fields: Json) -> None:
        with contextlib.suppress(Unavailable):  # a latched log must not stop the restart
            await self._record(
                "worker",
                {
                    "event": event,
                    "model": served.model.id,
                    "digest": served.model.digest,
                    "engine": self.engine_for(served.model.id),
                    "restarts": served.restarts,
                    **fields,
                },
            )


def _let_go(model: VerifiedModel) -> None:
    """Give sealed memory back; a file on the disk stays held, to be hashed again."""
    if not model.sealed.on_disk:
        model.close()


def _close_result(sealing: "asyncio.Future[VerifiedModel]") -> None:
    if not sealing.cancelled() and sealing.exception() is None:
        sealing.result().close()
