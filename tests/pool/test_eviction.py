"""What to load and what to evict: plain cases, and a simulated appliance under any load."""

import heapq
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from itertools import count

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from appliance.pool.eviction import EvictionDecision, Room, decide, room_for

BUDGET = 10


@dataclass(frozen=True)
class Resident:
    id: str
    size: int
    since: float = 0.0
    last_use: float = 0.0
    busy: bool = False
    pinned: bool = False
    changing: bool = False
    keep_alive: float | None = None
    answered: bool = True


@dataclass(frozen=True)
class Demand:
    id: str
    size: int
    wanted_since: float
    patience: float


def there(model: str, size: int = 4, **more: object) -> Resident:
    return Resident(model, size, **more)  # type: ignore[arg-type]


def wants(model: str, size: int = 4, since: float = 0.0, patience: float = 5.0) -> Demand:
    return Demand(model, size, since, patience)


def test_what_fits_is_loaded_and_nothing_else_happens() -> None:
    got = decide([there("a")], [wants("b")], BUDGET, 0.0)
    assert got == EvictionDecision(load=("b",))


def test_the_least_recently_used_idle_model_makes_room() -> None:
    residents = [there("new", last_use=9), there("old", last_use=1)]
    assert decide(residents, [wants("b")], BUDGET, 10.0).evict == (("old", "b"),)


def test_no_more_are_evicted_than_needed() -> None:
    residents = [
        there("small", 1, last_use=1),
        there("large", 6, last_use=2),
        there("newest", 3, last_use=3),
    ]
    assert room_for(5, residents, BUDGET) == Room(evict=("large",))
    assert room_for(7, residents, BUDGET) == Room(evict=("small", "large"))


@pytest.mark.parametrize("kept", ["busy", "pinned", "changing"])
def test_what_is_in_use_is_not_evicted(kept: str) -> None:
    residents = [there("kept", 4, last_use=0, **{kept: True}), there("idle", 4, last_use=9)]
    assert decide(residents, [wants("b")], BUDGET, 10.0).evict == (("idle", "b"),)


def test_what_fits_only_without_pinned_models_is_refused_at_once() -> None:
    residents = [there("p", 4, pinned=True), there("busy", 4, busy=True)]
    assert decide(residents, [wants("b", 7)], BUDGET, 0.0).refuse == ("b",)
    assert decide([], [wants("b", 11)], BUDGET, 0.0).refuse == ("b",)
    assert decide(residents, [wants("b", 6)], BUDGET, 0.0).refuse == ()


def test_busy_models_close_once_somebody_has_waited_and_they_have_served_long_enough() -> None:
    residents = [there("a", busy=True, since=0), there("b", busy=True, since=3)]
    demand = wants("c", 4, since=2, patience=5)
    assert decide(residents, [demand], BUDGET, 2.0) == EvictionDecision(wake=7.0)
    assert decide(residents, [demand], BUDGET, 7.0).closed == {"a"}
    both = replace(demand, size=8)
    got = decide(residents, [both], BUDGET, 7.5)
    assert got.closed == {"a"} and got.wake == 8.0
    assert decide(residents, [both], BUDGET, 8.0).closed == {"a", "b"}


def test_an_idle_model_that_must_go_too_stays_closed_while_others_are_awaited() -> None:
    """Else it could be busy again each time that the other one is idle."""
    residents = [there("idle", last_use=1), there("busy", busy=True)]
    got = decide(residents, [wants("c", 8, since=0)], BUDGET, 6.0)
    assert got.closed == {"idle", "busy"} and got.evict == ()


def test_nobody_overtakes_who_waits_for_memory() -> None:
    residents = [there("a", 6, busy=True)]
    got = decide(residents, [wants("large", 6), wants("small", 2)], BUDGET, 0.0)
    assert got.load == () and got.evict == ()


def test_several_are_loaded_together_where_they_fit() -> None:
    assert decide([], [wants("a"), wants("b"), wants("c")], BUDGET, 0.0).load == ("a", "b")


def test_a_model_that_is_ended_is_not_loaded_before_it_has_gone() -> None:
    assert decide([there("a", changing=True)], [wants("a")], BUDGET, 0.0) == EvictionDecision()


def test_idle_models_end_after_their_time() -> None:
    residents = [
        there("zero", 1, last_use=5, keep_alive=0.0),
        there("ten", 1, last_use=5, keep_alive=10.0),
        there("for ever", 1, last_use=0),
        there("busy", 1, last_use=0, keep_alive=0.0, busy=True),
        there("pinned", 1, last_use=0, keep_alive=0.0, pinned=True),
        there("unused", 1, last_use=0, keep_alive=0.0, answered=False),
    ]
    got = decide(residents, [], BUDGET, 6.0)
    assert (got.expire, got.wake) == (("zero",), 15.0)
    assert decide(residents, [], BUDGET, 15.0).expire == ("zero", "ten")


RESIDENTS = st.lists(
    st.builds(
        Resident,
        id=st.integers(0, 9).map(str),
        size=st.integers(1, 6),
        since=st.floats(0, 9),
        last_use=st.floats(0, 9),
        busy=st.booleans(),
        pinned=st.booleans(),
        changing=st.booleans(),
        keep_alive=st.none() | st.floats(0, 9),
        answered=st.booleans(),
    ),
    unique_by=lambda r: r.id,
    max_size=8,
)
DEMANDS = st.lists(
    st.builds(
        Demand,
        id=st.integers(10, 14).map(str),
        size=st.integers(1, 12),
        wanted_since=st.floats(0, 9),
        patience=st.floats(0, 5),
    ),
    unique_by=lambda d: d.id,
    max_size=4,
)


@given(RESIDENTS, DEMANDS, st.floats(0, 20), st.integers(0, 4))
def test_no_decision_breaks_a_rule(
    residents: list[Resident], demands: list[Demand], now: float, spare: int
) -> None:
    budget = sum(r.size for r in residents) + spare
    got = decide(residents, demands, budget, now)
    by_id, sizes = {r.id: r for r in residents}, {d.id: d.size for d in demands}
    evicted = {model for model, _ in got.evict}
    for model in evicted | set(got.expire):
        r = by_id[model]
        assert not (r.busy or r.pinned or r.changing)
    assert sum(sizes[m] for m in got.load) <= spare  # what is there counts until it has gone
    assert not evicted & set(got.expire)
    assert not got.closed & {r.id for r in residents if r.pinned}
    for model in got.refuse:
        pinned = sum(r.size for r in residents if r.pinned)
        assert sizes[model] + pinned > budget - sum(sizes[m] for m in got.load)
    if got.evict:
        ((_, other),) = {("", other) for _, other in got.evict}
        freed = sum(by_id[m].size for m in evicted)
        left = spare - sum(sizes[m] for m in got.load)
        assert left + freed >= sizes[other]
        for model in evicted:  # each of them is needed
            assert left + freed - by_id[model].size < sizes[other]


@dataclass(order=True)
class Event:
    at: float
    number: int
    do: Callable[[], None] = field(compare=False)


class World:
    """An appliance in simulated time that follows `decide`, and checks what it must never do."""

    def __init__(self, sizes: dict[str, int], pinned: set[str], budget: int, load_s: float) -> None:
        self.now, self.budget, self.sizes, self.load_s = 0.0, budget, sizes, load_s
        self.pool: dict[str, Resident] = {}
        self.pinned = pinned
        self.inside: dict[str, int] = dict.fromkeys(sizes, 0)
        self.waiting: dict[str, list[tuple[float, float]]] = {}
        self.waited: list[float] = []
        self.refused: set[str] = set()
        self.closed: frozenset[str] = frozenset()
        self.answered = 0
        self._events: list[Event] = []
        self._numbers = count()

    def after(self, seconds: float, do: Callable[[], None]) -> None:
        heapq.heappush(self._events, Event(self.now + seconds, next(self._numbers), do))

    def request(self, model: str, lasts: float) -> None:
        r = self.pool.get(model)
        if r is not None and not r.changing and model not in self.closed:
            self._enter(model, self.now, lasts)
        else:
            self.waiting.setdefault(model, []).append((self.now, lasts))

    def _enter(self, model: str, came: float, lasts: float) -> None:
        self.inside[model] += 1
        self.waited.append(self.now - came)
        self._change(model, busy=True, last_use=self.now, answered=True)

        def leave() -> None:
            self.inside[model] -= 1
            self.answered += 1
            self._change(model, busy=self.inside[model] > 0, last_use=self.now)

        self.after(lasts, leave)

    def _change(self, model: str, **changes: object) -> None:
        self.pool[model] = replace(self.pool[model], **changes)  # type: ignore[arg-type]

    def run(self) -> None:
        while self._events:
            event = heapq.heappop(self._events)
            self.now = event.at
            event.do()
            self.look()

    def admit(self) -> None:
        for model in list(self.waiting):
            r = self.pool.get(model)
            if r is not None and not r.changing and model not in self.closed:
                for came, lasts in self.waiting.pop(model):
                    self._enter(model, came, lasts)

    def look(self) -> None:
        self.admit()
        demands = [
            Demand(model, self.sizes[model], min(came for came, _ in who), 2 * self.load_s)
            for model, who in sorted(self.waiting.items(), key=lambda item: min(item[1]))
            if model not in self.pool or self.pool[model].changing
        ]
        got = decide(list(self.pool.values()), demands, self.budget, self.now)
        self.closed = got.closed
        for model in got.refuse:
            self.refused.add(model)
            del self.waiting[model]
        for model in got.load:
            self._load(model)
        for model in {*(m for m, _ in got.evict), *got.expire}:
            self._end(model)
        self.admit()
        if got.wake is not None:
            self.after(max(got.wake - self.now, 1e-3), lambda: None)
        assert sum(r.size for r in self.pool.values()) <= self.budget

    def _load(self, model: str) -> None:
        pinned = model in self.pinned
        self.pool[model] = Resident(
            model, self.sizes[model], since=math.inf, changing=True, pinned=pinned
        )

        def loaded() -> None:
            self._change(model, changing=False, since=self.now, last_use=self.now, answered=False)

        self.after(self.load_s, loaded)

    def _end(self, model: str) -> None:
        r = self.pool[model]
        assert not (self.inside[model] or r.pinned or r.changing), f"{model} was evicted"
        self._change(model, changing=True)

        def ended() -> None:
            del self.pool[model]

        self.after(0.1, ended)


ASKED = st.lists(
    st.tuples(st.floats(0, 60), st.sampled_from("abcde"), st.floats(0.01, 8)), max_size=120
)


@settings(max_examples=150)
@given(
    ASKED,
    st.fixed_dictionaries({m: st.integers(1, 7) for m in "abcde"}),
    st.sets(st.sampled_from("abcde"), max_size=1),
    st.floats(0.1, 4),
)
def test_every_request_is_answered_or_refused_whatever_comes(
    asked: Sequence[tuple[float, str, float]],
    sizes: dict[str, int],
    pinned: set[str],
    load_s: float,
) -> None:
    world = World(sizes, pinned, BUDGET, load_s)
    for at, model, lasts in asked:
        world.after(at, lambda m=model, s=lasts: world.request(m, s))  # type: ignore[misc]
    world.run()
    assert not world.waiting  # nothing is lost
    assert world.answered == len(world.waited)
    for model in world.refused:  # only beside what is pinned can there be no room
        held = sum(sizes[p] for p in pinned - {model})
        assert sizes[model] + held > BUDGET


@settings(max_examples=20)
@given(st.floats(0.2, 2), st.integers(1, 3), st.floats(0.2, 3))
def test_no_model_starves_beside_others_that_are_never_idle(
    lasts: float, flood: int, load_s: float
) -> None:
    """Two models that hold all memory get requests without a pause; a third asks now and then."""
    world = World({"a": 5, "b": 5, "c": 5}, set(), BUDGET, load_s)
    step = lasts / 2
    for number in range(int(60 / step)):
        for model in "ab":
            for _ in range(flood):
                world.after(number * step, lambda m=model: world.request(m, lasts))  # type: ignore[misc]
    asked = [10.0, 30.0, 50.0]
    for at in asked:
        world.after(at, lambda: world.request("c", lasts))
    world.run()
    assert not world.waiting
    # Patience, running answers, the end of one model, the load; and once more behind another.
    assert max(world.waited) <= 2 * (2 * load_s + lasts + 0.1 + load_s) + 1


def test_the_simulation_would_notice_a_starved_model() -> None:
    """The control: with endless patience the third model waits until the flood is over."""
    world = World({"a": 5, "b": 5, "c": 5}, set(), BUDGET, 1.0)
    for number in range(240):
        for model in "ab":
            world.after(number * 0.5, lambda m=model: world.request(m, 1.0))  # type: ignore[misc]
    world.after(10.0, lambda: world.request("c", 1.0))
    patient = world.look

    def never_close() -> None:
        patient()
        world.closed = frozenset()

    world.look = never_close  # type: ignore[method-assign]
    world.run()
    assert max(world.waited) > 50
