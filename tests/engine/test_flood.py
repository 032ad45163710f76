"""P9 in computed time: an app that asks one thing at a time, beside another one's flood.

The real queue and the real scheduler, on a clock that only steps move: the seconds of a step of n
tokens were measured on two cores. Requests are those of `benchmarks/checks/fairness.py`.
"""

import itertools
import statistics
from collections.abc import Sequence as ReadOnly
from dataclasses import dataclass, field

import pytest

from appliance.admission.fair_queue import FairQueue, Ticket, token_cost
from appliance.engine import app_shares, scheduler
from appliance.engine.app_shares import AppShares
from appliance.engine.cells import Cells
from appliance.engine.pace import Pace
from appliance.engine.scheduler import Scheduler, StepPlan
from appliance.engine.sequence import Sequence
from appliance.engine.text.textstream import TextStream
from appliance.types import Sampling

pytestmark = pytest.mark.long

SLOTS, PROMPT, FLOOD, CELLS = 8, 140, 64, 16_384
TARGET = 2.5
BEGINNINGS = range(50, 57)  # answers of the others before the first small request
COSTS = [  # seconds of a step of one token; otherwise a fixed part and each token's
    (0.006, 0.003, 0.0029),  # two cores
    (0.010, 0.013, 0.0032),  # two cores with a full cache: one token alone is cheaper than the line
    (0.011, 0.011, 0.0004),  # many cores
    (0.022, 0.020, 0.0020),  # a slow start
]


@dataclass
class Host:
    """One model on one host, with the seconds since its start and (app, latency) of each answer."""

    one: float
    fixed: float
    each: float
    slots: int = SLOTS
    cells: int = CELLS
    tiles: tuple[float, float] | None = None  # cost of long prompts, which have a pass of their own
    now: float = 0.0
    ended: list[tuple[str, float]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.pace = Pace(512, 0.06)
        for tokens in (1, 4, 8, 64):
            self.pace.record(tokens, self.cost(tokens))
        self.queue = FairQueue(self.slots)
        kept = 0 if self.tiles is None else self.slots
        self.scheduler = Scheduler(Cells(self.cells, self.slots, kept), 512, self.pace)
        self._asked: dict[Ticket, tuple[str, int, int, float]] = {}
        self._running: dict[Sequence, Ticket] = {}
        self._numbers = itertools.count(1)

    def cost(self, tokens: int) -> float:
        return self.one if tokens == 1 else self.fixed + self.each * tokens

    def seconds(self, plan: StepPlan) -> float:
        tiled = sum(part.count for chunk in plan.chunks if (part := chunk.parts[0]))
        plain = self.cost(plan.tokens - tiled) if plan.tokens > tiled else 0.0
        return plain + (self.tiles[0] + self.tiles[1] * tiled if self.tiles and tiled else 0.0)

    def ask(self, app: str, answer: int, prompt: int = PROMPT) -> None:
        ticket = Ticket(app, cost=token_cost(prompt, answer))
        self._asked[ticket] = (app, answer, prompt, self.now)
        self.queue.put(ticket)

    def step(self) -> None:
        while (ticket := self.queue.take(lambda _: True)) is not None:
            app, answer, prompt, _ = self._asked[ticket]
            number = next(self._numbers)
            tokens = [number * 10_000 + i for i in range(prompt)]  # no two share a prefix
            if self.tiles and app == "B":
                tokens = list(range(prompt))  # nearly all is in the cache
            sequence = Sequence(number, tokens, Sampling(), answer, TextStream(), scope=app)
            sequence.tiled = prompt - 2 if self.tiles and prompt >= 64 else 0
            self._running[sequence] = ticket
            self.scheduler.add(sequence)
        plan = self.scheduler.plan()
        seconds = self.seconds(plan)
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
        app, answer, prompt, at = self._asked.pop(ticket)
        self.queue.end(ticket, token_cost(prompt, answer), self.now)
        self.ended.append((app, self.now - at))
        self.ask(app, answer, prompt)  # each client asks again


def latency(costs: tuple[float, float, float], *, flood: bool) -> float:
    """95th percentile of B's last 40 of 50 answers, in seconds."""
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


ATTACKS = {  # prompts that fill most of the cache
    "eight of one app": [("attacker", 1800)] * 8,
    "one of each of four apps": [(f"attacker {number}", 900) for number in range(4)],
}


def among_others(
    *prompts: tuple[str, int], beginnings: range = BEGINNINGS[:1]
) -> tuple[float, float]:
    """Small requests among those of other apps, the median of several beginnings; and the tokens of
    long prompts computed in a second.

    Few of them wait long, and where those begin decides about the 95th percentile.
    """
    found = [_among_others(prompts, beginning) for beginning in beginnings]
    return statistics.median(b for b, _ in found), statistics.mean(tokens for _, tokens in found)


def _among_others(prompts: ReadOnly[tuple[str, int]], beginning: int) -> tuple[float, float]:
    host = Host(0.008, 0.0075, 0.001, slots=16, cells=2048)
    for app, clients, answer in (("one", 7, 3), ("batch", 4, 12), ("serial", 3, 20)):
        for _ in range(clients):
            host.ask(app, answer, 45)
    for app, prompt in prompts:
        host.ask(app, 1, prompt)
    while len(host.ended) < beginning:
        host.step()
    host.ask("B", 8, 31)
    while sum(app == "B" for app, _ in host.ended) < 110:
        host.step()
    own = sorted([seconds for app, seconds in host.ended if app == "B"][10:])
    long = dict(prompts)
    return own[94], sum(long.get(app, 0) for app, _ in host.ended) / host.now


@pytest.mark.parametrize("attack", ATTACKS)
def test_prompts_that_fill_the_cache_make_small_requests_little_later(attack: str) -> None:
    beside, computed = among_others(*ATTACKS[attack], beginnings=BEGINNINGS)
    assert beside <= TARGET * among_others()[0]
    assert computed > 100  # they end, too: a tenth of what the engine could do for them alone


def _nothing_before_it(_: Scheduler, _sequence: Sequence, head: Sequence | None) -> bool:
    return head is None


@pytest.mark.parametrize(
    ("attack", "where", "name", "rule"),
    [
        ("one of each of four apps", Scheduler, "_leaves_room", _nothing_before_it),
        ("eight of one app", app_shares, "size", lambda _: 1),
    ],
)
def test_without_one_of_the_rules_they_are_later(
    monkeypatch: pytest.MonkeyPatch, attack: str, where: object, name: str, rule: object
) -> None:
    """The control."""
    monkeypatch.setattr(where, name, rule)
    monkeypatch.setattr(scheduler, "size", app_shares.size)
    assert among_others(*ATTACKS[attack])[0] > TARGET * among_others()[0]


ATTACKERS = {"a prompt that just fits": 1825, "a chain of responses": 170}  # tokens of the prompts
TILES = (0.017, 0.0007)


def small(attacker: int = 0) -> float:
    """95th percentile of one app's small requests, beside one prompt after the other of an app."""
    host = Host(0.0072, 0.0052, 0.002, slots=4, cells=2048, tiles=TILES)
    if attacker:
        host.ask("A", 1, attacker)
        host.step()
    host.ask("B", 8, 31)
    while sum(app == "B" for app, _ in host.ended) < 210:
        host.step()
    own = sorted([seconds for app, seconds in host.ended if app == "B"][10:])
    return own[190]


@pytest.mark.parametrize("attacker", ATTACKERS.values(), ids=ATTACKERS)
def test_one_attackers_prompts_make_small_requests_little_later(attacker: int) -> None:
    assert small(attacker) <= TARGET * small()


@pytest.mark.parametrize("attacker", ATTACKERS.values(), ids=ATTACKERS)
def test_where_nothing_is_owed_they_are_later(
    monkeypatch: pytest.MonkeyPatch, attacker: int
) -> None:
    """The control."""
    monkeypatch.setattr(AppShares, "owed", lambda *_: 0.0)
    assert small(attacker) > TARGET * small()
