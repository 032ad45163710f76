"""Weighted fair queueing of requests on their cost in tokens. Pure: time is in seconds of any
steady clock.

Rules:
- Start-time fair queueing (Goyal, Vin, Cheng, SIGCOMM 1996) for a server with several slots, as
  SFQ(D) (Jin, Chase, Kaur, SIGMETRICS 2004). A flow is one key in one priority. The waiting flow
  with the smallest start tag is next; being served moves its tag on by cost over weight. A flow
  that was idle starts at the present virtual time: silence earns no credit.
- The cost is an estimate until the answer ends; then the tag is corrected. A token written
  counts as two tokens read, as in "Fairness in Serving Large Language Models" (Sheng et al.,
  OSDI 2024).
- A batch flow weighs a sixteenth of the key's weight.
- When one key alone is active, a few requests more than there are slots go ahead, so that no step
  is idle.
- The only request of a key does not wait for a slot, while fewer keys than slots run: the engine
  preempts an answer of an app above its share (engine/scheduler.py). Batch requests wait.
"""

from collections import Counter, deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from appliance.types import Priority

BATCH_SHARE: Final = 1 / 16
WRITTEN_COST: Final = 2
AHEAD: Final = 2
_RATE_OVER: Final = 64
_UNKNOWN_RATE_S: Final = 5
_LONGEST_RETRY_S: Final = 60


def token_cost(read: int, written: int) -> int:
    """The cost of a request with so many tokens in its prompt and its answer."""
    return read + WRITTEN_COST * written


@dataclass(eq=False)
class Ticket:
    """One request in the queue.

    Attributes:
        weight: share of the key, at least 1.
        cost: estimate of `token_cost`, positive; read when the request is taken.
        slots: answers that it runs at once.
    """

    key: str
    weight: int = 1
    priority: Priority = Priority.INTERACTIVE
    cost: int = 1
    slots: int = 1


@dataclass(eq=False)
class _Flow:
    weight: float
    start: float = 0.0
    waiting: deque[Ticket] = field(default_factory=deque)
    running: int = 0


class FairQueue:
    """The requests of one model that wait or were taken; `slots` run at once."""

    def __init__(self, slots: int) -> None:
        self.slots = slots
        self.running: Counter[str] = Counter()
        self.waiting: Counter[str] = Counter()
        self._flows: dict[tuple[str, Priority], _Flow] = {}
        self._taken: dict[Ticket, int] = {}
        self._virtual = 0.0
        self._ended: deque[float] = deque(maxlen=_RATE_OVER)

    def put(self, ticket: Ticket) -> None:
        share = BATCH_SHARE if ticket.priority is Priority.BATCH else 1.0
        flow = self._flows.setdefault((ticket.key, ticket.priority), _Flow(0.0))
        flow.weight = ticket.weight * share
        if not flow.waiting:
            flow.start = max(flow.start, self._virtual)
        flow.waiting.append(ticket)
        self.waiting[ticket.key] += 1

    def remove(self, ticket: Ticket) -> None:
        self._flows[ticket.key, ticket.priority].waiting.remove(ticket)
        self._forget_one(self.waiting, ticket.key)
        self._tidy()

    def take(self, may_run: Callable[[str], bool]) -> Ticket | None:
        """The request whose turn it is, which counts as running from now on; None to wait.

        Args:
            may_run: whether a key may have one more running.
        """
        most = self.slots + (AHEAD if len(self.running.keys() | self.waiting.keys()) == 1 else 0)
        busy = sum(ticket.slots for ticket in self._taken)
        ready = [
            (not self._goes_at_once(*name), flow.start, self.running[name[0]], order, flow)
            for order, (name, flow) in enumerate(self._flows.items())
            if flow.waiting and may_run(name[0])
        ]
        if not ready:
            return None
        waits, *_, flow = min(ready)
        if waits and busy and busy + flow.waiting[0].slots > most:
            return None  # one that needs several slots waits for them; no other overtakes it
        ticket = flow.waiting.popleft()
        self._forget_one(self.waiting, ticket.key)
        self._virtual = max(self._virtual, flow.start)
        flow.start += ticket.cost / flow.weight
        flow.running += 1
        self.running[ticket.key] += 1
        self._taken[ticket] = ticket.cost
        return ticket

    def end(self, ticket: Ticket, cost: int, now: float) -> None:
        """End a taken request, with its true cost."""
        flow = self._flows[ticket.key, ticket.priority]
        flow.start += (cost - self._taken.pop(ticket)) / flow.weight
        flow.running -= 1
        self._forget_one(self.running, ticket.key)
        self._ended.append(now)
        self._tidy()

    def retry_after(self, ahead: int, now: float) -> int:
        """Seconds, 1 to 60, for so many answers at the present rate."""
        if len(self._ended) < 2 or now <= self._ended[0]:
            return _UNKNOWN_RATE_S
        # Up to now, not up to the last end: a model that stands still has a falling rate.
        rate = len(self._ended) / (now - self._ended[0])
        return max(1, min(_LONGEST_RETRY_S, round(ahead / rate)))

    def _goes_at_once(self, key: str, priority: Priority) -> bool:
        """True if a request of this flow is taken though all slots are busy."""
        alone = self.waiting[key] == 1 and not self.running[key]
        return alone and priority is Priority.INTERACTIVE and len(self.running) < self.slots

    def _tidy(self) -> None:
        """Drop flows that are at rest; they would start at the virtual time anyway."""
        if not self.running and not self.waiting:
            self._flows.clear()  # a busy period is over: what was used in it is no debt
            self._virtual = 0.0
            return
        for name, flow in list(self._flows.items()):
            if not flow.waiting and not flow.running and flow.start <= self._virtual:
                del self._flows[name]

    @staticmethod
    def _forget_one(counts: Counter[str], key: str) -> None:
        counts[key] -= 1
        if not counts[key]:
            del counts[key]
