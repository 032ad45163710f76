"""The use-case of a place in memory: models are loaded on demand, and evicted.

Rules:
- This is the one door to memory: people, requests, trust updates and the re-check load and unload
  through it.
- A request that needs a model that is not in memory takes part in one load of it. It is inside the
  model from the instant at which the model can answer, so that nothing is evicted between its load
  and its use; it leaves with its place (`admission.places`).
- It waits for a bounded time and then gets a time to retry after; the load continues.
- A load that fails rejects all that wait, and is not retried for a minute, unless by a person.
"""

import asyncio
import contextlib
import functools
import time
from collections.abc import Coroutine, Iterator
from typing import Any, Final, TypeVar

from appliance.admission.places import Place, Shares
from appliance.config import Config
from appliance.errors import ApplianceError, NotFound, Refused, StateRefused, Unavailable
from appliance.jobs.jobs import Jobs
from appliance.pool.candidates import Catalogue
from appliance.pool.eviction import EvictionDecision, decide, room_for
from appliance.pool.loader import Loader
from appliance.pool.loading import Loads
from appliance.pool.model import PooledModel
from appliance.pool.withdrawal import Withdrawal
from appliance.registry.audit_entries import SYSTEM
from appliance.registry.lifecycle import Lifecycle
from appliance.trust.artifacts.adapter import base_of
from appliance.trust.artifacts.store import ModelRecord, VerifiedModel
from appliance.types import ModelCard, Report, silent
from appliance.workers.process import WorkerProcess
from appliance.workers.supervisor import Supervisor

_AGAIN_S: Final = 60.0
"""How long a load that failed is not retried for a request."""
_ON_DEMAND: Final = "on demand"
_DONE: Final = {"suspend": "suspended", "retire": "retired", "revoke": "revoked"}
_UNKNOWN_LOAD_S: Final = 4.0
T = TypeVar("T")


class Pool:
    """The models of this server that are in memory, or may be.

    Args:
        jobs: runs the loads; heavy ones take their memory here.

    Attributes:
        complete: the models of the start are loaded, or were refused.
    """

    def __init__(
        self,
        config: Config,
        catalogue: Catalogue,
        lifecycle: Lifecycle,
        supervisor: Supervisor,
        shares: Shares,
        loader: Loader,
        withdrawal: Withdrawal,
        jobs: Jobs,
    ) -> None:
        self._config = config
        self._catalogue = catalogue
        self._lifecycle = lifecycle
        self._supervisor = supervisor
        self._shares = shares
        self._loader = loader
        self._withdrawal = withdrawal
        self._loads = Loads(loader, self._load_ended, jobs, self._loadable, self._make_room)
        self._models: dict[str, PooledModel] = {}
        self._looking: asyncio.Handle | None = None
        self._alarm: asyncio.TimerHandle | None = None
        self._changes: set[asyncio.Task[Any]] = set()
        self._stopped = self.complete = False
        self.budget = supervisor.budget
        supervisor.when_changed(self.look_soon)
        jobs.lend(self)

    def model(self, model_id: str) -> PooledModel:
        found = self._models.get(model_id)
        if found is None:
            found = self._models[model_id] = PooledModel(
                model_id,
                self._config.model(model_id),
                self._supervisor,
                self._shares.inside,
                self._catalogue.estimate,
            )
        return found

    # for requests

    def cards(self) -> list[ModelCard]:
        """The models that are in memory, then those that a request waits for."""
        there = self._supervisor.cards()
        known = {card.id for card in there}
        others = (card for record in self._coming() for card in self._catalogue.cards(record))
        return [*there, *(card for card in others if card.id not in known)]

    def card(self, model_id: str) -> ModelCard:
        """Raises `model_not_found`, `model_missing` (no files here), `model_suspended`."""
        if self._supervisor.is_loaded(model_id):
            return self._supervisor.card(model_id)
        for record in self._coming(base_of(model_id) or model_id):
            for card in self._catalogue.cards(record):
                if card.id == model_id:
                    return card
        raise self._absent(model_id)

    def _absent(self, model_id: str) -> ApplianceError:
        for each in dict.fromkeys((model_id, base_of(model_id) or model_id)):
            if self._catalogue.missing(each):
                return Unavailable("model_missing", f"The files of {each} are not on this host.")
            if (why := self._catalogue.suspended(each)) is not None:
                return Unavailable("model_suspended", f"{each} is suspended{why and ': '}{why}")
        return NotFound("model_not_found", f"The model {model_id!r} does not exist.", param="model")

    def suspended(self) -> list[str]:
        """The models that a person, a check or the deaths of their engines suspended."""
        crashed = {w.model for w in self._supervisor.status() if w.state == "suspended"}
        return sorted(crashed | self._catalogue.suspended_models())

    def unloadable(self, model_id: str) -> str:
        """The error of a failed load that keeps requests from a model; "" for none."""
        if (failed := self.model(model_id).failed) is None:
            return ""
        error, on_demand = failed
        # Beside others at the start or by hand; a request makes room for it.
        waits = error.code == "insufficient_memory" and not on_demand
        return "" if waits and self._catalogue.fits(model_id) else error.message

    def _coming(self, model_id: str | None = None) -> Iterator[ModelRecord]:
        """Those that a request waits for: not in memory, or there before their adapters are."""
        for record in self._catalogue.loadable(model_id):
            if not self._supervisor.is_loaded(record.id) or self.model(record.id).attempt:
                yield record

    def slots(self, model_id: str) -> int:
        """Requests that a model runs at once, those of its adapters among them."""
        return self._config.model(base_of(model_id) or model_id).slots

    def ready(self) -> bool:
        """True if a request can be answered, at once or after a load.

        Not before the models of the start are loaded, unless one of them answers already; a model
        whose worker died is not one that a request could load.
        """
        if self._supervisor.ready():
            return True
        loadable = self._catalogue.loadable()
        return self.complete and any(not self._supervisor.is_loaded(r.id) for r in loadable)

    async def use(
        self, model_id: str, key_id: str, place: Place
    ) -> tuple[VerifiedModel, WorkerProcess]:
        """The worker that answers, after a load if need be; `place` is inside then.

        `model_loading` when it was not loaded in time, `model_unavailable`; raises as
        `Supervisor.worker`.
        """
        model = self._base(model_id)  # adapters come and go with it
        if model.open:
            self._enter(model, place)
        else:
            await self._wait(model, place)
        return self._supervisor.worker(model_id, key_id)

    # for people, trust updates and the re-check

    async def load(
        self,
        actor: str,
        model_id: str,
        progress: Report = silent,
        *,
        reason: str = "by hand",
    ) -> ModelRecord:
        """Load a model or an adapter, or watch the load that is under way.

        Idle models make room at once; busy ones are not waited for. Raises as `Loader.load`.
        """
        model = self._known(model_id)
        if model.id != model_id:
            return await self._loader.load_adapter(model, actor, model_id, progress)
        attempt = model.attempt or self._loads.begin(
            model, actor, reason, lambda: self._make_room(actor, model)
        )
        return await self._loads.outcome(attempt, progress)

    async def unload(self, actor: str, model_id: str, reason: str = "") -> ModelRecord:
        """End a model; a request loads it again unless `on_demand` is off."""
        unloading = self._loader.unload(
            self._known(model_id), actor, model_id, event="unload", reason=reason
        )
        return await self._ending(model_id, unloading, reason or f"by {actor}")

    async def approve(self, actor: str, model_id: str, envelope: bytes) -> ModelRecord:
        async def approving() -> ModelRecord:
            async with self._known(model_id).lock:
                return await asyncio.to_thread(self._lifecycle.approve, actor, model_id, envelope)

        return await self._whole(approving())

    async def suspend(self, actor: str, model_id: str, reason: str) -> ModelRecord:
        """Stop serving a model until enough people approve it again; its running answers end.

        Raises as `Withdrawal.withdraw`.
        """
        return await self._withdraw(actor, model_id, "suspend", reason)

    async def retire(self, actor: str, model_id: str, reason: str = "") -> ModelRecord:
        """Take a model out of service for good; its files stay as evidence."""
        return await self._withdraw(actor, model_id, "retire", reason)

    async def revoke(self, actor: str, model_id: str, reason: str) -> ModelRecord:
        """End a model for good, from any state: it must not be trusted."""
        return await self._withdraw(actor, model_id, "revoke", reason)

    async def _withdraw(self, actor: str, model_id: str, action: str, reason: str) -> ModelRecord:
        withdrawing = self._withdrawal.withdraw(
            self._known(model_id), actor, model_id, action, reason
        )
        return await self._ending(model_id, withdrawing, f"{_DONE[action]} by {actor}")

    async def end(self, actor: str, model_id: str, state: str, error: Refused) -> ModelRecord:
        ending = self._withdrawal.end(self._known(model_id), actor, model_id, state, error)
        return await self._ending(model_id, ending, f"{state}: {error.message}")

    async def _ending(
        self, model_id: str, change: Coroutine[Any, Any, ModelRecord], why: str
    ) -> ModelRecord:
        model = self.model(model_id)
        was_in_memory = model.in_memory
        record = await self._whole(change)
        if was_in_memory:
            model.why_unloaded = why
        return record

    async def note(self, model_id: str, event: str, error: Refused | None) -> ModelRecord:
        """Record what a check found, without another state; None is nothing."""
        noting = self._withdrawal.note(self._known(model_id), model_id, event, error)
        return await self._whole(noting)

    async def autoload(self) -> list[str]:
        """Load every approved model that is configured to and fits, pinned ones first; the recorded
        refusals, as sentences.
        """
        problems = []
        found = self._catalogue.approved()
        for record in sorted(found, key=lambda r: not self._config.model(r.id).pinned):
            model = self.model(record.id)
            if model.in_memory or model.attempt or not model.settings.autoload:
                continue
            try:
                await self._loads.outcome(self._loads.begin(model, SYSTEM, "at the start"))
            except Refused as error:
                problems.append(f"{record.id}: {error.message}")
        self.complete = True
        return problems

    def approved(self) -> list[ModelRecord]:
        return [record for record in self._lifecycle.records() if record.state == "approved"]

    async def hold(self, job: str, size: int) -> None:
        """Take memory for a heavy job; idle models make room at once, busy ones are not waited for.

        After `insufficient_memory`, with the numbers, nothing was evicted.
        """
        room = room_for(size, self._occupants(), self.budget.for_models)
        if room is not None and not room.awaited and room.evict:
            why = f"to make room for {job}"
            await asyncio.wait([self._loads.evict(self.model(m), why) for m in room.evict])
        self.budget.hold(job, size)

    def free(self, job: str) -> None:
        self.budget.free(job)
        self.look_soon()

    async def close(self) -> None:
        """Load nothing more, and reject all requests that wait."""
        self._stopped = True
        for handle in (self._looking, self._alarm):
            if handle is not None:
                handle.cancel()
        for model in self._wanted():
            model.waiters.reject(_stopping())
        await self._loads.close()
        if self._changes:
            await asyncio.wait(self._changes)

    async def _whole(self, change: Coroutine[Any, Any, T]) -> T:
        """Carry a change out to its end, also when the client leaves."""
        task = asyncio.create_task(change)
        self._changes.add(task)
        task.add_done_callback(self._changes.discard)
        return await asyncio.shield(task)

    # who is inside

    def _known(self, model_id: str) -> PooledModel:
        self._lifecycle.record(model_id)
        return self._base(model_id)

    def _loadable(self, model_id: str) -> PooledModel:
        if base_of(model_id) is not None:
            message = f"{model_id} is an adapter: it is loaded with its base."
            raise StateRefused("wrong_state", message)
        return self._known(model_id)

    def _base(self, model_id: str) -> PooledModel:
        return self.model(base_of(model_id) or model_id)

    def _enter(self, model: PooledModel, place: Place) -> None:
        model.used = time.monotonic()
        place.enter(lambda: self._left(model))

    def _left(self, model: PooledModel) -> None:
        model.used = time.monotonic()
        self.look_soon()

    async def _wait(self, model: PooledModel, place: Place) -> None:
        if self._stopped:
            raise _stopping()
        left = model.failed_until - time.monotonic()
        if left > 0:
            raise _unavailable(model.id, int(left) + 1)
        self.look_soon()
        try:
            await model.waiters.wait(place, self._config.engine.load_wait_seconds)
        except TimeoutError:
            after = 1 + int(model.took or _UNKNOWN_LOAD_S)
            what = f"{model.id} is not loaded yet."
            raise Unavailable("model_loading", what, retry_after=after) from None

    def _load_ended(self, model: PooledModel, reason: str, error: ApplianceError | None) -> None:
        if error is None:
            model.failed = None
        elif isinstance(error, Refused) and error.code not in ("job_cancelled", "wrong_state"):
            model.failed = error, reason == _ON_DEMAND
        if error is None:
            model.failed_until = 0.0
        elif error.code == "job_cancelled":
            self._fail(model)
        elif not isinstance(error, Refused):
            model.waiters.reject(error)
        elif error.code == "wrong_state":
            pass  # it is loaded already, or was unloaded meanwhile: nothing is wrong with it
        elif error.code != "insufficient_memory" or reason == _ON_DEMAND:
            # At the start and by hand, nothing waits for room; requests that came meanwhile do.
            self._fail(model)
        self.look_soon()

    def _fail(self, model: PooledModel) -> None:
        model.failed_until = time.monotonic() + _AGAIN_S
        model.waiters.reject(_unavailable(model.id, int(_AGAIN_S)))

    # deciding

    def look_soon(self) -> None:
        """Decide again, once, in the loop's next turn."""
        if self._looking is None and not self._stopped:
            with contextlib.suppress(RuntimeError):  # no loop runs: nothing waits, either
                self._looking = asyncio.get_running_loop().call_soon(self._look)

    def _look(self) -> None:
        self._looking = None
        now = time.monotonic()
        grace = [model.waiters.forget(now) for model in self._wanted()]
        # Before anything is decided: what waited for a load gets in, so that it was not in vain.
        self._admit()
        absent = [m for m in self._wanted() if not m.in_memory and not m.attempt]
        decision = decide(self._occupants(), absent, self.budget.for_models, now)
        for model in self._models.values():
            model.closed = model.id in decision.closed
        self._carry_out(decision)
        self._admit()  # those that need make no room any more
        if self._alarm is not None:
            self._alarm.cancel()
            self._alarm = None
        if moments := [at for at in (*grace, decision.wake) if at is not None]:
            loop = asyncio.get_running_loop()
            self._alarm = loop.call_later(max(0.0, min(moments) - now) + 0.01, self.look_soon)

    def _admit(self) -> None:
        for model in self._wanted():
            if model.attempt or model.eviction:
                continue
            if not model.in_memory:
                if not model.settings.on_demand or not any(self._catalogue.approved(model.id)):
                    model.waiters.reject(self._absent(model.id))
            elif not model.closed:
                model.waiters.admit(functools.partial(self._enter, model))

    def _carry_out(self, decision: EvictionDecision) -> None:
        # What cannot fit is refused by the load, with the numbers, and that is recorded.
        for model_id in decision.refuse + decision.load:
            with contextlib.suppress(Unavailable):  # the server is stopping
                self._loads.begin(self.model(model_id), SYSTEM, _ON_DEMAND)
        for model_id, other in decision.evict:
            self._loads.evict(self.model(model_id), f"to make room for {other}")
        for model_id in decision.expire:
            model = self.model(model_id)
            self._loads.evict(model, f"idle for {model.settings.keep_alive} s")

    async def _make_room(self, actor: str, model: PooledModel) -> None:
        """End idle models, if that is enough; if not, the load refuses with the numbers."""
        if model.in_memory or not any(self._catalogue.approved(model.id)):
            return  # it will be refused
        others = [other for other in self._occupants() if other is not model]
        room = room_for(model.size, others, self.budget.for_models)
        if room is not None and not room.awaited and room.evict:
            why = f"{actor} loads {model.id}"
            leaving = [self._loads.evict(self.model(other), why) for other in room.evict]
            await asyncio.wait(leaving)

    def _wanted(self) -> list[PooledModel]:
        wanted = [model for model in self._models.values() if model.waiters]
        return sorted(wanted, key=lambda model: model.wanted_since)

    def _occupants(self) -> list[PooledModel]:
        taken = [model_id for model_id, _ in self.budget]
        loading = [model.id for model in self._models.values() if model.attempt]
        return [self.model(model_id) for model_id in dict.fromkeys((*taken, *loading))]


def _unavailable(model_id: str, retry_after: int) -> Unavailable:
    what = f"{model_id} could not be loaded."
    return Unavailable("model_unavailable", what, retry_after=retry_after)


def _stopping() -> Unavailable:
    return Unavailable("shutting_down", "The server is stopping.")
