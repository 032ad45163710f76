"""Prompts that meet an idle engine begin to answer together; nobody waits for long."""

from typing import Any

import pytest

from appliance.engine.burst import LAST, TOGETHER, Burst
from appliance.engine.cells import Cells
from appliance.engine.scheduler import Scheduler
from appliance.engine.sequence import Sequence
from appliance.engine.text.textstream import TextStream
from appliance.types import Sampling


def prompt(number: int, length: int, *, scope: str = "app", **fields: Any) -> Sequence:
    tokens = [10_000 * number + i for i in range(length)]
    return Sequence(number, tokens, Sampling(), 4, TextStream(), scope=scope, **fields)


def engine(*prompts: Sequence, fixed_chunks: bool = False) -> Scheduler:
    scheduler = Scheduler(Cells(16_384, 8), 64, fixed_chunks=fixed_chunks)
    for sequence in prompts:
        scheduler.add(sequence)
    return scheduler


def step(scheduler: Scheduler) -> list[int]:
    plan = scheduler.plan()
    answered = [chunk.sequence for chunk in plan.chunks if chunk.samples]
    for chunk in plan.chunks:
        scheduler.computed(chunk)
    for sequence in answered:
        sequence.tokens.append(7)
    return [sequence.id for sequence in answered]


def first_answers(scheduler: Scheduler, steps: int = 100) -> dict[int, int]:
    began: dict[int, int] = {}
    for number in range(steps):
        for sequence in step(scheduler):
            began.setdefault(sequence, number)
    return began


def test_a_burst_begins_to_answer_together() -> None:
    """The one that comes last is done in the step before the others' last tokens."""
    began = first_answers(engine(*(prompt(n, 100 + n) for n in range(8))))
    assert len(began) == 8 and max(began.values()) - min(began.values()) <= 1


def test_it_costs_no_more_than_one_small_step() -> None:
    """All but the last tokens fill the steps: nothing stands idle while prompts wait."""
    scheduler = engine(*(prompt(n, 100) for n in range(8)))
    sizes = []
    while not any(s.generating for s in scheduler.running):
        before = sum(s.computed for s in scheduler.running)
        step(scheduler)
        sizes.append(sum(s.computed for s in scheduler.running) - before)
    assert sizes[:-1] == [64] * (len(sizes) - 1) and sum(sizes) == 800 - 7 * LAST


@pytest.mark.parametrize(
    ("other", "waits"),
    [
        ({"length": 400}, False),
        ({"length": 200, "scope": "other"}, False),
        ({"length": 200, "adapter": "other"}, False),
        ({"length": 200}, True),
    ],
    ids=["longer", "of another app", "of another adapter", "the control"],
)
def test_who_waits_for_whom(other: dict[str, Any], waits: bool) -> None:
    began = first_answers(engine(prompt(1, 100), prompt(2, **other)))
    assert (began[1] >= began[2]) is waits


@pytest.mark.parametrize("which", [0, 1])
def test_who_lost_its_place_neither_waits_nor_is_waited_for(which: int) -> None:
    prompts = [prompt(1, 100), prompt(2, 200)]
    prompts[which].preempt()
    began = first_answers(engine(*prompts))
    assert began[1] < began[2]


def test_nobody_waits_beside_a_running_answer() -> None:
    scheduler = engine(prompt(1, 1))
    step(scheduler)
    for sequence in (prompt(2, 80), prompt(3, 160)):
        scheduler.add(sequence)
    began = first_answers(scheduler)
    assert began[2] < began[3]


def test_those_who_come_and_go_hold_up_nobody_for_ever() -> None:
    """An app that cancels and asks again cannot keep its first prompt waiting."""
    first = prompt(1, 500)
    scheduler = engine(first)
    computed, number = 0, 1
    while not first.generated:
        for other in [s for s in scheduler.running if s is not first and s.pending < 100]:
            scheduler.remove(other)
        number += 1
        scheduler.add(prompt(number, 900))
        before = {s: s.computed for s in scheduler.running}
        step(scheduler)
        computed += sum(s.computed - before.get(s, 0) for s in scheduler.running)
        assert computed < TOGETHER + 3 * 64


def test_an_answer_that_was_set_aside_does_not_wait() -> None:
    sequence = prompt(1, 100)
    sequence.tokens.append(7)
    sequence.preempt()
    assert sequence not in Burst().waiting([sequence, prompt(2, 100)])


def test_fixed_chunks_know_no_burst() -> None:
    began = first_answers(engine(prompt(1, 64), prompt(2, 64), fixed_chunks=True))
    assert began[1] < began[2]


def test_without_the_bound_the_churn_would_hold_it_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Burst, "record", lambda self, tokens: None)
    with pytest.raises(AssertionError):
        test_those_who_come_and_go_hold_up_nobody_for_ever()
