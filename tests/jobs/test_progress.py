"""Reports turned into progress: rate and time left."""

from hypothesis import given
from hypothesis import strategies as st

from appliance.jobs.progress import WINDOW_S, Meter, Progress


def test_the_first_report_has_no_rate() -> None:
    told = Meter().note(5.0, "copying", 10, 100, "bytes")
    assert told == Progress("copying", 10, 100, "bytes", None)
    assert told.seconds_left is None


def test_a_steady_pace_is_the_rate_and_says_what_is_left() -> None:
    meter = Meter()
    for second in range(5):
        meter.note(float(second), "copying", 20 * second, 200, "bytes")
    told = meter.note(5.0, "copying", 100, 200, "bytes")
    assert told.rate == 20.0
    assert told.seconds_left == 5


def test_the_rate_follows_a_medium_that_became_slow() -> None:
    meter = Meter()
    for second in range(100):
        meter.note(float(second), "copying", 1000 * second, 10**6, "bytes")
    for second in range(100, 100 + int(WINDOW_S) + 2):
        meter.note(float(second), "copying", 99_000 + (second - 99), 10**6, "bytes")
    told = meter.note(112.0, "copying", 99_013, 10**6, "bytes")
    assert told.rate is not None
    assert told.rate < 2


def test_a_new_phase_begins_without_the_rate_of_the_one_before() -> None:
    meter = Meter()
    meter.note(0.0, "copying", 0, 10, "bytes")
    meter.note(1.0, "copying", 10, 10, "bytes")
    assert meter.note(2.0, "hashing", 0, 10, "bytes").rate is None


def test_a_total_that_is_not_known_says_nothing_about_the_time() -> None:
    meter = Meter()
    meter.note(0.0, "reading", 0, 0, "entries")
    assert meter.note(1.0, "reading", 5, 0, "entries").seconds_left is None


@given(st.lists(st.tuples(st.floats(0, 5), st.integers(0, 1000)), min_size=1, max_size=300))
def test_the_rate_is_never_negative_and_the_samples_stay_few(
    steps: list[tuple[float, int]],
) -> None:
    meter, now, done = Meter(), 0.0, 0
    for seconds, more in steps:
        now, done = now + seconds, done + more
        told = meter.note(now, "p", done, done + 1, "bytes")
        assert told.rate is None or told.rate >= 0
    assert len(meter._samples) <= 2 * WINDOW_S / 0.5 + 4
