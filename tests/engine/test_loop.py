"""The batching loop with a model whose every answer depends on every cell of its own sequence."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace

import numpy as np
import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from appliance.engine import prefixes
from appliance.engine.cells import Cells
from appliance.engine.loop import Engine
from appliance.engine.pace import Pace
from appliance.engine.prefixes import SHORTEST, CopyCells, Operation
from appliance.engine.protocol import Row
from appliance.engine.scheduler import Chunk, Scheduler
from appliance.engine.sequence import Sequence
from appliance.engine.text.textstream import TextStream
from appliance.types import Sampling
from tests.engine.hash_model import END, Cell, HashModel

pytestmark = pytest.mark.long

GREEDY = Sampling(temperature=0)


@dataclass(frozen=True)
class Ask:
    tokens: tuple[int, ...]
    max_tokens: int
    sampling: Sampling = GREEDY
    stop: tuple[str, ...] = ()
    ignore_eos: bool = False
    min_tokens: int = 0
    arrives: int = 0
    cancelled: int | None = None
    scope: str = ""
    shared: int = 0
    adapter: str = ""

    def sequence(self, number: int) -> Sequence:
        return Sequence(
            id=number,
            tokens=list(self.tokens),
            sampling=self.sampling,
            max_tokens=self.max_tokens,
            stream=TextStream(self.stop),
            ignore_eos=self.ignore_eos,
            min_tokens=self.min_tokens,
            scope=self.scope,
            shared=self.shared,
            adapter=self.adapter,
        )


@dataclass
class Answer:
    text: str = ""
    tokens: int = 0
    finish: str | None = None

    def take(self, row: Row) -> None:
        assert self.finish is None, "a row after the last one"
        self.text += row.text
        self.tokens += row.tokens
        self.finish = row.finish


@dataclass(frozen=True)
class Scene:
    capacity: int
    slots: int
    budget: int
    asks: list[Ask] = field(default_factory=list)
    separate: bool = False
    kept: int = 0
    each_s: float = 0  # what a token costs, if the engine is to pace itself


Make = Callable[[Scene], HashModel]


def plain(scene: Scene) -> HashModel:
    return HashModel(scene.capacity, scene.slots, scene.kept, separate=scene.separate)


def play(scene: Scene, make: Make = plain) -> dict[int, Answer]:
    model = make(scene)
    cells = Cells(scene.capacity, scene.slots, scene.kept, separate=scene.separate)
    pace = None
    if scene.each_s and not scene.separate:
        pace = Pace(scene.budget, 0.06)
        pace.record(1, scene.each_s)
    scheduler = Scheduler(cells, scene.budget, pace, fixed_chunks=scene.separate)
    engine = Engine(model, scheduler)
    for adapter in {ask.adapter for ask in scene.asks} - {""}:
        engine.attach(adapter, -1)
    answers: dict[int, Answer] = {}
    last = max(a.arrives for a in scene.asks)
    for step in range(3000):
        if step > last and not engine.busy():
            break
        for number, ask in enumerate(scene.asks):
            if ask.arrives == step:
                engine.add(ask.sequence(number))
                answers[number] = Answer()
            if ask.cancelled is not None and ask.arrives + ask.cancelled == step:
                engine.cancel(number)
                engine.cancel(number)
        result = engine.step()
        for row in result.rows:
            answers[row.id].take(row)
        assert result.cells_used == engine.cells.used - engine.cells.kept
        assert scene.separate or model.used() == engine.cells.used, "not what the cache holds"
        assert result.running + result.waiting == sum(a.finish is None for a in answers.values())
    else:
        raise AssertionError("the engine never came to rest")
    assert engine.cells.used == engine.cells.kept == model.used(), "cells were left behind"
    assert all(slot >= scene.slots for slot in model.kv), "a slot was left behind"
    assert all(a.finish for a in answers.values()), "an answer without an end"
    return answers


def alone(ask: Ask) -> Answer:
    size = len(ask.tokens) + ask.max_tokens
    quiet = Ask(
        ask.tokens,
        ask.max_tokens,
        ask.sampling,
        ask.stop,
        ask.ignore_eos,
        ask.min_tokens,
        adapter=ask.adapter,
    )
    return play(Scene(size, 1, size, [quiet]))[0]


def check_isolation(scene: Scene, make: Make = plain) -> None:
    answers = play(scene, make)
    for number, ask in enumerate(scene.asks):
        expected, got = alone(ask), answers[number]
        if got.finish == "cancelled":
            assert ask.cancelled is not None
            assert expected.text.startswith(got.text) and got.tokens <= expected.tokens
        else:
            assert got == expected


HEADS = [(), tuple(range(SHORTEST)), tuple(range(2, SHORTEST + 4))]


@st.composite
def asks(draw: st.DrawFn, capacity: int) -> Ask:
    head = [t for t in draw(st.sampled_from(HEADS)) if len(HEADS[2]) < capacity - 2]
    longest = min(20, capacity - 1 - len(head))
    tokens = head + draw(st.lists(st.integers(0, END - 1), min_size=1, max_size=longest))
    limit = draw(st.integers(1, min(24, capacity - len(tokens))))
    sampling = Sampling(
        temperature=draw(st.sampled_from([0, 0.7, 1.5])),
        top_k=draw(st.sampled_from([0, 1, 5])),
        top_p=draw(st.sampled_from([1.0, 0.8])),
        min_p=draw(st.sampled_from([0.0, 0.1])),
        seed=draw(st.integers(0, 2**63)),
    )
    return Ask(
        tuple(tokens),
        limit,
        sampling,
        stop=draw(st.sampled_from([(), ("ab",), ("c", "de")])),
        ignore_eos=draw(st.booleans()),
        min_tokens=draw(st.integers(0, 4)),
        arrives=draw(st.integers(0, 12)),
        cancelled=draw(st.none() | st.integers(0, 20)),
        scope=draw(st.sampled_from("aab")),
        shared=draw(st.sampled_from([0, len(head)])),
        adapter=draw(st.sampled_from(["", "", "one", "two"])),
    )


@st.composite
def scenes(draw: st.DrawFn) -> Scene:
    capacity = draw(st.integers(6, 80))
    return Scene(
        capacity,
        draw(st.integers(1, 5)),
        draw(st.integers(1, 12)),
        draw(st.lists(asks(capacity), min_size=1, max_size=7)),
        separate := draw(st.booleans()),
        0 if separate else draw(st.integers(0, 6)),
        draw(st.sampled_from([0, 0.001, 0.02])),
    )


@settings(deadline=None, max_examples=250)
@given(scenes())
def test_answers_are_those_of_an_idle_engine_whatever_else_runs(scene: Scene) -> None:
    check_isolation(scene)


class LeaksACell(HashModel):
    def write(self, chunk: Chunk) -> None:
        super().write(chunk)
        slot = chunk.sequence.slot
        for other, cells in self.kv.items():
            if other != slot and cells and slot is not None:
                self.kv[slot].setdefault(1000, cells[min(cells)])

    def check_room(self, chunks: Iterable[Chunk]) -> None:
        """Not the point here."""


class NeverForgets(HashModel):
    def follow(self, operations: Iterable[Operation]) -> None:
        super().follow([do for do in operations if isinstance(do, CopyCells)])

    def write(self, chunk: Chunk) -> None:
        slot = chunk.sequence.slot or 0
        for position in range(chunk.start, chunk.start + chunk.count):
            self.kv.get(slot, {}).pop(position, None)
        super().write(chunk)

    def check_room(self, chunks: Iterable[Chunk]) -> None:
        """Not the point here."""


class WritesToTheWrongSlot(HashModel):
    def write(self, chunk: Chunk) -> None:
        super().write(chunk)
        for slot, cells in self.kv.items():
            if slot != chunk.sequence.slot and cells:
                cells[max(cells)] = Cell(chunk.sequence.tokens[chunk.start], "")


class OffByOne(HashModel):
    def write(self, chunk: Chunk) -> None:
        if chunk.start and chunk.count > 1:
            chunk = Chunk(chunk.sequence, chunk.start + 1, chunk.count - 1)
        super().write(chunk)


class SwapsRows(HashModel):
    def forward(self, chunks: Iterable[Chunk]) -> NDArray[np.float32]:
        return super().forward(list(chunks))[::-1]


class CopiesShort(HashModel):
    def follow(self, operations: Iterable[Operation]) -> None:
        super().follow(
            [replace(do, end=do.end - 1) if isinstance(do, CopyCells) else do for do in operations]
        )


@pytest.mark.parametrize(
    "broken", [LeaksACell, NeverForgets, WritesToTheWrongSlot, OffByOne, SwapsRows, CopiesShort]
)
def test_a_cache_that_leaks_is_caught(broken: type[HashModel]) -> None:
    """The control: each fault changes an answer of some scene."""

    @settings(
        deadline=None,
        max_examples=150,
        database=None,
        derandomize=True,
        phases=[Phase.generate],
        report_multiple_bugs=False,
    )
    @given(scenes())
    def check(scene: Scene) -> None:
        check_isolation(scene, lambda s: broken(s.capacity, s.slots, s.kept, separate=s.separate))

    with pytest.raises(AssertionError):
        check()


def test_an_engine_that_shares_cells_between_adapters_is_caught(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The control: a tree that does not look at the adapter."""
    head = tuple(range(SHORTEST + 4))
    requests = [
        Ask((*head, i), 4, ignore_eos=True, adapter=adapter, arrives=9 * i)
        for i, adapter in enumerate(["", "one"])
    ]
    scene = Scene(120, 2, 8, requests, kept=6)
    check_isolation(scene)
    found = prefixes.scope_of

    def without_adapter(sequence: Sequence, at: int) -> tuple[prefixes.Scope, int]:
        scope, bound = found(sequence, at)
        return ("", *scope[1:]), bound

    monkeypatch.setattr(prefixes, "scope_of", without_adapter)
    with pytest.raises(AssertionError):
        check_isolation(scene)


@pytest.mark.parametrize(("adapter", "running"), [("one", 1), ("two", 2)])
def test_nobody_waits_for_a_prefix_of_another_adapter(adapter: str, running: int) -> None:
    engine = Engine(HashModel(200, 3, 4), Scheduler(Cells(200, 3, 4), 8))
    for name in ("one", "two"):
        engine.attach(name, -1)
    for number, of in enumerate(["one", adapter]):
        engine.add(Ask((*range(40), number), 2, adapter=of).sequence(number))
    engine.step()
    engine.step()
    assert len(engine.scheduler.running) == running


def test_an_adapter_that_is_detached_ends_its_answers_and_no_others() -> None:
    engine = Engine(model := HashModel(64, 4), Scheduler(Cells(64, 4), 16))
    engine.attach("one", -1)
    for number, adapter in enumerate(["", "one", "one"]):
        engine.add(Ask((1, 2, number), 8, ignore_eos=True, adapter=adapter).sequence(number))
    rows = [row for _ in range(4) for row in engine.step().rows]
    assert {row.id for row in rows} == {0, 1, 2}
    engine.detach("one")
    engine.detach("one")  # it is not there any more
    assert model.adapters == [""]
    step = engine.step()
    assert [(r.id, r.finish) for r in step.rows if r.finish] == [(1, "detached"), (2, "detached")]
    engine.add(Ask((1, 2), 8, adapter="one").sequence(3))  # prepared before, run after
    engine.cancel(3)
    rows = []
    while engine.busy():
        rows += engine.step().rows
    assert {row.id: row.finish for row in rows} == {3: "detached", 0: "length"}
    assert engine.cells.used == engine.cells.kept == model.used()


def test_a_preempted_request_says_the_same_and_the_client_sees_only_time() -> None:
    requests = [Ask((1, 2, 3, 4), 12, ignore_eos=True), Ask((5, 6, 7, 8), 12, ignore_eos=True)]
    model = HashModel(20, 2)
    engine = Engine(model, Scheduler(Cells(20, 2), 8))
    answers = {n: Answer() for n in range(2)}
    for number, ask in enumerate(requests):
        engine.add(ask.sequence(number))
    while engine.busy():
        for row in engine.step().rows:
            answers[row.id].take(row)
    starts = [start for call in model.calls for i, start, _ in call if i == 1]
    assert starts.count(0) >= 2  # it was preempted and computed again
    assert [answers[n] for n in range(2)] == [alone(a) for a in requests]


def first_step_texts(ask: Ask, count: int) -> list[Row]:
    engine = Engine(HashModel(64, 1), Scheduler(Cells(64, 1), 64))
    engine.add(ask.sequence(0))
    rows: list[Row] = []
    while engine.busy() and len(rows) < count:
        rows += engine.step().rows
    return rows


def find_ending(minimum: int) -> Ask:
    for first in range(END):
        for second in range(END):
            ask = Ask((first, second), 30)
            answer = alone(ask)
            if answer.finish == "stop" and answer.tokens <= minimum:
                return ask
    raise AssertionError("no such request")


def test_the_end_token_stops_the_text_and_is_not_part_of_it() -> None:
    ask = find_ending(5)
    answer = alone(ask)
    assert answer.finish == "stop" and len(answer.text) == answer.tokens - 1


def test_ignore_eos_goes_on_to_the_limit() -> None:
    ask = find_ending(5)
    answer = alone(Ask(ask.tokens, 30, ignore_eos=True))
    assert (answer.finish, answer.tokens) == ("length", 30)


def test_min_tokens_forbids_the_end_token_before_that_many() -> None:
    ask = find_ending(5)
    answer = alone(Ask(ask.tokens, 30, min_tokens=10))
    assert answer.tokens > 10 or answer.finish == "length"
    assert len(answer.text) >= 10


def test_min_tokens_delays_a_stop_string() -> None:
    text = alone(Ask((3, 1), 20, ignore_eos=True)).text
    ask = Ask((3, 1), 20, stop=(text[1],), ignore_eos=True)
    assert alone(ask).text == text[:1]
    delayed = alone(Ask((3, 1), 20, stop=(text[1],), ignore_eos=True, min_tokens=4))
    assert delayed.text[:3] == text[:3]


def test_a_stop_string_is_cut_off_and_ends_the_answer() -> None:
    text = alone(Ask((3, 1), 20, ignore_eos=True)).text
    answer = alone(Ask((3, 1), 20, stop=(text[6:9],), ignore_eos=True))
    assert answer.text == text[: text.index(text[6:9])]
    assert answer.finish == "stop"


def test_half_a_stop_string_at_the_limit_is_text() -> None:
    text = alone(Ask((3, 1), 5, ignore_eos=True)).text
    answer = alone(Ask((3, 1), 5, stop=(text[-1] + "zzz",), ignore_eos=True))
    assert (answer.text, answer.finish) == (text, "length")


def test_a_cancelled_request_ends_at_the_next_step_in_every_state() -> None:
    model = HashModel(64, 1)
    engine = Engine(model, Scheduler(Cells(64, 1), 4))
    engine.add(Ask(tuple(range(20)), 5).sequence(0))  # five steps of prefill
    engine.add(Ask((1, 2), 5).sequence(1))  # queued: there is one slot
    first = engine.step()
    assert (first.rows, first.running, first.waiting) == ([], 1, 1)
    engine.cancel(0)
    engine.cancel(1)
    last = engine.step()
    assert [(r.id, r.finish, r.text) for r in last.rows] == [
        (0, "cancelled", ""),
        (1, "cancelled", ""),
    ]
    assert (last.running, last.waiting, last.cells_used) == (0, 0, 0)
    assert not engine.busy() and not model.kv


def test_cancelling_what_is_not_there_does_nothing() -> None:
    engine = Engine(HashModel(8, 1), Scheduler(Cells(8, 1), 4))
    engine.cancel(7)
    assert engine.step().rows == []
    assert not engine.busy()


def test_a_request_that_ends_and_is_cancelled_at_once_reports_one_end() -> None:
    engine = Engine(HashModel(8, 1), Scheduler(Cells(8, 1), 4))
    engine.add(Ask((1,), 1).sequence(0))
    (row,) = engine.step().rows
    assert row.finish in {"stop", "length"}
    engine.cancel(0)
    assert engine.step().rows == []


def run(engine: Engine) -> dict[int, tuple[str, int]]:
    texts: dict[int, tuple[str, int]] = {}
    for _ in range(500):
        if not engine.busy():
            return texts
        for row in engine.step().rows:
            texts[row.id] = (texts.get(row.id, ("", 0))[0] + row.text, row.reused)
    raise AssertionError("the engine never came to rest")


def computed(model: HashModel, number: int) -> int:
    return sum(count for call in model.calls for i, _, count in call if i == number)


LONG = tuple(t % END for t in range(40))


def test_a_second_prompt_of_the_app_computes_only_what_is_new() -> None:
    model = HashModel(200, 2, 8)
    engine = Engine(model, Scheduler(Cells(200, 2, 8), 64))
    for number in range(2):
        engine.add(Ask((*LONG, number), 3, scope="a", ignore_eos=True).sequence(number))
        text, reused = run(engine)[number]
        assert reused == (40 if number else 0)
        assert text == alone(Ask((*LONG, number), 3, ignore_eos=True)).text
    assert (computed(model, 0), computed(model, 1)) == (41 + 2, 1 + 2)


def test_another_app_computes_all_of_it_unless_it_is_registered() -> None:
    for shared, expected in [(0, 0), (30, 30)]:
        engine = Engine(HashModel(200, 2, 8), Scheduler(Cells(200, 2, 8), 64))
        engine.add(Ask((*LONG, 1), 3, scope="a", shared=shared).sequence(0))
        run(engine)
        engine.add(Ask((*LONG, 1), 3, scope="b", shared=shared).sequence(1))
        assert run(engine)[1][1] == expected


def test_requests_that_come_together_compute_a_new_prefix_once() -> None:
    model = HashModel(400, 4, 8)
    engine = Engine(model, Scheduler(Cells(400, 4, 8), 20))
    for number in range(6):
        engine.add(Ask((*LONG, number), 3, scope="a", ignore_eos=True).sequence(number))
    texts = run(engine)
    assert [texts[n][1] for n in range(6)] == [0, 40, 40, 40, 40, 40]
    assert sum(computed(model, n) for n in range(6)) == 40 + 6 * (1 + 2)
    for number in range(6):
        assert texts[number][0] == alone(Ask((*LONG, number), 3, ignore_eos=True)).text


def test_a_follower_whose_leader_is_cancelled_goes_on_by_itself() -> None:
    engine = Engine(HashModel(400, 4, 8), Scheduler(Cells(400, 4, 8), 16))
    for number in range(2):
        engine.add(Ask((*LONG, number), 3, scope="a", ignore_eos=True).sequence(number))
    engine.step()
    engine.cancel(0)
    assert run(engine)[1] == (alone(Ask((*LONG, 1), 3, ignore_eos=True)).text, 16)


def test_an_app_with_one_request_gets_a_slot_from_one_that_floods() -> None:
    engine = Engine(HashModel(400, 4, 8), Scheduler(Cells(400, 4, 8), 64))
    for number in range(8):
        engine.add(Ask((number, 1), 40, scope="flood", ignore_eos=True).sequence(number))
    engine.step()
    engine.add(Ask((9, 1), 3, scope="quiet", ignore_eos=True).sequence(9))
    ended: list[int] = []
    while engine.busy():
        ended += [row.id for row in engine.step().rows if row.finish]
    assert ended[0] == 9 and sorted(ended) == [*range(8), 9]


def test_without_another_app_nobody_is_set_aside_for_a_slot() -> None:
    model = HashModel(400, 4, 8)
    engine = Engine(model, Scheduler(Cells(400, 4, 8), 64))
    for number in range(9):
        engine.add(Ask((number, 1), 10, scope="flood", ignore_eos=True).sequence(number))
    run(engine)
    assert [computed(model, n) for n in range(9)] == [2 + 9] * 9
