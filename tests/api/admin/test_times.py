"""Dates that people type."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.api.admin.times import microseconds
from appliance.clock import iso
from appliance.errors import BadRequest


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("2030-12-31", "2030-12-31T00:00:00Z"),
        ("2030-12-31T10:00", "2030-12-31T10:00:00Z"),
        ("2030-12-31T10:00:00Z", "2030-12-31T10:00:00Z"),
        ("2030-12-31T10:00:00+02:00", "2030-12-31T08:00:00Z"),
    ],
)
def test_a_date_is_utc_unless_it_says_otherwise(text: str, shown: str) -> None:
    assert iso(microseconds(text, "expires")) == shown


def test_microseconds_are_kept() -> None:
    assert microseconds("1970-01-01T00:00:01.000002", "since") == 1_000_002


@given(st.text(max_size=40))
def test_any_text_is_a_date_or_is_refused_by_name(text: str) -> None:
    try:
        microseconds(text, "since")
    except BadRequest as error:
        assert (error.code, error.param) == ("invalid_value", "since")


@pytest.mark.parametrize("text", ["", "tomorrow", "31.12.2030", "2030-13-01"])
def test_what_is_no_date_is_refused(text: str) -> None:
    with pytest.raises(BadRequest):
        microseconds(text, "expires")
