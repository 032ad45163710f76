"""The budget follows what steps cost, from recorded and made-up step times."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.engine.pace import Pace


def taught(fixed: float, each: float, most: int = 512, gap_s: float = 0.06) -> Pace:
    pace = Pace(most, gap_s)
    for tokens in (1, 8, 24, 8, 64, 8, 2):
        pace.record(tokens, fixed + each * tokens)
    return pace


@given(st.floats(0, 0.05), st.floats(1e-4, 0.02), st.integers(1, 64))
def test_a_step_is_planned_for_the_gap_or_half_as_long_again(
    fixed: float, each: float, decoded: int
) -> None:
    pace = taught(fixed, each, most=100_000)
    own = fixed + each * decoded
    planned = own + each * pace.budget(decoded)
    target = max(0.06, 1.5 * own)
    assert planned <= max(target, own + 8 * each) * 1.01
    assert planned + 2 * each >= target * 0.99


def test_the_cost_is_learned_and_followed_when_the_host_changes() -> None:
    pace = taught(0.003, 0.003)
    assert pace.cost(10) == pytest.approx(0.033)
    for _ in range(30):
        for tokens in (1, 8, 30):
            pace.record(tokens, 0.02 + 0.02 * tokens)  # a neighbour came
    assert pace.cost(10) == pytest.approx(0.22, rel=0.15)
    assert pace.budget(8) < 20


def test_without_answers_a_step_may_be_longer_but_ends_soon() -> None:
    pace = taught(0.003, 0.003)
    assert pace.budget(8) in {10, 11}  # (60 - 27) / 3
    assert pace.budget(0) in {81, 82}  # (250 - 3) / 3
    assert pace.budget(0, several=True) in {8, 9}  # (30 - 3) / 3: another app may come
    assert pace.budget(1, several=True) in {17, 18}  # (60 - 6) / 3: somebody reads the answer
    assert pace.budget(1, several=True, hurried=False) == 8


def test_prompts_alone_do_not_pay_the_fixed_part_of_a_large_model_for_a_few_tokens() -> None:
    pace = taught(0.3, 0.02)
    assert pace.budget(0) in {104, 105}  # (8 * 300 - 300) / 20
    assert pace.budget(0, several=True) in {44, 45}  # (4 * 300 - 300) / 20
    assert pace.budget(1) == 8  # (480 - 320) / 20: somebody reads the answer
    assert pace.budget(0, groups=2) == 8  # answers of another adapter wait for the next step


def test_nothing_known_means_no_limit_and_the_limits_hold() -> None:
    assert Pace(512, 0.06).budget(8) == 512
    assert taught(0.0, 1e-9).budget(8) == 512
    assert taught(1.0, 1.0).budget(8) == 8  # prompts never stop altogether
    assert taught(1.0, 1.0, most=4).budget(8) == 4


def test_steps_of_one_size_do_not_confuse_it() -> None:
    pace = Pace(512, 0.06)
    for _ in range(50):
        pace.record(8, 0.04)
    assert 8 <= pace.budget(8) <= 20


@given(st.lists(st.tuples(st.integers(1, 600), st.floats(1e-6, 100)), max_size=60))
def test_any_times_give_a_budget_within_limits(times: list[tuple[int, float]]) -> None:
    pace = Pace(512, 0.06)
    for tokens, seconds in times:
        pace.record(tokens, seconds)
        assert 8 <= pace.budget(tokens) <= 512
        assert pace.cost(tokens) >= 0
