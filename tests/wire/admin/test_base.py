"""Replies read what is new, requests do not."""

import pytest

from appliance.errors import BadRequest
from appliance.wire.admin.base import Reply, Request


class Said(Reply):
    number: int


class Asked(Request):
    number: int


def test_a_reply_allows_and_a_request_refuses_what_is_unknown() -> None:
    assert Said.model_validate({"number": 1, "new": 2}) == Said(number=1)
    assert Asked.of(number=1).number == 1
    with pytest.raises(BadRequest) as caught:
        Asked.of(number="x")
    assert caught.value.param == "number"
    with pytest.raises(BadRequest):
        Asked.of(number=1, new=2)
