"""Messages on the socket: exact round trips, and nothing else is accepted."""

from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from appliance.engine import protocol
from appliance.errors import BadRequest
from appliance.types import Sampling, Tools
from tests.prepare import prepare

u31 = st.integers(0, 2**31)
texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
samplings = st.builds(
    Sampling,
    temperature=st.floats(0, 2),
    top_k=st.integers(0, 100),
    top_p=st.floats(0.01, 1),
    min_p=st.floats(0, 1),
    seed=st.integers(-(2**63), 2**64 - 1),
)
rows = st.builds(
    protocol.Row,
    u31,
    texts,
    st.integers(0, 8),
    st.sampled_from([None, "stop", "length", "cancelled"]),
)
from_worker: st.SearchStrategy[protocol.FromWorker] = st.one_of(
    st.builds(
        protocol.WorkerReady, u31, u31, st.dictionaries(texts, st.booleans(), max_size=3), u31
    ),
    st.builds(protocol.Failed, texts, texts),
    st.builds(protocol.Prepared, u31, u31, u31, texts),
    st.builds(protocol.Rejected, u31, texts, texts, st.none() | texts),
    st.builds(protocol.Step, st.lists(rows, max_size=5), u31, u31, u31),
)
to_worker: st.SearchStrategy[protocol.ToWorker] = st.one_of(
    st.builds(
        prepare,
        u31,
        seed=u31,
        sampling=samplings,
        messages=st.none()
        | st.lists(st.dictionaries(texts, texts, max_size=3), max_size=3).map(tuple),
        prompt=st.none() | texts,
        tokens=st.none() | st.lists(u31, max_size=4).map(tuple),
        max_tokens=st.none() | u31,
        stop=st.lists(texts, max_size=2).map(tuple),
        ignore_eos=st.booleans(),
        min_tokens=u31,
    ),
    st.builds(protocol.Run, u31),
    st.builds(protocol.Cancel, u31),
)


def body(data: bytes) -> bytes:
    (size,) = protocol.HEADER.unpack(data[:4])
    assert size == len(data) - 4
    return data[4:]


@settings(deadline=None)
@given(from_worker)
def test_messages_of_a_worker_survive(message: protocol.FromWorker) -> None:
    assert protocol.decode_from_worker(body(protocol.frame(message))) == message


@settings(deadline=None)
@given(to_worker)
def test_messages_to_a_worker_survive(message: protocol.ToWorker) -> None:
    assert protocol.decode_to_worker(body(protocol.frame(message))) == message


def test_an_integer_beyond_64_bits_is_refused_as_the_clients() -> None:
    function = {"name": "f", "parameters": {"const": 10**30}}
    with pytest.raises(BadRequest) as caught:
        protocol.frame(prepare(tools=Tools((function,))))
    assert caught.value.code == "invalid_value"


def packed(value: Any) -> bytes:
    return msgspec.msgpack.encode(value)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\xc1",
        packed({}),
        packed({"type": "step"}),
        packed({"type": "run", "id": 1}),  # only the server says this
        packed({"type": "exec", "argv": ["/bin/sh"]}),
        packed({"type": "step", "rows": [[1, "x"]], "running": 0, "waiting": 0, "cells_used": 0}),
        packed({"type": "step", "rows": [[1, 2, 3]], "running": 0, "waiting": 0, "cells_used": 0}),
        packed(
            {
                "type": "step",
                "rows": [[1, "x", 1, "because"]],
                "running": 0,
                "waiting": 0,
                "cells_used": 0,
            }
        ),
        packed(
            {
                "type": "step",
                "rows": [[1, "x", -1, None]],
                "running": 0,
                "waiting": 0,
                "cells_used": 0,
            }
        ),
        packed({"type": "step", "rows": [], "running": -1, "waiting": 0, "cells_used": 0}),
        packed({"type": "prepared", "id": "1", "prompt_tokens": 1, "max_tokens": 1}),
        packed(
            {
                "type": "prepared",
                "id": 1,
                "prompt_tokens": -5,
                "max_tokens": 1,
                "template_sha256": "",
            }
        ),
        b"\x93" * 100_000,  # arrays in arrays
        packed({"type": "failed", "code": "x", "message": "y"}) + b"trailing",
        packed({"type": "failed", "code": "x", "message": "?"}).replace(b"?", b"\xff"),
    ],
)
def test_what_no_worker_may_say_is_a_decode_error(data: bytes) -> None:
    with pytest.raises(msgspec.MsgspecError):
        protocol.decode_from_worker(data)


@settings(deadline=None, max_examples=300)
@given(st.binary(max_size=200))
def test_garbage_is_a_decode_error_and_nothing_else(data: bytes) -> None:
    for decode in (protocol.decode_from_worker, protocol.decode_to_worker):
        try:
            decode(data)
        except msgspec.MsgspecError:
            continue
