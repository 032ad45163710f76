"""The scheduler on plain values: a driver plays the model and checks every step."""

from collections.abc import Callable
from dataclasses import dataclass, field

import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from appliance.engine.app_shares import LONG
from appliance.engine.batch_turns import BatchTurns
from appliance.engine.cells import Cells
from appliance.engine.pace import Pace
from appliance.engine.scheduler import FORCED, LATELY, Chunk, Scheduler, StepPlan
from appliance.engine.sequence import Sequence
from appliance.engine.text.textstream import TextStream
from appliance.types import Sampling


@dataclass(frozen=True)
class Ask:
    """A request: when it comes, its length, when its client leaves (None: never).

    `forced` tokens follow each sampled one without a step of their own, as of a grammar.
    """

    arrives: int
    prompt: int
    max_tokens: int
    cancelled: int | None = None
    forced: int = 0
    adapter: str = ""
    app: str = ""
    batch: bool = False


@dataclass(frozen=True)
class Scene:
    capacity: int
    slots: int
    budget: int
    asks: list[Ask]
    separate: bool = False
    fixed_chunks: bool = False


@st.composite
def scenes(
    draw: st.DrawFn, *, cancels: bool = True, reproducible: bool = False, batches: bool = False
) -> Scene:
    capacity = draw(st.integers(4, 48))
    asks = []
    for _ in range(draw(st.integers(1, 9))):
        prompt = draw(st.integers(1, capacity - 1))
        asks.append(
            Ask(
                draw(st.integers(0, 15)),
                prompt,
                draw(st.integers(1, capacity - prompt)),
                draw(st.none() | st.integers(0, 40)) if cancels else None,
                draw(st.sampled_from([0, 0, 1, 40])),
                draw(st.sampled_from(["", "", "one", "two"])),
                "" if reproducible else draw(st.sampled_from(["", "", "a", "b"])),
                draw(st.booleans()) if batches else False,
            )
        )
    return Scene(
        capacity,
        draw(st.integers(1, 5)),
        draw(st.integers(1, 16)),
        asks,
        separate=reproducible,
        fixed_chunks=reproducible,
    )


@dataclass
class Trace:
    ended: list[int] = field(default_factory=list)
    admitted: list[int] = field(default_factory=list)
    preempted: list[int] = field(default_factory=list)
    cuts: dict[int, list[tuple[int, int]]] = field(default_factory=dict)
    steps: int = 0


Make = Callable[[Cells, int, bool], Scheduler]


def plain(cells: Cells, budget: int, fixed_chunks: bool) -> Scheduler:
    return Scheduler(cells, budget, fixed_chunks=fixed_chunks)


def play(scene: Scene, make: Make = plain) -> Trace:
    return _Player(scene, make).run()


class _Player:
    def __init__(self, scene: Scene, make: Make) -> None:
        cells = Cells(scene.capacity, scene.slots, separate=scene.separate)
        self.scene = scene
        self.scheduler = make(cells, scene.budget, scene.fixed_chunks)
        self.alive: dict[int, Sequence] = {}
        self.trace = Trace()
        # The oldest request gains a token at each step of its group, so this many end them all.
        self.groups = len({a.adapter for a in scene.asks})
        self.bound = 60 + self.groups * sum(a.prompt + a.max_tokens + 1 for a in scene.asks)
        self.started = 0
        start = self.scheduler._start

        def counted(sequence: Sequence) -> None:
            self.started += 1
            assert self.started <= len(self.alive), "a request is admitted again and again"
            start(sequence)

        self.scheduler._start = counted  # type: ignore[method-assign]
        self.apps = {a.app for a in scene.asks}
        self.waited: dict[str, int] = {}

    def run(self) -> Trace:
        step = 0
        while step <= max(a.arrives for a in self.scene.asks) or self.alive:
            assert step < self.bound, f"{sorted(self.alive)} never ended"
            self._arrivals_and_cancels(step)
            self._step()
            step += 1
        assert self.scheduler.cells.used == self.scheduler.cells.kept
        assert not self.scheduler.running and not self.scheduler.waiting
        self.trace.steps = step
        return self.trace

    def _arrivals_and_cancels(self, step: int) -> None:
        for number, ask in enumerate(self.scene.asks):
            if ask.arrives == step:
                tokens = [1000 * number + i for i in range(ask.prompt)]
                sequence = Sequence(
                    number, tokens, Sampling(), ask.max_tokens, TextStream(),
                    adapter=ask.adapter, scope=ask.app, batch=ask.batch,
                )  # fmt: skip
                self.alive[number] = sequence
                self.scheduler.add(sequence)
            if ask.cancelled is not None and ask.arrives + ask.cancelled == step:
                gone = self.alive.pop(number, None)
                if gone is not None:
                    self.scheduler.remove(gone)
                    assert gone.slot is None

    def _step(self) -> None:
        before = list(self.scheduler.running)
        decoding = {s: min(s.pending, FORCED) for s in before if s.generating}
        held = {s.id: s.computed for s in before}
        self.started = 0
        plan = self.scheduler.plan()
        self._check(plan, before, decoding, held)
        for chunk in plan.chunks:
            sequence = chunk.sequence
            if chunk.start < sequence.prompt_tokens:
                self.trace.cuts.setdefault(sequence.id, []).append((chunk.start, chunk.count))
            self.scheduler.computed(chunk)
            if chunk.samples:
                more = 1 + self.scene.asks[sequence.id].forced
                for _ in range(min(more, sequence.max_tokens - sequence.generated)):
                    sequence.tokens.append(-len(sequence.tokens))
                if sequence.generated == sequence.max_tokens:
                    del self.alive[sequence.id]
                    self.trace.ended.append(sequence.id)
                    self.scheduler.remove(sequence)

    def _check(
        self,
        plan: StepPlan,
        before: list[Sequence],
        decoding: dict[Sequence, int],
        held: dict[int, int],
    ) -> None:
        running, waiting = self.scheduler.running, list(self.scheduler.waiting)
        everyone = sorted(s.id for s in [*running, *waiting])
        assert everyone == sorted(self.alive), "a request was lost or doubled"
        slots = [s.slot for s in running]
        assert None not in slots and len(set(slots)) == len(slots) <= self.scene.slots
        assert all(s.slot is None and s.computed == 0 for s in waiting), "stale cells"
        put_back = [s.id for s in before if s in waiting or s.computed < held[s.id]]
        self.trace.preempted += put_back
        chunked = [c.sequence.id for c in plan.chunks]
        assert len(set(chunked)) == len(chunked)
        for chunk in plan.chunks:
            assert chunk.sequence in running
            assert chunk.start == chunk.sequence.computed and chunk.count >= 1
            assert chunk.start + chunk.count <= len(chunk.sequence.tokens)
        counts = {c.sequence: c.count for c in plan.chunks}
        assert {c.sequence.adapter for c in plan.chunks} <= {plan.adapter}, "two adapters in a step"
        aside = {s for s in [*before, *running] if s.batch and self.scheduler._aside}
        assert not aside & counts.keys(), "batch work took part beside other work"
        going = {s: count for s, count in decoding.items() if s not in aside}
        self._check_turns(plan, {s.adapter for s in going if s.id not in put_back})
        for sequence, count in going.items():
            if sequence.id not in put_back and sequence.adapter == plan.adapter:
                assert counts.get(sequence) == count, "a running answer was left out"
        # What one step adds beside running answers stays within the budget.
        decoded = {s.id for s in decoding}
        prompts = sum(c.count for c in plan.chunks if c.sequence.id not in decoded)
        assert prompts <= self.scene.budget, "over the budget"
        self._check_cells(plan, running)
        self._check_order(before, running, waiting)
        assert plan.chunks or not self.alive, "nothing moves"

    def _check_turns(self, plan: StepPlan, answering: set[str]) -> None:
        self.waited = {a: self.waited.get(a, 0) + 1 for a in answering if a != plan.adapter}
        assert max(self.waited.values(), default=0) < self.groups, "a group was left waiting"

    def _check_cells(self, plan: StepPlan, running: list[Sequence]) -> None:
        adds = {c.sequence.id: c.count for c in plan.chunks}
        sizes = [s.computed + adds.get(s.id, 0) for s in running]
        assert sum(sizes) == self.scheduler.cells.used, "the accounting is not what is there"
        assert (max(sizes, default=0) if self.scene.separate else sum(sizes)) <= self.scene.capacity

    def _check_order(
        self, before: list[Sequence], running: list[Sequence], waiting: list[Sequence]
    ) -> None:
        for sequence in running:
            if sequence not in before and sequence.id not in self.trace.admitted:
                self.trace.admitted.append(sequence.id)
        arrival = {n: (a.arrives, n) for n, a in enumerate(self.scene.asks)}
        for queue in (running, waiting):
            if any(s.batch for s in queue):
                continue
            order = [arrival[s.id] for s in queue]
            assert order == sorted(order), "somebody overtook"
        if any(a.batch for a in self.scene.asks):
            return
        for app in self.apps:  # one app's requests run in the order in which they came
            own = [[arrival[s.id] for s in queue if s.scope == app] for queue in (running, waiting)]
            assert not all(own) or own[0][-1] < own[1][0], "somebody overtook"


@settings(deadline=None, max_examples=300)
@given(scenes())
def test_every_request_ends_in_bounded_steps_and_none_shares_a_cell(scene: Scene) -> None:
    trace = play(scene)
    never_cancelled = {n for n, a in enumerate(scene.asks) if a.cancelled is None}
    assert never_cancelled <= set(trace.ended)


@settings(deadline=None, max_examples=300)
@given(scenes(batches=True), st.sampled_from([(600, 5), (0, 50)]))
def test_the_same_where_batch_work_is_set_aside(scene: Scene, policy: tuple[int, int]) -> None:
    def make(cells: Cells, budget: int, fixed: bool) -> Scheduler:
        turns = BatchTurns(*policy, now=lambda: 0.0)
        return Scheduler(cells, budget, fixed_chunks=fixed, batches=turns)

    trace = play(scene, make)
    never_cancelled = {n for n, a in enumerate(scene.asks) if a.cancelled is None}
    assert never_cancelled <= set(trace.ended)


@settings(deadline=None, max_examples=200)
@given(scenes(cancels=False, reproducible=True))
def test_fixed_chunks_are_cut_alike_alone_and_under_load(scene: Scene) -> None:
    together = play(scene)
    assert not together.preempted
    for number, ask in enumerate(scene.asks):
        alone = Scene(scene.capacity, scene.slots, scene.budget, [ask], True, True)
        assert together.cuts[number] == play(alone).cuts[0]


@settings(deadline=None, max_examples=100)
@given(scenes(reproducible=True))
def test_the_rules_hold_with_separate_streams(scene: Scene) -> None:
    play(scene)


def test_chunks_under_load_differ_without_fixed_chunks() -> None:
    asks = [Ask(0, 6, 2), Ask(0, 20, 2)]
    cuts = play(Scene(40, 4, 8, asks)).cuts[1]
    assert cuts != play(Scene(40, 4, 8, asks[1:])).cuts[0]


def test_a_full_cache_sets_the_youngest_aside_and_computes_it_again_from_its_tokens() -> None:
    trace = play(Scene(12, 3, 8, [Ask(0, 4, 6), Ask(1, 4, 6)]))
    assert set(trace.preempted) == {1}
    assert trace.ended == [0, 1]
    # The second time its prompt and what was generated go through from position 0.
    assert [start for start, _ in trace.cuts[1]].count(0) >= 2


def test_an_arrival_joins_the_very_next_step() -> None:
    scheduler = Scheduler(Cells(100, 4), 16)
    first = Sequence(1, [1, 2], Sampling(), 5, TextStream())
    scheduler.add(first)
    scheduler.plan()
    first.computed, first.tokens = 2, [1, 2, 3]
    scheduler.add(Sequence(2, [4, 5], Sampling(), 5, TextStream()))
    assert [(c.sequence.id, c.count) for c in scheduler.plan().chunks] == [(1, 1), (2, 2)]


def test_a_long_prompt_does_not_stop_running_answers() -> None:
    asks = [Ask(0, 2, 30), Ask(1, 40, 2)]
    trace = play(Scene(80, 2, 4, asks))
    assert trace.steps < 40  # the 30 answers of the first went on beside the 10 chunks


def test_a_plan_with_nothing_to_do_is_empty() -> None:
    plan = Scheduler(Cells(8, 1), 4).plan()
    assert not plan.chunks and not plan.operations


def test_a_cancelled_request_in_the_queue_holds_nothing() -> None:
    scheduler = Scheduler(Cells(8, 1), 4)
    waiting = Sequence(1, [1], Sampling(), 1, TextStream())
    scheduler.add(waiting)
    scheduler.remove(waiting)
    assert not scheduler.plan().chunks


def ask(number: int, prompt: int, app: str, *, most: int = 500) -> Sequence:
    tokens = [1000 * number + i for i in range(prompt)]
    return Sequence(number, tokens, Sampling(), most, TextStream(), scope=app)


def step(scheduler: Scheduler) -> set[int]:
    for chunk in scheduler.plan().chunks:
        scheduler.computed(chunk)
        if chunk.samples:
            chunk.sequence.tokens.append(0)
    return {s.id for s in scheduler.running}


def test_a_long_prompt_is_overtaken_by_as_many_short_ones_as_it_counts() -> None:
    scheduler = Scheduler(Cells(1000, 1), 4 * LONG)
    scheduler.add(ask(0, 4, "busy"))
    assert step(scheduler) == {0}
    scheduler.add(ask(1, 3 * LONG, "long"))
    for number in range(2, 8):  # each of an app that asks one thing
        scheduler.add(ask(number, 4, f"short {number}"))
    order: list[int] = []
    while len(order) < 6:
        (running,) = step(scheduler)
        order.append(running)
        scheduler.remove(scheduler.running[0])
    # It counts as three: after two it counts as one, and came before the others.
    assert order == [0, 2, 3, 1, 4, 5]


def test_only_what_fits_beside_a_long_prompt_that_waits_runs_before_it() -> None:
    scheduler = Scheduler(Cells(400, 8), 64)
    old = ask(0, 90, "old")
    scheduler.add(old)
    step(scheduler)
    long = ask(1, 320, "long")
    long.overtaken = 100  # its turn has come
    scheduler.add(long)
    for number in range(2, 7):
        scheduler.add(ask(number, 30, f"short {number}"))
    assert step(scheduler) == {0, 2, 3}  # 60 beside 320 of 400, though there is room for more
    scheduler.remove(old)
    assert {1, 2, 3} <= step(scheduler)


@pytest.mark.parametrize(("most", "runs"), [(20, True), (500, False)])
def test_a_short_request_has_the_cells_that_a_long_prompt_needs_later(
    most: int, runs: bool
) -> None:
    scheduler = Scheduler(Cells(600, 8), 64)
    scheduler.add(ask(0, 550, "long"))
    step(scheduler)
    scheduler.add(ask(1, 80, "short", most=most))  # 50 are not promised to anybody
    assert (1 in step(scheduler)) is runs


def test_a_long_prompt_has_its_cells_when_it_needs_them() -> None:
    scheduler = Scheduler(Cells(600, 8), 64)
    long = ask(0, 590, "long", most=1)
    scheduler.add(long)
    for number in range(1, 2000):
        if number % 3 == 1:  # more short ones than there is room for
            scheduler.add(ask(number, 80, f"short {number % 7}", most=20))
        for chunk in scheduler.plan().chunks:
            scheduler.computed(chunk)
            if chunk.samples:
                chunk.sequence.tokens.append(0)
                if chunk.sequence.generated == chunk.sequence.max_tokens:
                    scheduler.remove(chunk.sequence)
        if long.generated:
            return
    raise AssertionError(f"{long.computed} of its tokens are computed")


def paced(fixed: float = 0.003) -> Scheduler:
    pace = Pace(512, 0.06)
    for tokens in (1, 4, 16, 64):
        pace.record(tokens, fixed + 0.001 * tokens)
    return Scheduler(Cells(4096, 4, 4), 512, pace)


def test_an_app_whose_prompt_is_computed_for_long_is_not_forgotten() -> None:
    scheduler = paced()
    scheduler.add(ask(0, 2000, "long"))
    step(scheduler)
    for number in range(1, 2 * LATELY):
        short = ask(number, 4, "short")
        scheduler.add(short)
        step(scheduler)
        scheduler.remove(short)
    (chunk,) = scheduler.plan().chunks
    assert chunk.count < 60  # 247 where no other app may ask


def test_the_last_token_of_a_prompt_is_counted_once() -> None:
    scheduler = paced(0.02)
    assert scheduler.pace is not None
    scheduler.pace.gap_s = 1.0
    scheduler.add(ask(0, 2000, "long"))
    scheduler.add(ask(1, 1, "quiet"))
    counts = {c.sequence.id: c.count for c in scheduler.plan().chunks}
    assert counts == {0: 21, 1: 1}  # 2 (20 + 1) = 20 + 21 + 1


def test_a_step_of_others_is_followed_by_brief_ones_of_its_group() -> None:
    scheduler = paced()
    scheduler.add(ask(0, 2000, "long"))
    scheduler.add(ask(1, 1, "quiet"))
    steps = []
    for _ in range(6):
        plan = scheduler.plan()
        assert scheduler.pace is not None
        scheduler.pace.record(plan.tokens, 0.02 if plan.tokens > 1 else 0.004)
        steps.append(plan.tokens > 1)
        for chunk in plan.chunks:
            scheduler.computed(chunk)
            if chunk.samples:
                chunk.sequence.tokens.append(0)
    assert steps == [True, False, False, False, False, False]  # (20 - 4) / 0.67 - 4 = 5 * 4 - 0.1


def test_within_an_app_nothing_overtakes() -> None:
    scheduler = Scheduler(Cells(400, 8), 64)
    scheduler.add(ask(0, 200, "other"))
    step(scheduler)
    scheduler.add(ask(1, 300, "app"))
    scheduler.add(ask(2, 10, "app"))
    assert step(scheduler) == {0}


def test_an_app_that_has_less_gets_cells_of_one_that_keeps_as_much() -> None:
    scheduler = Scheduler(Cells(100, 8, 4), 64)
    for number in range(3):
        scheduler.add(ask(number, 30, "busy"))
    step(scheduler), step(scheduler)
    scheduler.add(ask(3, 25, "quiet"))
    assert step(scheduler) == {0, 1, 3}  # the youngest of the other app made room
    scheduler.add(ask(4, 25, "quiet"))
    assert step(scheduler) == {0, 1, 3}  # two to one: nothing is gained by one to two


def test_nothing_is_preempted_for_a_prompt_that_does_not_fit_all_the_same() -> None:
    scheduler = Scheduler(Cells(100, 8, 4), 64)
    for number in range(3):
        scheduler.add(ask(number, 30, "busy"))
    step(scheduler), step(scheduler)
    scheduler.add(ask(3, 80, "quiet"))
    assert step(scheduler) == {0, 1, 2}


def test_answers_of_the_app_that_has_most_make_room_for_those_of_others() -> None:
    scheduler = Scheduler(Cells(64, 8), 64)
    scheduler.add(ask(0, 20, "quiet"))
    for number in (1, 2):
        scheduler.add(ask(number, 20, "busy"))
    scheduler.add(ask(3, 2, "late"))
    while len(scheduler.running) == 4 or not scheduler.running:
        step(scheduler)
    assert {s.id for s in scheduler.running} == {0, 1, 3}  # and not the youngest of all


class LosesWhatItSetsAside(Scheduler):
    def _preempt(self, victim: Sequence, plan: StepPlan) -> None:
        super()._preempt(victim, plan)
        self.waiting.remove(victim)


class KeepsStalePositions(Scheduler):
    def _preempt(self, victim: Sequence, plan: StepPlan) -> None:
        held = victim.computed
        super()._preempt(victim, plan)
        victim.computed = held


class SetsAsideTheOldest(Scheduler):
    def _preempt(self, victim: Sequence, plan: StepPlan) -> None:
        super()._preempt(self.running[0], plan)


class ServesTheNewestFirst(Scheduler):
    def _next(self, passed: set[int], blocked: set[str]) -> Sequence | None:
        left = [s for s in self.waiting if s.arrival not in passed and s.scope not in blocked]
        return left[-1] if left else None


class SkipsTheLastAnswer(Scheduler):
    def _plan_decodes(self, plan: StepPlan, admitted: list[Sequence]) -> None:
        super()._plan_decodes(plan, admitted)
        if len(plan.chunks) > 1:
            plan.chunks.pop()


class IgnoresTheBudget(Scheduler):
    def _plan_prompts(self, plan: StepPlan, admitted: list[Sequence]) -> None:
        self.budget += 1
        super()._plan_prompts(plan, admitted)
        self.budget -= 1


class ForgetsToRelease(Scheduler):
    def remove(self, sequence: Sequence) -> None:
        slot = sequence.slot
        super().remove(sequence)
        if slot is not None and self.running:
            self.cells._own += 1


class StarvesLongPrompts(Scheduler):
    def _admit(self, plan: StepPlan) -> list[Sequence]:
        if self.waiting and self.waiting[0].pending <= self.budget:
            return super()._admit(plan)
        return []


class ServesTheOldestGroup(Scheduler):
    def _groups(self) -> list[str]:
        everybody = sorted([*self.running, *self.waiting], key=lambda s: s.arrival)
        return list(dict.fromkeys(s.adapter for s in everybody))


class MixesAdapters(Scheduler):
    def _plan_decodes(self, plan: StepPlan, admitted: list[Sequence]) -> None:
        for sequence in [s for s in self.running if s.generating and s not in admitted]:
            count = min(sequence.pending, FORCED)
            if self._make_room(sequence, count, plan):
                plan.chunks.append(Chunk(sequence, sequence.computed, count))


class KeepsAnIdleTurn(Scheduler):
    def _groups(self) -> list[str]:
        return super()._groups()[:1]


MUTANTS = [
    ServesTheOldestGroup,
    MixesAdapters,
    KeepsAnIdleTurn,
    LosesWhatItSetsAside,
    KeepsStalePositions,
    SetsAsideTheOldest,
    ServesTheNewestFirst,
    SkipsTheLastAnswer,
    IgnoresTheBudget,
    ForgetsToRelease,
    StarvesLongPrompts,
]


@pytest.mark.parametrize("mutant", MUTANTS)
def test_a_broken_scheduler_is_caught(mutant: type[Scheduler]) -> None:
    @settings(
        deadline=None,
        max_examples=300,
        database=None,
        derandomize=True,
        phases=[Phase.generate],
        report_multiple_bugs=False,
    )
    @given(scenes())
    def check(scene: Scene) -> None:
        play(scene, lambda cells, budget, fixed: mutant(cells, budget, fixed_chunks=fixed))

    with pytest.raises(AssertionError):
        check()


class CutsWhereTheBudgetEnds(Scheduler):
    def __init__(self, cells: Cells, budget: int, *, fixed_chunks: bool = False) -> None:
        super().__init__(cells, budget, fixed_chunks=False)


def test_a_scheduler_that_cuts_by_load_is_caught() -> None:
    scene = Scene(40, 4, 8, [Ask(0, 6, 2), Ask(0, 20, 2)], True, True)
    alone = Scene(40, 4, 8, scene.asks[1:], True, True)

    def make(cells: Cells, budget: int, fixed: bool) -> Scheduler:
        return CutsWhereTheBudgetEnds(cells, budget, fixed_chunks=fixed)

    assert play(scene, make).cuts[1] != play(alone, make).cuts[0]
    assert play(scene).cuts[1] == play(alone).cuts[0]
