"""Half of a surrogate pair: refused in a text, found in a value."""

from typing import Any

import pytest

from appliance.wire.openai.characters import characters, half_pair


@pytest.mark.parametrize("text", ["", "é", "\U0001f600", 5, None, ["\ud800"]])
def test_what_is_no_text_or_has_characters_only_is_passed_on(text: Any) -> None:
    assert characters(text) == text


@pytest.mark.parametrize("text", ["\ud800", "a\udfff", "\udc00\ud800"])
def test_half_a_pair_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="half of a surrogate pair"):
        characters(text)


@pytest.mark.parametrize(
    ("value", "place"),
    [
        ({"a": [1, {"b": "\ud800"}]}, ("a", 1, "b")), ("\ud800", ()), ([["x"], "\udc00"], (1,)),
        ({"a": {"\ud800": 1}}, ("a",)), ({"a": ["\U0001f600", None, 1.5, True]}, None),
    ],
)  # fmt: skip
def test_its_place_is_found(value: Any, place: Any) -> None:
    assert half_pair(value) == place
