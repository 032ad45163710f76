"""The plan: memory from a header, work from rows."""

import math

import pytest

from appliance.tuning import plan
from appliance.tuning.plan import MeasuredPace
from appliance.tuning.rows import TokenRow
from appliance.tuning.settings import TuneSettings
from tests.tuning.shapes import facts

MIB = plan.MIB


def test_an_adapter_of_rank_16_has_as_many_numbers_as_measured() -> None:
    assert plan.adapter_numbers(facts(), TuneSettings()) == 4_884_480


def test_memory_is_the_sum_and_is_told_by_purpose() -> None:
    found = plan.memory(facts(), TuneSettings(), 500 * MIB)
    parts = (found.weights, found.pairs, found.activations, found.process, found.server)
    assert found.total == sum(parts) and found.trainer == found.total - 500 * MIB
    assert found.describe().startswith(f"{found.total // MIB} MiB (weights ")


@pytest.mark.parametrize("change", [{"tokens": 1536}, {"rank": 64}, {"longest": 2048}])
def test_larger_settings_take_more(change: dict[str, int]) -> None:
    assert plan.memory(facts(), TuneSettings(**change), 0).total > (  # type: ignore[arg-type] # numbers
        plan.memory(facts(), TuneSettings(), 0).total
    )


def test_computing_again_takes_a_fraction() -> None:
    whole = plan.memory(facts(), TuneSettings(), 0).activations
    assert plan.memory(facts(), TuneSettings(recompute=True), 0).activations < whole / 3


def test_work_counts_steps_tokens_and_evaluations() -> None:
    rows = [TokenRow(str(n), (1, 5, 6), (7, 2)) for n in range(32)]
    settings = TuneSettings(batch=16, epochs=2, evaluations=2)
    found = plan.work(rows, rows[:4], settings)
    assert found.steps == 4
    assert found.tokens == 2 * 2 * (2 + 16 * 2)  # two tokens are common, two are each row's own
    assert found.scored == (2 + 4 * 2) * 5 and found.proved == 4  # four evaluations, and at the end
    pace = MeasuredPace(read=7.0, begin=3.0, token=0.5, row=0.25)
    trained = 3.0 + (found.tokens + found.scored * plan._FORWARD) / 2
    assert math.isclose(found.seconds(pace), 7.0 + trained + 1.0)
    three = plan.work(rows, rows[:4], settings, seeds=3)
    assert math.isclose(three.seconds(pace), 7.0 + 3 * trained + 1.0)
