"""Numbers for a person."""

import pytest

from tui.view import units


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [(0, "<1 min"), (60, "1 min"), (3_600, "1 h"), (90_061, "1 d 1 h"), (-5, "<1 min")],
)
def test_a_time_span_has_two_units(seconds: float, shown: str) -> None:
    assert units.duration(seconds) == shown


@pytest.mark.parametrize(
    ("seconds", "shown"), [(0, "0 s"), (59.9, "59 s"), (61, "1 min"), (7_300, "2 h"), (-9, "0 s")]
)
def test_an_age_has_one_unit_and_is_never_negative(seconds: float, shown: str) -> None:
    assert units.age(seconds) == shown


def test_sizes_rates_latencies_and_counts_have_units() -> None:
    assert (units.size(5 << 20), units.size(3 << 29)) == ("5 MiB", "1.5 GiB")
    assert (units.rate(1.25), units.rate(99.96), units.rate(1234.4)) == ("1.2", "100", "1234")
    assert [units.seconds(v) for v in (None, 0.0423, 0.9999, 2.0)] == [
        "-", "42 ms", "1.0 s", "2.0 s",
    ]  # fmt: skip
    assert (units.count(1_234_567), units.count(None)) == ("1 234 567", "-")
    assert units.spaced(1_234.5, ",.2f") == "1 234.50"


@pytest.mark.parametrize("text", ["", "never", "2026-13-45T00:00:00Z", "2999-01-01T00:00:00Z"])
def test_a_time_that_cannot_be_or_is_still_to_come_is_no_time_ago(text: str) -> None:
    assert units.since(text, 1_795_000_000.0) == 0.0


def test_times_are_utc() -> None:
    assert units.since("2026-11-18T11:06:30Z", 1_795_000_000.0) == pytest.approx(10)
    assert units.since("2026-11-18T11:06:30", 1_795_000_000.0) == pytest.approx(10)
    assert units.iso(1_795_000_000.0) == "2026-11-18T11:06:40Z"
    assert units.clock("2026-11-18T11:06:40.123Z") == "2026-11-18 11:06:40"
