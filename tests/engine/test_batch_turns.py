"""Batch work beside other work, counted in steps: held back, then a part, then all again."""

from dataclasses import dataclass

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from appliance.engine.batch_turns import BatchTurns
from appliance.engine.cells import Cells
from appliance.engine.pace import Pace
from appliance.engine.scheduler import Scheduler
from appliance.engine.sequence import Sequence
from appliance.engine.text.textstream import TextStream
from appliance.types import Sampling


@dataclass
class Moment:
    seconds: float = 0.0

    def __call__(self) -> float:
        return self.seconds


def turns(percent: int = 5) -> tuple[BatchTurns, Moment]:
    now = Moment()
    return BatchTurns(600, percent, now), now


def part_of(made: BatchTurns, steps: int) -> int:
    had = 0
    for _ in range(steps):
        if made.take_part(batch=True, other=True):
            made.took_part()
            had += 1
    return had


@pytest.mark.parametrize(("percent", "of_1000"), [(5, 50), (1, 10), (50, 500)])
def test_after_ten_minutes_it_gets_its_part_and_alone_it_gets_all(
    percent: int, of_1000: int
) -> None:
    made, now = turns(percent)
    assert part_of(made, 1000) == 0
    now.seconds = 599.9
    assert part_of(made, 1000) == 0
    now.seconds = 600.0
    assert part_of(made, 1000) == of_1000
    for seconds, then in ((6.0 * percent - 1, of_1000), (12.0 * percent, 0)):
        assert made.take_part(batch=True, other=False)
        now.seconds += seconds
        assert part_of(made, 1000) == then, "it waits again once it was alone for its part"


def test_work_with_gaps_holds_it_back_no_longer() -> None:
    """One app, a request at a time: in each gap the batch is alone for a step."""
    made, now = turns()
    found = []
    for _ in range(1000):
        found.append(part_of(made, 20))
        now.seconds += 1.0
        assert made.take_part(batch=True, other=False)
        now.seconds += 0.04
    assert found == [0] * 577 + [1] * 423, "a gap of four percent is less than its part"


def test_a_pause_between_two_lines_is_no_end() -> None:
    made, now = turns()
    part_of(made, 1)
    now.seconds = 600.0
    assert not made.take_part(batch=False, other=True)
    now.seconds = 629.0
    assert part_of(made, 20) == 1
    assert not made.take_part(batch=False, other=True)
    now.seconds = 660.0  # the next batch comes: it has not waited
    assert part_of(made, 1000) == 0


class Host:
    def __init__(self, slots: int = 4, cells: int = 400, percent: int = 5) -> None:
        self.turns, self.now = turns(percent)
        self.scheduler = Scheduler(Cells(cells, slots), 64, batches=self.turns)
        self.steps = 0
        self._number = 0

    def ask(
        self,
        app: str,
        tokens: int,
        *,
        batch: bool = False,
        prompt: int = 8,
        adapter: str = "",
        weight: int = 1,
    ) -> Sequence:
        self._number += 1
        text = [1000 * self._number + i for i in range(prompt)]
        sequence = Sequence(
            self._number, text, Sampling(), tokens, TextStream(), scope=app, batch=batch
        )
        sequence.adapter, sequence.weight = adapter, weight
        self.scheduler.add(sequence)
        return sequence

    def step(self) -> set[Sequence]:
        self.steps += 1
        plan = self.scheduler.plan()
        for chunk in plan.chunks:
            sequence = chunk.sequence
            self.scheduler.computed(chunk)
            if chunk.samples:
                sequence.tokens.append(len(sequence.tokens))
                if sequence.generated == sequence.max_tokens:
                    self.scheduler.remove(sequence)
        if self.scheduler.pace is not None:
            long = any(chunk.sequence.scope == "file" for chunk in plan.chunks)
            self.scheduler.pace.record(plan.tokens, 0.03 if long else 0.007)
        return {chunk.sequence for chunk in plan.chunks}


def test_batch_work_stops_at_the_next_step_and_goes_on_when_none_waits() -> None:
    host = Host()
    lines = [host.ask("night", 100, batch=True) for _ in range(4)]  # all slots
    for _ in range(5):
        assert host.step() == set(lines)
    before = [line.generated for line in lines]
    asked = [host.ask("desk", 10) for _ in range(4)]
    while any(one.generated < 10 for one in asked):
        assert not host.step() & set(lines)
    assert [line.generated for line in lines] == before
    alone = Host()
    same = [alone.ask("desk", 10) for _ in range(4)]
    while any(one.generated < 10 for one in same):
        alone.step()
    assert host.steps - 5 == alone.steps, "as many steps as without the batch"
    while any(line.generated < 100 for line in lines):
        assert host.step() <= set(lines)


@pytest.mark.parametrize("other", [True, False], ids=["batch work", "an app"])
def test_a_prompt_beside_batch_work_takes_steps_as_if_alone(other: bool) -> None:
    """Beside another app's it takes short ones, since that may ask again at any moment."""
    host, alone = Host(cells=4000), Host(cells=4000)
    for each in (host, alone):
        each.ask("desk", 3)
        for _ in range(3):
            each.step()
    line = host.ask("night", 4, batch=other)
    host.step()
    prompts = [each.ask("desk", 1, prompt=300) for each in (host, alone)]
    for each in (host, alone):
        each.scheduler.pace = Pace(512, 0.06)
        for tokens in range(1, 100):
            each.scheduler.pace.record(tokens, 0.003 + 0.003 * tokens)
        each.step()
    assert line.generated and (prompts[0].computed == prompts[1].computed) is other


def test_a_full_cache_of_batch_work_makes_room_at_once() -> None:
    host = Host(slots=2, cells=64)
    lines = [host.ask("night", 20, batch=True, prompt=12) for _ in range(2)]
    for _ in range(12):
        host.step()
    asked = host.ask("desk", 4, prompt=56)  # the whole cache
    while asked.generated < 4:
        assert host.step() <= {asked}
    while any(line.generated < 20 for line in lines):
        host.step()


def test_a_starved_batch_gets_one_step_in_twenty_and_keeps_its_slot() -> None:
    host = Host(slots=2)
    line = host.ask("night", 50, batch=True)
    host.step()
    host.ask("desk", 300), host.ask("desk", 300)  # with the batch's both slots and one more
    host.step()
    host.now.seconds = 600.0
    had = [line in host.step() for _ in range(200)]
    assert sum(had) == 10 and had.count(True) == had[19::20].count(True)


ADAPTERS = st.sampled_from(["", "a", "b"])


@settings(derandomize=True, deadline=None, max_examples=40)
@given(
    slots=st.integers(1, 5),
    apps=st.lists(
        st.tuples(ADAPTERS, st.sampled_from([1, 4]), st.integers(1, 9)), min_size=1, max_size=3
    ),
    batch=st.lists(ADAPTERS, min_size=1, max_size=3),
)
def test_a_starved_batch_gets_its_steps_beside_all_apps_and_adapters(
    slots: int, apps: list[tuple[str, int, int]], batch: list[str]
) -> None:
    """Each app asks again at once, so that no slot is free and each adapter has something to do."""
    host, asked = Host(slots), dict[int, Sequence]()
    lines = [host.ask("night", 3, batch=True, adapter=adapter) for adapter in batch]

    def step() -> bool:
        for number, (adapter, weight, tokens) in enumerate(apps * 4):
            if number not in asked or asked[number].generated == tokens:
                asked[number] = host.ask(f"app{number}", tokens, adapter=adapter, weight=weight)
        return not host.step().isdisjoint(lines)

    for _ in range(20):
        step()
    host.now.seconds = 600.0
    had = [step() for _ in range(20 * 4 * len(lines) + 40)]  # four steps each
    assert sum(had[: 20 * len(lines)]) <= len(lines) + 3, "four at once if others lack their slot"
    assert all(line.generated == 3 for line in lines)


def test_a_starved_batch_gets_its_steps_while_an_app_is_owed_time() -> None:
    host = Host(cells=40_000)
    host.scheduler.pace = Pace(512, 0.06)
    host.ask("desk", 400)
    prompt = host.ask("file", 1, prompt=30_000)
    lines = [host.ask("night", 3, batch=True) for _ in range(2)]
    for _ in range(20):
        host.step()
    host.now.seconds = 600.0
    steps = [host.step() for _ in range(200)]
    assert [line.generated for line in lines] == [3, 3]
    assert 10 < sum(prompt in step for step in steps) < 100


def test_without_the_rule_batch_work_takes_part() -> None:
    """The control: the same counts catch a scheduler that holds nothing back."""
    host = Host()
    line = host.ask("night", 100, batch=True)
    host.ask("desk", 10)
    host.turns.take_part = lambda *, batch, other: True  # type: ignore[method-assign]
    assert line in host.step()
