"""The body of `/v1/classify`: text alone, one or several."""

from typing import Any

import pytest
from pydantic import ValidationError

from appliance.wire.openai.classify import MOST_INPUTS, ClassifyRequest


def read(**fields: Any) -> ClassifyRequest:
    return ClassifyRequest.model_validate({"model": "t", **fields})


def test_one_text_is_a_list_of_one() -> None:
    assert read(input="a").input == ["a"]
    assert read(input=["a", "b"]).input == ["a", "b"]


@pytest.mark.parametrize("wrong", [[1, 2], [[1], [2]], ["a", 1]])
def test_token_ids_are_refused(wrong: Any) -> None:
    with pytest.raises(ValidationError) as caught:
        read(input=wrong)
    assert caught.value.errors()[0]["type"] == "unsupported_parameter"


@pytest.mark.parametrize("wrong", [None, "", [], [""], {"text": "a"}, ["a"] * (MOST_INPUTS + 1)])
def test_no_text_and_too_many_are_refused(wrong: Any) -> None:
    with pytest.raises(ValidationError):
        read(input=wrong)
