"""What follows from a worker's death, on plain numbers of seconds."""

import itertools

from hypothesis import given, settings
from hypothesis import strategies as st

from appliance.workers.crashes import KEY_DEATHS, MODEL_DEATHS, WINDOW_S, Death, Deaths


def test_the_numbers_of_the_design() -> None:
    assert (KEY_DEATHS, MODEL_DEATHS, WINDOW_S) == (2, 5, 600.0)


def test_two_attributed_deaths_keep_the_key_away_for_ten_minutes() -> None:
    deaths = Deaths()
    deaths.record(0, ["a", "b"])
    assert deaths.blocked_for("a", 1) == 0
    deaths.record(5, ["a"])
    assert deaths.blocked_for("a", 5) == 600
    assert (deaths.blocked(5), deaths.blocked(605)) == (["a"], [])
    assert deaths.blocked_for("a", 604) == 1
    assert deaths.blocked_for("a", 605) == 0
    assert deaths.blocked_for("b", 5) == 0
    assert deaths.blocked_for("never seen", 5) == 0


def test_two_requests_of_one_key_in_one_death_count_once() -> None:
    deaths = Deaths()
    deaths.record(0, ["a", "a"])
    assert deaths.blocked_for("a", 0) == 0


def test_deaths_further_apart_than_the_window_do_not_add_up() -> None:
    deaths = Deaths()
    deaths.record(0, ["a"])
    deaths.record(600, ["a"])
    assert deaths.blocked_for("a", 600) == 0
    deaths.record(1199, ["a"])
    assert deaths.blocked_for("a", 1199) == 600


def test_a_key_that_comes_back_and_kills_again_is_kept_away_longer() -> None:
    deaths = Deaths()
    for now in (0, 300, 899):
        deaths.record(now, ["a"])
    assert deaths.blocked_for("a", 899) == 600


def test_five_deaths_in_ten_minutes_suspend() -> None:
    deaths = Deaths()
    for now in (0, 100, 200, 300):
        deaths.record(now, [])
        assert not deaths.must_suspend(now)
    deaths.record(599, [])
    assert deaths.must_suspend(599)


def test_five_deaths_over_a_longer_time_do_not_suspend() -> None:
    deaths = Deaths()
    for now in range(0, 3000, 151):
        deaths.record(now, [])
        assert not deaths.must_suspend(now)


def test_the_first_restart_is_at_once_and_later_ones_wait_longer() -> None:
    deaths = Deaths()
    waits = []
    for now in range(5):
        deaths.record(now, [])
        waits.append(deaths.backoff(now))
    assert waits[0] == 0
    assert waits == sorted(waits) and waits[-1] > waits[1]
    assert deaths.backoff(10_000) == 0


@settings(deadline=None)
@given(
    st.lists(
        st.tuples(st.integers(0, 300), st.sets(st.sampled_from("abc"))), min_size=1, max_size=20
    )
)
def test_a_key_is_blocked_exactly_when_two_of_its_deaths_lie_within_the_window(
    gaps: list[tuple[int, set[str]]],
) -> None:
    deaths, now, history = Deaths(), 0, []
    for gap, suspects in gaps:
        now += gap
        history.append((now, suspects))
        deaths.record(now, suspects)
    for key in "abc":
        times = [t for t, who in history if key in who]
        blocked = any(
            now < second + WINDOW_S
            for first, second in itertools.pairwise(times)
            if second - first < WINDOW_S
        )
        assert (deaths.blocked_for(key, now) > 0) == blocked


def test_the_third_step_that_took_too_long_suspends_however_far_apart() -> None:
    deaths = Deaths()
    for now in (0, 40_000):
        deaths.record(now, [], stuck=True)
        assert not deaths.must_suspend(now)
    deaths.record(80_000, [])  # another death is another matter
    assert not deaths.must_suspend(80_000)
    deaths.record(86_399, [], stuck=True)
    assert "absurdly long" in deaths.reason(86_399)
    assert deaths.reason(86_400) == ""  # the first of them is a day old
    assert deaths.must_suspend(86_399)


def test_a_death_says_whether_a_step_took_too_long() -> None:
    assert Death(-14, frozenset(), "").stuck
    assert not Death(-9, frozenset({"a"}), "").stuck
