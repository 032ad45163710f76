"""Admission of requests: quotas first, then a place in the model's queue, then the turn.

Rules:
- A place is taken before anything is computed and left exactly once, whatever happens between;
  leaving it settles the quota and lets the next request run.
- The queues are bounded, per model and per key. A full one refuses at once, with the seconds until
  the backlog will have drained at the present rate.
- A key's concurrency holds over all models. Requests beyond it wait.
- Where the engine holds batch work back, batch requests have a queue of their own: they take no
  slot, place or concurrency of other requests.
- Everything happens on one event loop; nothing here waits but `Place.turn`.
"""

import asyncio
import time
from collections import Counter
from collections.abc import Callable
from contextlib import ExitStack
from functools import partial
from typing import Final

from appliance.admission.fair_queue import FairQueue, Ticket, token_cost
from appliance.admission.quotas import QuotaLeft, Quotas
from appliance.errors import Overloaded
from appliance.text import many
from appliance.types import Principal, Priority

UNSTATED_ANSWER: Final = 256
"""Tokens that are reserved for an answer whose length the client did not limit."""


class Place:
    """One request's place. `Shares.admit` makes it; `leave` must follow."""

    def __init__(self, shares: "Shares", queue: "ModelQueue", principal: Principal, ticket: Ticket):
        self._shares = shares
        self._queue = queue
        self._principal = principal
        self._ticket = ticket
        self._reserved = 0
        self._turn: asyncio.Future[bool] | None = None
        self._inside = self._left = False
        self._when_left: Callable[[], None] = lambda: None

    def enter(self, left: Callable[[], None] = lambda: None) -> None:
        """Keep the model loaded until `leave`, which calls `left`."""
        self._inside, self._when_left = True, left
        self._queue.inside += 1

    def reserve(self, prompt: int, answer: int) -> None:
        """Reserve tokens of the quota.

        Args:
            prompt: tokens to read, once for all choices.
            answer: tokens that all choices may write together.

        Raises:
            BadRequest: `request_exceeds_quota`.
            Overloaded: `rate_limit_exceeded`.
        """
        self._shares.reserve(self._principal, prompt + answer)
        self._reserved = prompt + answer
        self._ticket.cost = max(1, token_cost(prompt, answer))

    async def turn(self) -> bool:
        """Wait until the request may run; False when `give_up` came first."""
        self._turn = asyncio.get_running_loop().create_future()
        self._queue.enqueue(self._ticket, self)
        self._shares.dispatch()
        return await self._turn

    def give_up(self) -> None:
        """Wait no longer; a no-op once the turn has come."""
        self.wake(False)

    def wake(self, taken: bool) -> None:
        if self._turn is not None and not self._turn.done():
            self._turn.set_result(taken)

    def leave(self, prompt: int, answer: int) -> None:
        """Give the place back, once, with the tokens read and written."""
        if self._left:
            return
        self._left = True
        if self._inside:
            self._queue.inside -= 1
        now = self._shares.now()
        for key, limits in self._principal.accounts:
            self._shares.quotas.settle(key, limits, self._reserved, prompt + answer, now)
        self._queue.leave(self._ticket, token_cost(prompt, answer), now)
        self._shares.dispatch()
        if self._inside:
            self._when_left()


class ModelQueue:
    """The places at one model; if `apart`, of held-back batch requests."""

    def __init__(self, slots: int, *, apart: bool) -> None:
        self.apart = apart
        self.inside = 0  # places whose requests use the model
        self.fair = FairQueue(slots)
        self.held: Counter[str] = Counter()
        self._waiting: dict[Ticket, Place] = {}
        self._taken: set[Ticket] = set()

    def enqueue(self, ticket: Ticket, place: Place) -> None:
        self._waiting[ticket] = place
        self.fair.put(ticket)

    def dispatch(self, may_run: Callable[[str], bool]) -> None:
        while (ticket := self.fair.take(may_run)) is not None:
            self._taken.add(ticket)
            self._waiting.pop(ticket).wake(True)

    def leave(self, ticket: Ticket, cost: int, now: float) -> None:
        if ticket in self._taken:
            self._taken.discard(ticket)
            self.fair.end(ticket, cost, now)
        elif self._waiting.pop(ticket, None) is not None:
            self.fair.remove(ticket)
        self.held[ticket.key] -= 1
        if not self.held[ticket.key]:
            del self.held[ticket.key]


class Shares:
    """The queues of all models and the quotas of all keys.

    Args:
        max_queued: places per model besides those that run.
        max_queued_per_key: the same for one key.
        now: seconds of a steady clock.
    """

    def __init__(
        self,
        max_queued: int,
        max_queued_per_key: int,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self.now = now
        self.quotas = Quotas()
        self._max_queued = max_queued
        self._max_queued_per_key = max_queued_per_key
        self._queues: dict[tuple[str, bool], ModelQueue] = {}
        self._concurrency: dict[str, int | None] = {}

    def admit(
        self,
        principal: Principal,
        model: str,
        slots: int,
        priority: Priority | None = None,
        *,
        choices: int = 1,
        sets_aside: bool = False,
    ) -> Place:
        """Take a place at a model.

        Args:
            slots: requests that the model runs at once.
            priority: None takes that of the key.
            choices: answers that the request runs at once.
            sets_aside: the engine holds batch work back for other work.

        Raises:
            Overloaded: `queue_full` or `rate_limit_exceeded`, with the seconds to wait.
        """
        key, limits, now = principal.key_id, principal.limits, self.now()
        urgency = priority or limits.priority
        apart = sets_aside and urgency is Priority.BATCH
        queue = self._queues.get((model, apart))
        if queue is None:
            queue = self._queues[model, apart] = ModelQueue(slots, apart=apart)
        queue.fair.slots = slots
        self._check_room(queue, key, now)
        self.count(principal)
        self._concurrency[key] = limits.concurrency
        queue.held[key] += 1
        ticket = Ticket(key, limits.weight, urgency, slots=choices)
        return Place(self, queue, principal, ticket)

    def count(self, principal: Principal) -> None:
        """Count a request, not a refused one. Raises Overloaded (`rate_limit_exceeded`)."""
        with ExitStack() as taken:
            for account in principal.accounts:
                self.quotas.admit(*account, self.now())
                taken.callback(self.quotas.give_back, *account)
            taken.pop_all()

    def reserve(self, principal: Principal, tokens: int) -> None:
        """Reserve tokens of both key and person, or of neither; raises as `Place.reserve`."""
        now = self.now()
        with ExitStack() as taken:
            for account in principal.accounts:
                self.quotas.reserve(*account, tokens, now)
                taken.callback(self.quotas.settle, *account, tokens, 0, now)
            taken.pop_all()

    def left(self, principal: Principal) -> tuple[QuotaLeft | None, QuotaLeft | None]:
        """As `Quotas.left`."""
        return self.quotas.left(principal.key_id, principal.limits, self.now())

    def inside(self, model: str) -> int:
        return sum(queue.inside for queue in self._of(model))

    def queued(self, model: str) -> int:
        return sum(queue.fair.waiting.total() for queue in self._of(model))

    def dispatch(self) -> None:
        for queue in self._queues.values():
            queue.dispatch(partial(self._may_run, queue.apart))

    def _of(self, model: str) -> list[ModelQueue]:
        return [queue for (name, _), queue in self._queues.items() if name == model]

    def _may_run(self, apart: bool, key: str) -> bool:
        """True if a key may run one more; held-back batch work counts apart."""
        limit = self._concurrency.get(key)
        counted = [q for q in self._queues.values() if apart or not q.apart]
        return limit is None or sum(q.fair.running[key] for q in counted) < limit

    def _check_room(self, queue: ModelQueue, key: str, now: float) -> None:
        fair = queue.fair
        own = queue.held[key] - fair.running[key]
        if own >= self._max_queued_per_key:
            raise Overloaded(
                "queue_full",
                f"This key has {many(own, 'request')} waiting.",
                retry_after=fair.retry_after(own, now),
            )
        waiting = queue.held.total() - fair.running.total()
        if waiting >= self._max_queued:
            raise Overloaded(
                "queue_full",
                f"The queue has {many(waiting, 'request')}.",
                retry_after=fair.retry_after(waiting, now),
            )
