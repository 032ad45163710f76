"""One model of the pool, with everything that the server knows of it while it runs.

Rules: decisions are in the registry; nothing here outlives the process. The lock is held from the
check that allows a change of state until the change is recorded and made. An adapter shares the
lock of its base.
"""

import asyncio
import time
from collections.abc import Callable

from appliance.config import ModelConfig
from appliance.errors import ApplianceError
from appliance.pool.attempt import LoadAttempt
from appliance.pool.waiting import Waiters
from appliance.workers.memory_estimate import Estimate
from appliance.workers.supervised import SupervisedModel
from appliance.workers.supervisor import Supervisor

_LEAST_PATIENCE_S = 2.0


class PooledModel:
    """A model that is in memory, on its way in or out, wanted, or was in memory before.

    `estimate` is None when unknown.

    Attributes:
        closed: it admits no new requests until it has made room for another model.
        used: when a request entered or left it last, in seconds of the steady clock.
        failed_until: until when no request loads it, after a load that failed.
        failed: why its last load failed, and whether a request asked for it; None after a success.
    """

    def __init__(
        self,
        model_id: str,
        settings: ModelConfig,
        supervisor: Supervisor,
        inside: Callable[[str], int],
        estimate: Callable[[str], Estimate | None],
    ) -> None:
        self.id = model_id
        self.settings = settings
        self._supervisor = supervisor
        self._inside = inside
        self._estimate = estimate
        self.lock = asyncio.Lock()
        self.waiters = Waiters()
        self.attempt: LoadAttempt | None = None
        self.eviction: asyncio.Task[None] | None = None
        self.closed = False
        self.used = 0.0
        self.failed_until = 0.0
        self.failed: tuple[ApplianceError, bool] | None = None
        self.took = 0.0
        self.why_unloaded = ""

    @property
    def served(self) -> SupervisedModel | None:
        """Its worker; None while it has none and waits for none."""
        return self._supervisor.find(self.id)

    @property
    def in_memory(self) -> bool:
        """True if it, or the adapter that it is, is in a worker, or will be in one again."""
        return self._supervisor.is_loaded(self.id)

    @property
    def activity(self) -> str:
        """One word for people: loading, waiting (for memory), busy, idle, "" if not in memory."""
        if self.attempt is not None:
            return "loading"
        if self.in_memory:
            return "busy" if self.busy else "idle"
        return "waiting" if self.waiters else ""

    @property
    def waiting(self) -> int:
        return len(self.waiters)

    @property
    def unloaded(self) -> str:
        """The reason that it left memory; "" while it is there, or will be."""
        return "" if self.activity else self.why_unloaded

    @property
    def open(self) -> bool:
        shut = self.closed or self.attempt or self.eviction or self.waiters
        return self.in_memory and not shut

    @property
    def needs(self) -> Estimate | None:
        """Its memory, loaded or not; None when unknown."""
        return self._estimate(self.id)

    @property
    def idle_seconds(self) -> float | None:
        """Seconds since its last request; None before the first."""
        return time.monotonic() - self.used if self.used else None

    # as `eviction` asks

    @property
    def size(self) -> int:
        taken = self._supervisor.budget.of(self.id)
        if not taken and self.attempt is not None:
            return self.attempt.size
        needs = None if taken else self.needs
        return taken or (needs.total if needs else 0)

    @property
    def changing(self) -> bool:
        served = self.served
        settled = served is not None and served.state != "starting"
        return bool(not settled or self.attempt or self.eviction)

    @property
    def busy(self) -> bool:
        return self._inside(self.id) > 0

    @property
    def pinned(self) -> bool:
        """True if it always stays; one whose worker keeps dying is evidence."""
        suspended = self.served is not None and self.served.state == "suspended"
        return self.eviction is None and (self.settings.pinned or suspended)

    @property
    def since(self) -> float:
        served = self.served
        return (served.since if served else 0.0) or time.monotonic()

    @property
    def last_use(self) -> float:
        return max(self.used, self.since)

    @property
    def answered(self) -> bool:
        return self.used >= self.since

    @property
    def keep_alive(self) -> float | None:
        return None if self.settings.keep_alive < 0 else float(self.settings.keep_alive)

    @property
    def wanted_since(self) -> float:
        return self.waiters.since or 0.0

    @property
    def patience(self) -> float:
        """Twice the time of its load: so at most a third of the time goes into loading."""
        return max(_LEAST_PATIENCE_S, 2 * self.took)
