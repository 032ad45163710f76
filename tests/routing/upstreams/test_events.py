"""Forms of hosts' messages: bounded, and no number allocates memory."""

import json
import threading
from typing import Any

import pytest

from appliance.errors import UpstreamLost
from appliance.routing.upstreams import events
from appliance.routing.upstreams.events import (
    Event,
    EventLogprobs,
    Probed,
    TokenIds,
    decode,
    decoded,
)

TOKEN = {"token": "a", "logprob": -1}
MANY = {str(number): -1 for number in range(65)}


def test_log_probabilities_in_both_forms() -> None:
    old = {
        "tokens": ["a", "b"], "token_logprobs": [None, -1.0],
        "top_logprobs": [None, {"c": -2.0, "b": -1.0}],
    }  # fmt: skip
    first, second = decode(json.dumps(old).encode(), EventLogprobs).read()
    assert (first.logprob, first.top, second.offset) == (None, (), 1)
    assert second.top == ((b"b", -1.0), (b"c", -2.0))
    new = {"content": [{"token": "?", "bytes": [195, 164], "logprob": -1, "top_logprobs": None}]}
    (only,) = decode(json.dumps(new).encode(), EventLogprobs).read()
    assert (only.token, only.logprob) == ("ä".encode(), -1.0)


@pytest.mark.parametrize(
    "told",
    [
        {"content": [{"token": "a", "logprob": -1, "bytes": 3_000_000_000}]},
        {"content": [{"token": "a", "logprob": -1, "bytes": [0] * 5000}]},
        {"content": [{"token": "a" * 5000, "logprob": -1}]},
        {"content": [{"token": "a", "logprob": -1, "top_logprobs": [{}] * 2}]},
        {"content": [{"token": "a", "logprob": -1, "top_logprobs": [TOKEN] * 65}]},
        {"content": [TOKEN] * 70_000},
        {"tokens": ["a"], "token_logprobs": [-1], "top_logprobs": [MANY]},
        {"tokens": ["a"], "token_logprobs": [-1, -2]},
        {"tokens": ["a"], "token_logprobs": [True]},
        {"tokens": "a", "token_logprobs": [-1]},
    ],
)  # fmt: skip
def test_log_probabilities_that_are_none(told: Any) -> None:
    with pytest.raises(UpstreamLost) as caught:
        decode(json.dumps(told).encode(), EventLogprobs).read()
    assert caught.value.code == "upstream_invalid"


def test_what_means_nothing_here_is_left_out() -> None:
    data = b'{"id": "a", "choices": [], "deep": ' + b"[" * 200 + b"]" * 200 + b', "n": 1e5}'
    assert decode(data, Event).id == "a"
    with pytest.raises(UpstreamLost):  # so deep that the reader gives up
        decode(data.replace(b"[" * 200, b"[" * 100_000), Event)


async def test_large_documents_are_decoded_beside_the_loop(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    here: list[bool] = []

    def noted(data: bytes, form: type[Any]) -> Any:
        here.append(threading.current_thread() is threading.main_thread())
        return decode(data, form)

    monkeypatch.setattr(events, "decode", noted)
    await decoded(b'{"tokens": [%s1]}' % (b"1, " * 100), TokenIds)
    await decoded(b'{"tokens": [%s1]}' % (b"1, " * 60_000), TokenIds)
    assert here == [True, False]


def test_a_probe_has_choices() -> None:
    for data in (b"{}", b"[]", b"null", b'{"choices": 3}', b'{"choices": [3]}'):
        with pytest.raises(UpstreamLost, match="its answer is not what was asked for: ") as found:
            decode(data, Probed)
        assert "probed" not in found.value.message.lower()  # no name of ours
