"""P9 in computed time: what an app that asks one thing at a time feels of another one's flood.

The real queue and the real scheduler, on a clock that only steps move: what a step of n tokens
takes was measured on two cores. The model is not computed.
Requests are those of `benchmarks/checks/fairness.py`.
"""

import itertools
from dataclasses import dataclass, field

import pytest

from appliance.admission.fair_queue import FairQueue, Ticket, token_cost
from appliance.engine.app_shares import AppShares
from appliance.engine.cells import Cells
from appliance.engine.pace import Pace
from appliance.engine.scheduler import Scheduler
from appliance.engine.sequence import Sequence
from appliance.engine.text.textstream import TextStream
from appliance.types import Sampling

SLOTS, PROMPT, FLOOD = 8, 140, 64
TARGET = 2.5
COSTS = [  # seconds of a step of one token; otherwise a fixed part and each token's
    (0.006, 0.003, 0.0029),  # two cores
    (0.010, 0.013, 0.0032),  # two cores with a full cache: one token alone is cheaper than the line
    (0.011, 0.011, 0.0004),  # many cores
    (0.022, 0.020, 0.0020),  # a slow start
]


@dataclass
class Host:
    """One model on one host.

    Attributes:
        now: seconds since it started.
        ended: app, latency of each answer.
    """

    one: float
    fixed: float
    each: float
    now: float = 0.0
    ended: list[tuple[str, float]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.pace = Pace(512, 0.06)
        for tokens in (1, 4, 8, 64):
            self.pace.record(tokens, self.cost(tokens))
        self.queue = FairQueue(SLOTS)
        self.scheduler = Scheduler(Cells(16_384, SLOTS), 512, self.pace)
        self._asked: dict[Ticket, tuple[str, int, float]] = {}
        self._running: dict[Sequence, Ticket] = {}
        self._numbers = itertools.count(1)

    def cost(self, tokens: int) -> float:
        """Seconds of a step."""
        return self.one if tokens == 1 else self.fixed + self.each * tokens

    def ask(self, app: str, answer: int) -> None:
        """A request of so many tokens comes in."""
        ticket = Ticket(app, cost=token_cost(PROMPT, answer))
        self._asked[ticket] = (app, answer, self.now)
        self.queue.put(ticket)

    def step(self) -> None:
        """Take whose turn it is, compute one step, and let time pass."""
        while (ticket := self.queue.take(lambda _: True)) is not None:
            app, answer, _ = self._asked[ticket]
            number = next(self._numbers)
            prompt = [number * 1000 + i for i in range(PROMPT)]  # no two share a prefix
            sequence = Sequence(number, prompt, Sampling(), answer, TextStream(), scope=app)
            self._running[sequence] = ticket
            self.scheduler.add(sequence)
        plan = self.scheduler.plan()
        seconds = self.cost(plan.tokens)
        self.pace.record(plan.tokens, seconds)
        self.now += seconds
        for chunk in plan.chunks:
            self.scheduler.computed(chunk)
            if chunk.samples:
                self._sampled(chunk.sequence)

    def _sampled(self, sequence: Sequence) -> None:
        sequence.tokens.append(0)
        if sequence.generated < sequence.max_tokens:
            return
        self.scheduler.remove(sequence)
        ticket = self._running.pop(sequence)
        app, answer, at = self._asked.pop(ticket)
        self.queue.end(ticket, token_cost(PROMPT, answer), self.now)
        self.ended.append((app, self.now - at))
        self.ask(app, answer)  # each client asks again


def latency(costs: tuple[float, float, float], *, flood: bool) -> float:
    """The 95th percentile of B's latency over its last 40 of 50 answers, in seconds."""
    host = Host(*costs)
    if flood:
        for _ in range(FLOOD):
            host.ask("A", 64)
        while len(host.ended) < FLOOD:
            host.step()
    host.ask("B", 16)
    while sum(app == "B" for app, _ in host.ended) < 50:
        host.step()
    own = sorted([seconds for app, seconds in host.ended if app == "B"][10:])
    return own[37]


@pytest.mark.parametrize("costs", COSTS)
def test_a_flood_makes_another_apps_answers_at_most_two_and_a_half_times_as_late(
    costs: tuple[float, float, float],
) -> None:
    alone, beside = latency(costs, flood=False), latency(costs, flood=True)
    assert beside <= TARGET * alone


def test_without_the_rule_it_is_later(monkeypatch: pytest.MonkeyPatch) -> None:
    """The control: prompts in the order of their length alone."""
    monkeypatch.setattr(AppShares, "first", lambda *_: ([], 0))
    costs = COSTS[0]
    assert latency(costs, flood=True) > TARGET * latency(costs, flood=False)
