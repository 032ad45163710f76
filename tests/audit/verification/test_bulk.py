"""Bodies read by the thousand are exactly those that `decode` accepts one by one."""

import json
from collections.abc import Iterator
from typing import Any
from unittest import mock

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.audit.entry import MAX_BODY, MAX_INT, decode, encode
from appliance.audit.verification import bulk
from appliance.errors import AuditRefused
from appliance.types import Json
from tests.audit.test_entry import INTENT, SAMPLES

DIGEST = "ab" * 32
PARTS: Json = {
    "stop": {"ciphertext": DIGEST, "commitment": DIGEST},
    "prompt": {"ciphertext": DIGEST, "commitment": DIGEST},
}
COMMITTED: Json = {"prompt": {"commitment": DIGEST}}
REQUEST: dict[str, Json] = {
    **INTENT,
    "app": "erp", "ip": "10.0.0.1", "route": "/v1/chat/completions", "retry": 0,
    "digest": DIGEST, "adapter": None, "policy": 3, "engine": "llama.cpp", "template": None,
    "prompt_tokens": 7, "content": {"key": "k", "mode": "encrypted", "parts": PARTS},
    "params": {
        "temperature": "0.7", "top_k": 40, "top_p": "0.9", "min_p": "0.0", "typical_p": "1.0",
        "presence_penalty": "0.0", "frequency_penalty": "0.0", "repetition_penalty": "1.0",
        "logit_bias": 0, "n": 1, "best_of": 1, "logprobs": None, "echo": False, "seed": "7",
        "max_tokens": 12, "min_tokens": 0, "ignore_eos": False, "stop": 1,
        "constraint": {"kind": "schema", "sha256": DIGEST},
        "tools": {"count": 1, "forced": 0, "sha256": DIGEST},
    },
}  # fmt: skip
EMBEDDED: dict[str, Json] = {**REQUEST, "params": {"kind": "embeddings", "texts": 3}}
OUTCOME: dict[str, Json] = {
    **SAMPLES["outcome"],
    "app": "erp", "key_id": "k", "model": "m", "finish": "stop", "prompt_tokens": 7,
    "completion_tokens": 9, "queued_us": 1, "ttft_us": 2, "duration_us": 3, "bytes": 4,
    "content": {"mode": "off"},
}  # fmt: skip
HOST: dict[str, Json] = {"upstream": "big", "host": "https://gpu-1", "digest": DIGEST}
KEPT: dict[str, Json] = {"seq": 7, "leaf": DIGEST, "size": 9, "standing": "kept"}
SENT: dict[str, Json] = {
    "host": "https://gpu-1", "digest": DIGEST, "identity": "claimed", "state": "ready"
}  # fmt: skip
SAID: dict[str, Json] = {"answer": "a-1", "model": "m", "fingerprint": "", "finish": "stop"}
GIVEN: list[dict[str, Json]] = [
    *SAMPLES.values(), REQUEST, EMBEDDED, OUTCOME,
    {**OUTCOME, "content": {"key": "k", "mode": "commit-only", "parts": COMMITTED}},
    {**REQUEST, "retrieved": {
        "collection": "c", "generation": 3, "ranking": "bm25", "search": "evidence-1",
        "passages": [{"commitment": DIGEST}],
    }},
    {**REQUEST, "retrieved": {  # as the log had it before there were commitments
        "collection": "c", "generation": 3, "ranking": "bm25",
        "passages": [{"id": "a:0-9", "sha256": DIGEST}],
    }},
    {**OUTCOME, "citations": [DIGEST]},
    {**OUTCOME, "answered_by": HOST},
    {**OUTCOME, "answered_by": {**HOST, "receipt": KEPT}},
    {**OUTCOME, "answered_by": {**HOST, "receipt": {**KEPT, "origin": "o"}}},
    {**REQUEST, "sent": SENT},
    {**OUTCOME, "answered_by": HOST, "answered": SAID},
    {**OUTCOME, "answered": {**SAID, "finish": None, "counts": "ours"}},
    {**OUTCOME, "unsent": True},
    {**REQUEST, "params": {"n": 1, "constraint": {"kind": "regex"},
                           "tools": {"count": 1, "forced": 0}}},
    {**REQUEST, "task": DIGEST},
    {**REQUEST, "end_user": "p-1", "end_user_from": "claim"},
    {**OUTCOME, "end_user": "p-1", "end_user_from": "oidc:corp", "end_user_groups": ["a", "b"],
     "end_user_groups_from": "ldap:ad", "end_user_until_us": 7},
    {**REQUEST, "app": "R\u00f6ntgen"},
]  # fmt: skip


def undecoded(raws: list[bytes]) -> list[bulk.Fields] | None:
    """The result of `read` where no body may go through `decode`."""
    with mock.patch.object(bulk, "decode", side_effect=AuditRefused("audit_entry_invalid", "")):
        return bulk.read(raws)


def wire(body: Any) -> bytes:
    return json.dumps(body, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()


@pytest.mark.parametrize("body", [REQUEST, EMBEDDED, OUTCOME, *GIVEN[-11:]])
def test_what_a_request_leaves_needs_no_second_look(body: dict[str, Json]) -> None:
    assert undecoded([encode(body)]) is not None


@pytest.mark.parametrize(
    "body", [b for b in SAMPLES.values() if b["kind"] not in ("intent", "outcome")]
)
def test_control_another_kind_gets_one(body: dict[str, Json]) -> None:
    assert undecoded([encode(body)]) is None
    assert bulk.read([encode(body)]) is not None


def test_the_fields_are_those_of_the_bodies() -> None:
    found = bulk.read([encode(body) for body in GIVEN])
    assert found is not None
    for body, fields in zip(GIVEN, found, strict=True):
        said = msgspec.to_builtins(fields)
        assert said == {name: body[name] for name in said}
        assert {"seq", "prev", "kind", "epoch", "time_us", "boot_id", "mono_us"} <= said.keys()
        for name in ("request_id", "key_id", "model", "app", "intent", "status", "content"):
            assert (name in said) == (name in body)


RAWS = st.one_of(
    st.sampled_from([encode(body) for body in GIVEN]),
    st.sampled_from([b"", b"{}", b"{}\n{}", b"\n", b'{"a":[1', b"2]}", b'{"v":1.0}', b"nul"]),
    st.binary(max_size=12),
    st.integers(0, 200).map(lambda n: encode(INTENT)[:n]),
    st.integers(0, 60).map(lambda n: encode(INTENT)[:n] + b"\n" + encode(INTENT)[n:]),
)


@given(st.lists(RAWS, min_size=1, max_size=6))
def test_many_at_once_are_read_as_one_by_one(raws: list[bytes]) -> None:
    try:
        expected: list[dict[str, Any]] | None = [decode(raw) for raw in raws]
    except AuditRefused:
        expected = None
    found = bulk.read(raws)
    assert (found is None) == (expected is None)
    if found is not None and expected is not None:
        assert [fields.seq for fields in found] == [body["seq"] for body in expected]


PLACES = [
    (), ("params",), ("params", "tools"), ("params", "constraint"), ("content",),
    ("content", "parts"), ("content", "parts", "prompt"),
]  # fmt: skip
MORE = ("x", "a", "\u00e9", "zz")
VALUES = [
    None, True, 0, -1, 1.0, 1e3, MAX_INT + 1, -MAX_INT - 1, "", DIGEST, "\x00", "\u2028", [], {},
    [1], {"b": 1}, "off", "encrypted", "commit-only", "intent", "outcome", "start", PARTS,
    COMMITTED, {"commitment": DIGEST}, {"ciphertext": DIGEST, "commitment": DIGEST},
]  # fmt: skip


def changed(body: dict[str, Json], place: tuple[str, ...]) -> Iterator[bytes]:
    """One value more, less or another, in the order that a canonical body has."""
    there: Any = body
    for step in place:
        there = there.get(step) or {}
    for name in (*there, *MORE, *OUTCOME):
        for value in (..., *VALUES):
            copy = inner = json.loads(json.dumps(body))
            for step in place:
                inner = inner.get(step) or {}
            inner.pop(name, None)
            if value is not ...:
                inner[name] = value
            yield wire(copy)


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("body", [REQUEST, OUTCOME, *GIVEN[-2:]])
def test_what_decode_refuses_is_refused(body: dict[str, Json], place: tuple[str, ...]) -> None:
    for raw in changed(body, place):
        refused(raw)


SPELLINGS = [
    (b'"v":1', b'"v":1,"v":1'), (b'"v":1', b'"v":1.0'), (b'"v":1', b'"v":01'), (b":", b": "),
    (b'"kind"', b'"\\u006bind"'), (b'"erp"', b'"e\\u0072p"'), (b'"erp"', b'"\\/"'),
    (b'"retry":0', b'"retry":-0'), (b'"retry":0', b'"retry":0e0'), (b"}", b"} "),
    (b'"app":"erp",', b""), (b'"params":{', b'"params":{"best_of":1,'), (b"{", b'{"zz":1,'),
    (b'"stop":{"c', b'"parts":{"c'), (b'{"prompt":', b'{"zzz":'), (b"false", b"0"),
]  # fmt: skip


@pytest.mark.parametrize(("old", "new"), SPELLINGS)
def test_another_spelling_is_refused(old: bytes, new: bytes) -> None:
    raw = encode(REQUEST)
    assert old in raw
    for count in (1, -1):
        refused(raw.replace(old, new, count))


def refused(raw: bytes) -> None:
    """`read` refuses where `decode` does, whatever stands beside; else it may only not know."""
    good = encode(REQUEST)
    try:
        decode(raw)
    except AuditRefused:
        assert bulk.read([raw]) is bulk.read([good, raw, good]) is None
    else:
        found = bulk.read([good, raw, good])
        assert found is None or found[1].seq == json.loads(raw)["seq"]


def test_no_body_ends_in_the_next_one() -> None:
    """Together they are as many entries; one by one they are none."""
    whole = encode(INTENT)
    cut = whole.index(b",") + 1
    for between in (b"\n", b""):
        assert bulk.read([whole + between + whole[:cut], whole[cut:]]) is None
        assert bulk.read([whole + between + whole, whole[:cut] + whole[cut:]]) is None
        assert bulk.read([whole + between + whole, b""]) is None
    assert bulk.read([]) == []


def test_a_body_has_at_most_65535_bytes() -> None:
    room = MAX_BODY - len(encode({**INTENT, "ip": ""}))
    assert bulk.read([encode({**INTENT, "ip": "x" * room})]) is not None
    assert bulk.read([wire({**INTENT, "ip": "x" * (room + 1)})]) is None
