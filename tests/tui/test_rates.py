"""Rates out of counters."""

from hypothesis import given
from hypothesis import strategies as st

from appliance.wire.admin.usage import CurrentLoad, Histogram
from tui.rates import POINTS, History, RatePoint, histogram_since, quantile


def load(at: float, server: str = "a", **counters: object) -> CurrentLoad:
    return CurrentLoad.model_validate({"at": at, "server": server, **counters})


def newest(history: History) -> RatePoint | None:
    return history.newest


def test_a_rate_is_a_difference_over_the_server_s_own_time() -> None:
    history = History()
    assert newest(history) is None
    history.add(load(10, completion_tokens=100, host_busy=0, host_total=0, own_cpu=0))
    assert newest(history) is None  # one reading has no rate
    history.add(
        load(12, completion_tokens=150, host_busy=1, host_total=4, own_cpu=0.5, kv_used=1,
             kv_total=4, memory=10, memory_available=4, queued=3)
    )  # fmt: skip
    point = newest(history)
    assert point is not None
    assert (point.tokens, point.kv, point.host_cpu, point.own_cpu) == (25, 0.25, 0.25, 0.125)
    assert (point.memory, point.queued) == (0.6, 3)


def test_another_server_and_an_answer_twice_make_no_point() -> None:
    history = History()
    history.add(load(10, completion_tokens=100))
    history.add(load(10, completion_tokens=100))
    assert newest(history) is None
    history.add(load(5, "b", completion_tokens=3))
    assert newest(history) is None
    history.add(load(6, "b", completion_tokens=5))
    point = newest(history)
    assert point is not None and point.tokens == 2


@given(st.lists(st.tuples(st.floats(0, 1e6), st.integers(0, 1_000_000)), max_size=30))
def test_a_clock_that_jumps_makes_no_negative_rate(readings: list[tuple[float, int]]) -> None:
    history = History()
    for at, tokens in readings:
        history.add(load(at, completion_tokens=tokens))
    assert all(point.tokens >= 0 for point in history.points)


def test_the_history_is_bounded() -> None:
    history = History()
    for second in range(POINTS * 2):
        history.add(load(second))
    assert len(history.points) == POINTS


def test_quantiles_are_straight_lines_inside_a_bucket() -> None:
    found = Histogram(bounds=[0.1, 0.2, 0.4], counts=[0, 10, 0, 0])
    assert quantile(found, 0.5) == 0.15000000000000002
    assert quantile(Histogram(bounds=[0.1], counts=[0, 3]), 0.5) == 0.1  # beyond the last bound
    assert quantile(Histogram(), 0.5) is None
    assert quantile(Histogram(bounds=[0.1], counts=[0, 0]), 0.5) is None


def test_only_what_came_in_between_counts() -> None:
    old = Histogram(bounds=[1.0], counts=[5, 1])
    assert histogram_since(old, Histogram(bounds=[1.0], counts=[7, 0])).counts == [2, 0]
    other = Histogram(bounds=[2.0], counts=[7, 0])
    assert histogram_since(old, other) is other
