"""Answers as labels and back: nothing is lost, and null is not a field that is left out."""

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from appliance.datasets.items import Item
from appliance.evals.answers import joined, parts
from appliance.evals.scoring import canonical


def items(*expected: Any) -> list[Item]:
    return [Item(f"i{n}", "g", {"text": "x"}, each) for n, each in enumerate(expected)]


def test_a_label_is_one_part() -> None:
    found = parts(items("engine", "hydraulics"))
    assert found == {"": ["engine", "hydraulics"]}
    assert joined({"": "engine"}) == "engine"


def test_null_and_a_field_that_is_left_out_stay_apart() -> None:
    found = parts(items({"part": None}, {"part": "hose", "side": "left"}))
    assert found == {"part": ["null", '"hose"'], "side": ["", '"left"']}
    assert joined({"part": "null", "side": ""}) == '{"part":null}'


_VALUES = st.none() | st.booleans() | st.integers() | st.text(max_size=5)


@given(st.lists(st.dictionaries(st.sampled_from("abc"), _VALUES), min_size=1, max_size=4))
def test_every_object_comes_back(objects: list[dict[str, Any]]) -> None:
    found = parts(items(*objects))
    for number, expected in enumerate(objects):
        assert joined({name: labels[number] for name, labels in found.items()}) == (
            canonical(expected)
        )
