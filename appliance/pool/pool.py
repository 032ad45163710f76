"""The use-case of a place in memory: models are loaded when they are asked for, and give way.

Rules:
- `residency.decide` says what happens; this module tells it how things are and does what it says.
- A request that needs a model that is not there takes part in one load of it, however many wait.
  It is inside the model from the instant at which the model can answer, so that nothing is evicted
  between its load and its use; it leaves with its place (`admission.places`).
- It waits for a bounded time and is then told when to come again; what it asked for goes on.
- A load that fails is told to all who wait and is not tried again for a minute, unless by a person.
- Every load passes `Lifecycle.load`: all checks of trust are made again, and it is recorded; so is
  each eviction, with the reason.
"""

import asyncio
import contextlib
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from appliance.admission.places import Place, Shares
from appliance.config import Config
from appliance.errors import ApplianceError, NotFound, Refused, Unavailable
from appliance.pool.candidates import Catalogue
from appliance.pool.eviction import Decision, Demand, Resident, decide, room_for
from appliance.pool.loading import Loading, Loads
from appliance.pool.waiting import Waits
from appliance.registry.audit_entries import SYSTEM
from appliance.registry.importing import Progress
from appliance.registry.lifecycle import Lifecycle
from appliance.trust.adapter import base_of
from appliance.trust.store import ModelRecord, ModelStore, VerifiedModel
from appliance.types import ModelCard
from appliance.workers.memory_estimate import Estimate
from appliance.workers.process import WorkerProcess
from appliance.workers.supervisor import Supervisor

_AGAIN_S: Final = 60.0
"""How long a load that failed is not tried again for a request."""
_LEAST_PATIENCE_S: Final = 2.0
_ON_DEMAND: Final = "on demand"


@dataclass(frozen=True)
class Standing:
    """How a model stands, for the operator.

    Attributes:
        activity: loading, waiting (for memory), busy, idle, or "" when it is not there.
        needs: what it takes of the memory; None when that cannot be said.
        waiting: requests that wait for it.
        used: seconds since its last request; None before the first one.
        unloaded: why it is not there any more.
    """

    activity: str
    pinned: bool
    on_demand: bool
    needs: Estimate | None
    waiting: int
    used: float | None
    unloaded: str
    loading: Loading | None


class Residents:
    """The models of this server that are in memory, or may be.

    Attributes:
        budget: of all models together.
        complete: whether the models of the start are loaded, or were refused.
    """

    def __init__(
        self,
        config: Config,
        store: ModelStore,
        lifecycle: Lifecycle,
        supervisor: Supervisor,
        shares: Shares,
    ) -> None:
        self._config = config
        self._catalogue = Catalogue(config, store, supervisor)
        self._lifecycle = lifecycle
        self._supervisor = supervisor
        self._shares = shares
        self._waits = Waits()
        self._loads = Loads(lifecycle, self._load_ended, self._waits.__contains__)
        self._used: dict[str, float] = {}
        self._failed: dict[str, float] = {}  # until when it is not tried again
        self._closed: frozenset[str] = frozenset()
        self._looking: asyncio.Handle | None = None
        self._alarm: asyncio.TimerHandle | None = None
        self._stopped = self.complete = False
        self.budget = supervisor.budget
        supervisor.changed = self._look_soon
        shares.left = self._left

    # for requests

    def cards(self) -> list[ModelCard]:
        """The models that are in memory, then those that a request waits for."""
        there = self._supervisor.cards()
        known = {card.id for card in there}
        others = (card for record in self._coming() for card in self._catalogue.cards(record))
        return [*there, *(card for card in others if card.id not in known)]

    def card(self, model_id: str) -> ModelCard:
        """What the API says about one of them.

        Raises:
            NotFound: `model_not_found`.
            Unavailable: `model_missing` when its files are not on this host.
        """
        if self._supervisor.is_loaded(model_id):
            return self._supervisor.card(model_id)
        for record in self._coming(base_of(model_id) or model_id):
            for card in self._catalogue.cards(record):
                if card.id == model_id:
                    return card
        if self._catalogue.missing(model_id):
            raise Unavailable("model_missing", f"The files of {model_id} are not on this host.")
        raise _unknown(model_id)

    def _coming(self, model_id: str | None = None) -> Iterator[ModelRecord]:
        """Those that a request waits for: not in memory, or there before their adapters are."""
        for record in self._catalogue.loadable(model_id):
            if not self._supervisor.is_loaded(record.id) or record.id in self._loads.loading:
                yield record

    def slots(self, model_id: str) -> int:
        """Requests that a model runs at once, those of its adapters among them."""
        return self._config.model(base_of(model_id) or model_id).slots

    def ready(self) -> bool:
        """Whether a request can be answered, by a model that is there or after a load.

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
        """The worker that answers, after a load if the model is not there; `place` is inside then.

        Raises:
            NotFound: `model_not_found`.
            Unavailable: `model_loading` when it was not loaded in time, `model_unavailable`,
                and what `Supervisor.worker` raises.
        """
        base = base_of(model_id) or model_id  # adapters come and go with it
        if self._supervisor.is_loaded(base) and self._open(base):
            self._enter(base, place)
        else:
            await self._wait(base, place)
        return self._supervisor.worker(model_id, key_id)

    # for people

    async def load(self, actor: str, model_id: str, progress: Progress) -> ModelRecord:
        """Load a model for a person, or watch the load that is under way.

        Idle models make room at once; busy ones are not waited for.

        Raises:
            Refused: what `Lifecycle.load` raises.
        """
        if base_of(model_id) is not None:
            return await self._lifecycle.load(actor, model_id, progress)
        if model_id not in self._loads.loading:
            size = self._catalogue.size(model_id)
            self._loads.begin(
                model_id, actor, "by hand", size, lambda: self._make_room(actor, model_id)
            )
        return await self._loads.outcome(model_id, progress)

    async def unload(self, actor: str, model_id: str) -> ModelRecord:
        """End a model for a person; a request loads it again unless `on_demand` is off.

        Raises:
            StateRefused: `wrong_state` when it is not loaded, `unknown_model_id`.
        """
        record = await self._lifecycle.unload(actor, model_id)
        self._loads.unloaded[model_id] = f"by {actor}"
        return record

    async def autoload(self) -> list[str]:
        """Load every approved model that is configured to and fits, pinned ones first.

        Returns:
            The refusals as sentences; each is recorded.
        """
        problems = []
        found = self._catalogue.approved()
        for record in sorted(found, key=lambda r: not self._config.model(r.id).pinned):
            known = self._supervisor.is_loaded(record.id) or record.id in self._loads.loading
            if known or not self._config.model(record.id).autoload:
                continue
            try:
                size = self._catalogue.size(record.id)
                self._loads.begin(record.id, SYSTEM, "at the start", size)
                await self._loads.outcome(record.id)
            except Refused as error:
                problems.append(f"{record.id}: {error.message}")
        self.complete = True
        return problems

    def standing(self, model_id: str) -> Standing:
        """How a model stands."""
        loading = self._loads.loading.get(model_id)
        if loading is not None:
            activity = "loading"
        elif self._supervisor.is_loaded(model_id):
            activity = "busy" if self._shares.inside(model_id) else "idle"
        else:
            activity = "waiting" if model_id in self._waits else ""
        used = self._used.get(model_id)
        settings = self._config.model(model_id)
        return Standing(
            activity=activity,
            pinned=settings.pinned,
            on_demand=settings.on_demand,
            needs=self._catalogue.estimate(model_id),
            waiting=self._waits.count(model_id),
            used=None if used is None else time.monotonic() - used,
            unloaded="" if activity else self._loads.unloaded.get(model_id, ""),
            loading=loading,
        )

    async def close(self) -> None:
        """Load nothing more, and tell all who wait."""
        self._stopped = True
        for handle in (self._looking, self._alarm):
            if handle is not None:
                handle.cancel()
        for model_id, _ in self._waits:
            self._waits.send_away(model_id, _stopping())
        await self._loads.close()

    # who is inside

    def _open(self, model_id: str) -> bool:
        """Whether requests may enter the model, once it is loaded."""
        shut = model_id in self._closed or self._loads.changing(model_id)
        return not shut and model_id not in self._waits

    def _enter(self, model_id: str, place: Place) -> None:
        place.enter()
        self._used[model_id] = time.monotonic()

    def _left(self, model_id: str) -> None:
        self._used[model_id] = time.monotonic()
        self._look_soon()

    async def _wait(self, model_id: str, place: Place) -> None:
        if self._stopped:
            raise _stopping()
        left = self._failed.get(model_id, 0.0) - time.monotonic()
        if left > 0:
            raise _unavailable(model_id, int(left) + 1)
        self._look_soon()
        try:
            await self._waits.wait(model_id, place, self._config.engine.load_wait_seconds)
        except TimeoutError:
            after = 1 + int(self._loads.took.get(model_id, 4.0))
            what = f"{model_id} is not loaded yet."
            raise Unavailable("model_loading", what, retry_after=after) from None

    def _load_ended(self, model_id: str, reason: str, error: ApplianceError | None) -> None:
        if error is None:
            self._failed.pop(model_id, None)
        elif not isinstance(error, Refused):
            self._waits.send_away(model_id, error)
        elif error.code == "wrong_state":
            pass  # it is loaded already, or was unloaded meanwhile: nothing is wrong with it
        elif error.code != "insufficient_memory" or reason == _ON_DEMAND:
            # At the start and by hand, nothing waits for room; requests that came meanwhile do.
            self._failed[model_id] = time.monotonic() + _AGAIN_S
            self._waits.send_away(model_id, _unavailable(model_id, int(_AGAIN_S)))
        self._look_soon()

    # deciding

    def _look_soon(self) -> None:
        """Decide again, once, when the loop comes round; whatever happened by then counts."""
        if self._looking is None and not self._stopped:
            with contextlib.suppress(RuntimeError):  # no loop runs: nobody waits, either
                self._looking = asyncio.get_running_loop().call_soon(self._look)

    def _look(self) -> None:
        self._looking = None
        now = time.monotonic()
        grace = self._waits.forget()
        # Before anything is decided: who waited for a load gets in, so that it was not in vain.
        self._admit(self._closed)
        total = self._supervisor.budget.for_models
        decision = decide(list(self._residents()), self._demands(), total, now)
        self._closed = decision.closed
        self._carry_out(decision)
        self._admit(self._closed)  # those that need make no room any more
        if self._alarm is not None:
            self._alarm.cancel()
            self._alarm = None
        if moments := [at for at in (grace, decision.wake) if at is not None]:
            loop = asyncio.get_running_loop()
            self._alarm = loop.call_later(max(0.0, min(moments) - now) + 0.01, self._look_soon)

    def _admit(self, closed: frozenset[str]) -> None:
        """Let requests into the models that can answer; send those away that have none."""
        for model_id, _ in self._waits:
            if self._loads.changing(model_id):
                continue
            if not self._supervisor.is_loaded(model_id):
                on_demand = self._config.model(model_id).on_demand
                if not on_demand or not any(self._catalogue.approved(model_id)):
                    self._waits.send_away(model_id, _unknown(model_id))
            elif model_id not in closed:
                self._waits.admit(model_id, self._enter)

    def _carry_out(self, decision: Decision) -> None:
        # What cannot fit is refused by the load, with the numbers, and that is recorded.
        for model_id in decision.refuse + decision.load:
            self._loads.begin(model_id, SYSTEM, _ON_DEMAND, self._catalogue.size(model_id))
        for model_id, other in decision.evict:
            self._loads.end(model_id, f"to make room for {other}")
        for model_id in decision.expire:
            seconds = self._config.model(model_id).keep_alive
            self._loads.end(model_id, f"idle for {seconds} s")

    async def _make_room(self, actor: str, model_id: str) -> None:
        """End idle models, if that is enough; if not, the load says so with the numbers."""
        if self._supervisor.is_loaded(model_id) or not any(self._catalogue.approved(model_id)):
            return  # it will be refused
        others = [r for r in self._residents() if r.model != model_id]
        size = self._catalogue.size(model_id)
        room = room_for(size, others, self._supervisor.budget.for_models)
        if room is not None and not room.awaited and room.evict:
            why = f"{actor} loads {model_id}"
            await asyncio.wait([self._loads.end(other, why) for other in room.evict])

    def _demands(self) -> list[Demand]:
        # Twice what a load takes: so at most a third of the time goes into changing models.
        return [
            Demand(
                model_id,
                self._catalogue.size(model_id),
                since,
                max(_LEAST_PATIENCE_S, 2 * self._loads.took.get(model_id, 0.0)),
            )
            for model_id, since in self._waits
            if not self._supervisor.is_loaded(model_id) and model_id not in self._loads.loading
        ]

    def _residents(self) -> Iterator[Resident]:
        taken = {presence.model: presence for presence in self._supervisor.presences()}
        for model_id, presence in taken.items():
            settings = self._config.model(model_id)
            used = self._used.get(model_id, 0.0)
            unsettled = presence.state in ("starting", "changing")
            yield Resident(
                model_id,
                presence.size,
                since=presence.since,
                used=max(used, presence.since),
                busy=self._shares.inside(model_id) > 0,
                pinned=model_id not in self._loads.ending
                and (settings.pinned or presence.state == "suspended"),
                changing=unsettled or self._loads.changing(model_id),
                keep_alive=None if settings.keep_alive < 0 else float(settings.keep_alive),
                answered=used >= presence.since,
            )
        now = time.monotonic()
        for model_id, loading in self._loads.loading.items():
            if model_id not in taken:
                yield Resident(model_id, loading.size, since=now, used=now, changing=True)


def _unknown(model_id: str) -> NotFound:
    return NotFound("model_not_found", f"The model {model_id!r} does not exist.", param="model")


def _unavailable(model_id: str, retry_after: int) -> Unavailable:
    what = f"{model_id} could not be loaded."
    return Unavailable("model_unavailable", what, retry_after=retry_after)


def _stopping() -> Unavailable:
    return Unavailable("shutting_down", "The server is stopping.")
