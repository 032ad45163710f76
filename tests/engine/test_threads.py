"""The thread controller against a simulated host."""

from collections.abc import Callable

from hypothesis import given, settings
from hypothesis import strategies as st

from appliance.engine.threads import Threads


def free(count: int) -> float:
    """Step seconds on an idle host: more threads are faster."""
    return 0.02 / count + 0.002


def neighbour(cores: int) -> Callable[[int], float]:
    """Step seconds when one core is busy: asking for all of them is a cliff."""

    def seconds(count: int) -> float:
        return free(count) * (20 if count >= cores else 1)

    return seconds


def processor(host: Callable[[int], float], count: int) -> float:
    """Processor seconds of a step: all threads spin, and a busy neighbour takes one's core."""
    return host(count) * (count - (host(count) > 2 * free(count)))


def drive(threads: Threads, host: Callable[[int], float], now: float, seconds: float) -> float:
    end = now + seconds
    while now < end:
        took = host(threads.count)
        now += took
        threads.record(8, took, processor(host, threads.count), now)
        assert 1 <= threads.count <= threads.most
    return now


def share_at(threads: Threads, count: int, host: Callable[[int], float], now: float) -> float:
    hits = 0
    for _ in range(200):
        took = host(threads.count)
        hits += threads.count == count
        now += took
        threads.record(8, took, processor(host, threads.count), now)
    return hits / 200


def test_an_idle_host_keeps_all_threads_nearly_always() -> None:
    threads = Threads(2)
    now = drive(threads, free, 0, 30)
    assert share_at(threads, 2, free, now) > 0.8


def test_an_idle_host_is_hardly_ever_asked_whether_fewer_would_do() -> None:
    """A try costs steps of half the speed."""
    threads = Threads(2)
    now = fewer = steps = 0.0
    while now < 60:
        took = free(threads.count)
        now += took
        fewer += threads.count == 1
        steps += 1
        threads.record(8, took, took * threads.count, now)
    assert fewer / steps < 0.005


def test_a_neighbour_that_was_there_first_is_noticed_by_the_missing_processor_time() -> None:
    """No step was ever fast, so that none is slow: only the processor time shows it."""
    threads = Threads(2)
    host = neighbour(2)
    now = drive(threads, host, 0, 20 * host(2))
    assert share_at(threads, 1, host, now) > 0.9


def test_without_processor_times_that_neighbour_stays_unnoticed_for_long() -> None:
    threads = Threads(2)
    now, host = 0.0, neighbour(2)
    while now < 20 * host(2):
        took = host(threads.count)
        now += took
        threads.record(8, took, took * threads.count, now)
    assert threads.count == 2


def test_a_busy_neighbour_costs_one_thread_within_a_few_steps() -> None:
    threads = Threads(2)
    now = drive(threads, free, 0, 30)
    host = neighbour(2)
    for _ in range(20):
        took = host(threads.count)
        now += took
        threads.record(8, took, processor(host, threads.count), now)
    assert share_at(threads, 1, host, now) > 0.9


def test_the_thread_comes_back_when_the_neighbour_has_gone() -> None:
    threads = Threads(2)
    now = drive(threads, neighbour(2), 0, 30)
    now = drive(threads, free, now, 60)
    assert share_at(threads, 2, free, now) > 0.8


def test_a_constant_count_is_caught() -> None:
    """The control: without a controller the neighbour holds up every step."""

    class Constant(Threads):
        def record(self, tokens: int, seconds: float, cpu_seconds: float, now: float) -> int:
            return self.count

    threads = Constant(2)
    now = drive(threads, neighbour(2), 0, 30)
    assert share_at(threads, 1, neighbour(2), now) == 0


def test_one_core_never_has_anything_to_try() -> None:
    threads = Threads(1)
    drive(threads, free, 0, 10)
    assert threads.count == 1


@settings(deadline=None, max_examples=50)
@given(
    st.integers(1, 8),
    st.lists(st.tuples(st.integers(1, 600), st.floats(1e-4, 5), st.floats(0, 8)), max_size=300),
)
def test_the_count_stays_between_one_and_most(
    most: int, steps: list[tuple[int, float, float]]
) -> None:
    threads, now = Threads(most), 0.0
    for tokens, seconds, cpu in steps:
        now += seconds
        before = threads.count
        assert threads.record(tokens, seconds, seconds * cpu, now) == threads.count
        assert 1 <= threads.count <= most and abs(threads.count - before) <= 1
