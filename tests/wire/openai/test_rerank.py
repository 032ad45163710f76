"""Documents to be ranked: as texts and as objects."""

from typing import Any

import pytest
from pydantic import ValidationError

from appliance.wire.openai.rerank import MOST_DOCUMENTS, RerankRequest


def parse(documents: Any, **fields: Any) -> RerankRequest:
    body = {"model": "m", "query": "q", "documents": documents, **fields}
    return RerankRequest.model_validate(body)


def test_documents_are_texts_or_objects_with_a_text() -> None:
    assert parse(["a", {"text": "b", "title": "t"}]).documents == ["a", "b"]


@pytest.mark.parametrize(
    ("documents", "fields"),
    [
        ([], {}),
        ([""], {}),
        ([{"title": "t"}], {}),
        ([1], {}),
        ("a", {}),
        (["a"] * (MOST_DOCUMENTS + 1), {}),
        (["a"], {"query": ""}),
        (["a"], {"query": "\udfff"}),
        (["a"], {"top_n": 0}),
        (["a"], {"return_documents": "yes"}),
    ],
)
def test_what_is_not_is_refused(documents: Any, fields: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        parse(documents, **fields)
