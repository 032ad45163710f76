"""Settings of a tuning: ranges, and methods that cannot be served."""

from typing import Any

import msgspec
import pytest

from appliance.errors import TuningRefused
from appliance.tuning.settings import TuneSettings, check


def test_nothing_said_is_what_was_measured() -> None:
    check(TuneSettings())
    assert (TuneSettings().rank, TuneSettings().alpha, TuneSettings().rate) == (16, 32.0, 1e-3)


@pytest.mark.parametrize(
    "values",
    [{"rank": 0}, {"rank": 1.5}, {"rate": 0}, {"rate": "fast"}, {"epochs": -1}, {"turbo": True}, 7],
)
def test_what_is_out_of_range_or_unknown_is_refused(values: Any) -> None:
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert(values, TuneSettings)


@pytest.mark.parametrize(
    ("method", "reason"),
    [("dora", "no magnitudes"), ("qlora", "needs a GPU"), ("full", "no such method")],
)
def test_a_method_that_cannot_be_served_is_refused_with_the_reason(
    method: str, reason: str
) -> None:
    with pytest.raises(TuningRefused, match=reason) as refused:
        check(TuneSettings(method=method))
    assert refused.value.code == "tuning_method"
