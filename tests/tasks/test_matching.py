"""Right values: computed by hand; a failure never is."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.tasks import matching
from appliance.tasks.matching import Compare
from appliance.types import JsonValue


@pytest.mark.parametrize(
    ("expected", "answer", "exact", "alike"),
    [
        ("Hose", "Hose", 1, 1),
        ("Hose", " Hose\n", 1, 1),
        ("Hose", "hose.", 0, 1),
        ("the boom hose", "Boom  hose!", 0, 1),
        ("boom hose", "hose", 0, 0),
        ("boom hose leak", "hose leak hose", 0, 0),
        ("caf\u00e9", "cafe\u0301", 1, 1),
        ("stra\u00dfe", "STRASSE", 0, 1),
        ("", "", 1, 1),
        ("", "hose", 0, 0),
        ("hose", "", 0, 0),
        ("hose", None, 0, 0),
        ("", None, 0, 0),
    ],
)
def test_texts(expected: str, answer: str | None, exact: int, alike: int) -> None:
    assert matching.same(expected, answer) == exact
    assert matching.alike(expected, answer) == alike


@given(st.text(), st.text())
def test_the_same_is_alike(expected: str, answer: str) -> None:
    assert matching.same(expected, answer) <= matching.alike(expected, answer)


@pytest.mark.parametrize(
    ("answer", "score"),
    [("10.4", 1), ("10.6", 0), ("-10", 0), ("ten", 0), ("", 0), (None, 0), ("nan", 0), ("inf", 0)],
)
def test_numbers_within_a_tolerance(answer: str | None, score: int) -> None:
    assert matching.near(10, answer, absolute=0.5) == score
    assert matching.near(10, answer, relative=0.05) == score


def test_a_pattern_must_match_the_whole_answer() -> None:
    assert matching.pattern(r"[A-Z]\d+", "A12") == 1
    assert matching.pattern(r"[A-Z]\d+", "A12 or B13") == 0
    assert matching.pattern(r".*", None) == 0


@pytest.mark.parametrize("pattern", ["[", "(a)\\1", "a(?=b)"])
def test_what_is_no_pattern_of_linear_time_is_refused(pattern: str) -> None:
    with pytest.raises(ValueError, match="no regular expression"):
        matching.pattern(pattern, "a")


def test_a_pattern_cannot_take_for_ever() -> None:
    assert matching.pattern("(a+)+b", "a" * 50_000) == 0


def test_fields_agree_in_value_and_type() -> None:
    expected: dict[str, JsonValue] = {"part": "hose", "hours": 2, "urgent": True, "side": None}
    given: dict[str, JsonValue] = {"part": " hose", "hours": 2.0, "urgent": 1, "extra": "x"}
    right = matching.fields_right(expected, given, {})
    assert right == {"part": 1, "hours": 1, "urgent": 0, "side": 0}
    assert set(matching.fields_right(expected, None, {}).values()) == {0}
    assert matching.fields_right({"side": None}, {}, {}) == {"side": 0}  # left out is not null


NEAR = {
    "hours": Compare(absolute=0.5),
    "count": Compare(relative=0.1),
    "note": Compare("pattern"),
    "part": Compare("normalised"),
}


@pytest.mark.parametrize(
    ("name", "expected", "answer", "right"),
    [
        ("hours", 4, 4.5, 1),
        ("hours", 4, 4.6, 0),
        ("hours", 4, None, 0),
        ("hours", "4", "4.4", 1),
        ("hours", "about 4", "about 4", 1),
        ("hours", "about 4", "4", 0),
        ("count", 100, 109, 1),
        ("count", 100, 111, 0),
        ("count", 1, True, 0),
        ("note", "WO-[0-9]+", "WO-77", 1),
        ("note", "WO-[0-9]+", "WO-77 or so", 0),
        ("part", "boom hose", "Boom hose.", 1),
        ("side", "left", "Left", 0),
    ],
)
def test_values_may_differ_as_much_as_the_task_says(
    name: str, expected: Any, answer: Any, right: int
) -> None:
    assert matching.fields_right({name: expected}, {name: answer}, NEAR) == {name: right}
