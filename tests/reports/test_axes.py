"""Axes: ticks are round, few and within; values land where the scale says."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.reports.axes import Axis, plain, spanning

FINITE = st.floats(-1e9, 1e9, allow_nan=False)


@given(st.lists(FINITE, min_size=1, max_size=20))
def test_every_value_lies_within_and_ticks_are_few(values: list[float]) -> None:
    if 0 < max(values) - min(values) < 1e-6 * max(map(abs, values)):
        return  # differences that no chart can show
    axis = spanning(values, 100, 500)
    assert all(100 - 1e-6 <= axis.at(value) <= 500 + 1e-6 for value in values)
    assert 2 <= len(axis.ticks()) <= 9


@given(st.lists(st.floats(1e-3, 1e6), min_size=1, max_size=20))
def test_a_log_axis_holds_its_values_too(values: list[float]) -> None:
    axis = spanning(values, 0, 400, log=True)
    assert all(-1e-6 <= axis.at(value) <= 400 + 1e-6 for value in values)
    assert len(axis.ticks()) >= 2


def test_equal_ratios_take_equal_room() -> None:
    axis = Axis(1, 100, 0, 200, log=True)
    assert axis.at(10) == pytest.approx(100)
    assert axis.at(1000) == 200  # beyond the end: on it
    assert axis.ticks() == [1, 2, 5, 10, 20, 50, 100]


def test_an_axis_may_run_upwards() -> None:
    assert Axis(0, 1, 300, 100).at(0.25) == 250


def test_a_log_axis_refuses_zero() -> None:
    with pytest.raises(ValueError, match="log axis"):
        spanning([0.0, 1.0], 0, 1, log=True)


def test_ticks_are_exact_decimals() -> None:
    assert [round(t, 10) for t in Axis(0.1, 0.5, 0, 1).ticks()] == [0.1, 0.2, 0.3, 0.4, 0.5]


def test_numbers_read_well() -> None:
    shown = [plain(v) for v in (0, 0.0203, 2.03, 14.2, 20, 900, 12345)]
    assert shown == ["0", "0.0203", "2.03", "14.2", "20", "900", "12,345"]
    assert math.isclose(float(plain(0.1)), 0.1)
