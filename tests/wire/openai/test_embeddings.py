"""Texts to be embedded: accepted spellings, and refusals by name."""

from typing import Any

import pytest
from pydantic import ValidationError

from appliance.wire.openai.embeddings import MOST_TEXTS, EmbeddingRequest


def parse(value: Any, **fields: Any) -> EmbeddingRequest:
    return EmbeddingRequest.model_validate({"model": "m", "input": value, **fields})


def refused(value: Any, **fields: Any) -> tuple[str, str]:
    with pytest.raises(ValidationError) as caught:
        parse(value, **fields)
    error = caught.value.errors()[0]
    return error["type"], error["msg"]


def test_a_text_and_a_list_of_texts() -> None:
    assert parse("a").input == ["a"]
    assert parse(["a", "b"], user="u", unknown=1).input == ["a", "b"]
    assert len(parse(["a"] * MOST_TEXTS).input) == MOST_TEXTS


@pytest.mark.parametrize("ids", [[1, 2], [[1, 2]], [[1], "a"], ["a", 3]])
def test_token_ids_are_refused_with_the_reason(ids: Any) -> None:
    kind, message = refused(ids)
    assert kind == "unsupported_parameter"
    assert "check_embedding_ctx_length=False" in message


@pytest.mark.parametrize("value", ["", [], ["a", ""], ["a"] * (MOST_TEXTS + 1), None, {}, "\ud800"])
def test_what_is_no_text_is_refused(value: Any) -> None:
    assert refused(value)[0] != "unsupported_parameter"


@pytest.mark.parametrize(
    "fields", [{"encoding_format": "hex"}, {"dimensions": 0}, {"dimensions": "3"}]
)
def test_other_fields_have_their_bounds(fields: dict[str, Any]) -> None:
    refused("a", **fields)
