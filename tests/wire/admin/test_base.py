"""Replies read what is new, requests do not."""

from types import SimpleNamespace

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


class SaidMore(Said):
    name: str = ""
    left: int = 3


def test_a_reply_takes_from_a_record_what_both_name() -> None:
    record = SimpleNamespace(number=1, name="a", secret="s")
    assert SaidMore.told_by(record, name="b") == SaidMore(number=1, name="b", left=3)
    with pytest.raises(AttributeError):
        SaidMore.told_by(SimpleNamespace(name="a"))
