"""Bodies of `/v1/search`."""

import pytest
from pydantic import ValidationError

from appliance.wire.openai.search import MOST_PASSAGES, SearchRequest

BODY = {"collection": "c", "query": "pump"}


def test_defaults() -> None:
    wanted = SearchRequest.model_validate(BODY)
    assert (wanted.limit, wanted.filters) == (10, {})


@pytest.mark.parametrize(
    "change",
    [
        {"limit": MOST_PASSAGES + 1},
        {"limit": "3"},
        {"query": ""},
        {"collection": "x" * 65},
        {"filters": {"": "a"}},
        {"filters": {str(n): "a" for n in range(21)}},
        {"stream": True},
    ],
)
def test_what_cannot_be_meant_is_refused(change: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        SearchRequest.model_validate({**BODY, **change})
