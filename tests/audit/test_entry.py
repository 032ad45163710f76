"""Canonical bodies: RFC 8785 for the subset, one spelling, fields by kind."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.audit.entry import (
    KINDS,
    MAX_BODY,
    MAX_INT,
    Draft,
    LogEntry,
    canonical,
    decode,
    encode,
    parse_canonical,
)
from appliance.errors import AuditRefused
from appliance.types import Json

SCALARS = st.one_of(
    st.text(), st.integers(-MAX_INT, MAX_INT), st.booleans(), st.none()
)  # no lone surrogates: st.text() leaves them out
KEYS = st.text(st.characters(max_codepoint=126), max_size=8)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=3),
    max_leaves=8,
)
OBJECTS = st.dictionaries(KEYS, VALUES, max_size=6)

HEADER: dict[str, Json] = {
    "v": 1,
    "seq": 7,
    "prev": "ab" * 32,
    "epoch": 0,
    "time_us": 1_764_000_000_000_000,
    "boot_id": "b",
    "mono_us": 5,
}
INTENT: dict[str, Json] = {
    **HEADER,
    "kind": "intent",
    "request_id": "r",
    "key_id": "k",
    "model": "m",
}
SAMPLE_VALUES: dict[str, Json] = {
    "next_key": "ab" * 32,
    "signature": "ab" * 64,
    "entries": [1, 2],
    "approvals": [1, 2],
    "root": "ab" * 32,
}
SAMPLES: dict[str, dict[str, Json]] = {
    kind: {
        **HEADER,
        "kind": kind,
        **{
            name: SAMPLE_VALUES.get(name, 1 if wanted is int else "x")
            for name, wanted in fields.items()
        },
    }
    for kind, fields in KINDS.items()
}


def jcs(value: Any) -> str:
    """RFC 8785 by its sections: 3.2.2 literals and strings, 3.2.3 sorting."""
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    if isinstance(value, int):
        return str(value)
    if isinstance(value, str):
        short = {8: "\\b", 9: "\\t", 10: "\\n", 12: "\\f", 13: "\\r", 34: '\\"', 92: "\\\\"}
        return '"' + "".join(
            short.get(ord(c)) or (f"\\u{ord(c):04x}" if ord(c) < 32 else c) for c in value
        ) + '"'  # fmt: skip
    if isinstance(value, list):
        return "[" + ",".join(map(jcs, value)) + "]"
    names = sorted(value, key=lambda name: name.encode("utf-16-be"))
    return "{" + ",".join(f"{jcs(name)}:{jcs(value[name])}" for name in names) + "}"


def depth(value: Any) -> int:
    if isinstance(value, dict | list):
        inner = value.values() if isinstance(value, dict) else value
        return 1 + max(map(depth, inner), default=0)
    return 0


@given(OBJECTS.filter(lambda value: depth(value) <= 6))
def test_canonical_form_equals_rfc_8785(value: dict[str, Json]) -> None:
    assert canonical(value) == jcs(value).encode()


@given(OBJECTS.filter(lambda value: depth(value) <= 6))
def test_canonical_form_equals_sorted_compact_json(value: dict[str, Json]) -> None:
    plain = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    assert canonical(value) == plain.encode()


@given(OBJECTS.filter(lambda value: depth(value) <= 6))
def test_what_was_written_reads_back(value: dict[str, Json]) -> None:
    assert parse_canonical(canonical(value)) == value


@given(st.binary(max_size=60) | OBJECTS.map(lambda v: json.dumps(v).encode()))
def test_any_bytes_are_refused_or_have_one_spelling(raw: bytes) -> None:
    try:
        value = parse_canonical(raw)
    except AuditRefused as refusal:
        assert refusal.code == "audit_entry_invalid"
    else:
        assert canonical(value) == raw


def test_rfc_8785_string_example() -> None:
    # Section 3.2.2.2 of the RFC, the string of its example.
    text = "\u20ac$\u000f\u000aA'\u0042\u0022\u005c\\\"/"
    assert canonical({"string": text}) == (
        '{"string":"\u20ac$\\u000f\\nA\'B\\"\\\\\\\\\\"/"}'.encode()
    )


@pytest.mark.parametrize(
    "value",
    [
        {"a": 1.0},
        {"a": 0.5},
        {"a": MAX_INT + 1},
        {"a": -MAX_INT - 1},
        {"a": 10**400},
        {"a": "\ud800"},
        {"\u00e4": 1},
        {"a": {"\u00e4": 1}},
        {"a": [{"b": {"\u00e4": 1}}]},
        {"a": object()},
        {"a": [[[[[[1]]]]]]},
    ],
)
def test_values_outside_the_subset_are_refused(value: Any) -> None:
    with pytest.raises(AuditRefused, match="not valid"):
        canonical(value)


@pytest.mark.parametrize(
    "raw",
    [
        b'{"a":1,"a":1}',
        b'{"a":1,"a":2}',
        b'{"b":1,"a":2}',
        b'{"a": 1}',
        b' {"a":1}',
        b'{"a":1}\n',
        b'{"a":1}{"a":1}',
        b'{"a":1.0}',
        b'{"a":1e3}',
        b'{"a":-0}',
        b'{"a":01}',
        b'{"a":NaN}',
        b'{"a":9007199254740992}',
        b'{"a":"\\u0041"}',
        b'{"a":"\\/"}',
        b'{"a":"\\u000A"}',
        b'{"a":"\\ud800"}',
        b'{"a":"\xff"}',
        b'\xef\xbb\xbf{"a":1}',
        b'{"\xc3\xa4":1}',
        b'{"a":1,}',
        b"{'a':1}",
        b"",
        b"[]",
        b"null",
        b"[" * 100_000,
        b'{"a":' * 100_000,
    ],
)
def test_other_spellings_are_refused(raw: bytes) -> None:
    with pytest.raises(AuditRefused) as caught:
        parse_canonical(raw)
    assert caught.value.code == "audit_entry_invalid"


@pytest.mark.parametrize("kind", KINDS)
def test_each_kind_round_trips_and_needs_each_of_its_fields(kind: str) -> None:
    body = SAMPLES[kind]
    assert decode(encode(body)) == body
    for name in [*HEADER, *KINDS[kind]]:
        other: Json = {"other": 1}
        for broken in ({k: v for k, v in body.items() if k != name}, {**body, name: other}):
            raw = canonical(broken)
            with pytest.raises(AuditRefused):
                encode(broken)
            with pytest.raises(AuditRefused):
                decode(raw)


@pytest.mark.parametrize(
    "change",
    [
        {"v": 2},
        {"v": True},
        {"seq": True},
        {"kind": "intents"},
        {"kind": ""},
        {"model": 5},
        {"content": 1},
        {"content": {"mode": "encrypted"}},
        {"content": {"mode": "other", "key": "k", "parts": {}}},
        {"content": {"mode": "off", "key": "k", "parts": {}}},
        {"content": {"mode": "commit-only", "key": 1, "parts": {}}},
        {"content": {"mode": "commit-only", "key": "k", "parts": []}},
        {"content": {"mode": "commit-only", "key": "k", "parts": {"p": "x"}}},
        {"content": {"mode": "commit-only", "key": "k", "parts": {"p": {"commitment": "AB"}}}},
        {"content": {"mode": "encrypted", "key": "k", "parts": {"p": {"commitment": "ab" * 32}}}},
    ],
)
def test_fields_that_are_read_are_checked(change: dict[str, Json]) -> None:
    encode(INTENT)
    with pytest.raises(AuditRefused):
        encode({**INTENT, **change})


def test_a_kind_of_a_newer_release_is_read_and_never_written() -> None:
    newer: dict[str, Json] = {**HEADER, "kind": "replay", "what": "x"}
    assert decode(canonical(newer)) == newer
    with pytest.raises(AuditRefused, match="kind"):
        encode(newer)
    wrongs: list[dict[str, Json]] = [{"kind": "Replay"}, {"kind": 3}, {"kind": {}}, {"model": 3}]
    for wrong in wrongs:
        with pytest.raises(AuditRefused):
            decode(canonical({**newer, **wrong}))


def test_an_optional_query_field_is_checked_on_every_kind() -> None:
    body: dict[str, Json] = {**HEADER, "kind": "stop", "key_id": 1}
    with pytest.raises(AuditRefused, match="key_id"):
        encode(body)


def test_a_body_has_at_most_65535_bytes() -> None:
    room = MAX_BODY - len(encode({**INTENT, "note": ""}))
    raw = encode({**INTENT, "note": "x" * room})
    assert len(raw) == MAX_BODY
    assert decode(raw)["note"] == "x" * room
    with pytest.raises(AuditRefused, match="65536 bytes"):
        encode({**INTENT, "note": "x" * (room + 1)})
    with pytest.raises(AuditRefused, match="65536 bytes"):
        decode(raw + b" ")


def test_an_entry_knows_its_place_and_hash() -> None:
    raw = encode(INTENT)
    entry = LogEntry.parse(raw)
    assert (entry.seq, entry.kind, entry.time_us) == (7, "intent", HEADER["time_us"])
    assert entry.raw == raw
    assert len(entry.leaf) == 32


@pytest.mark.parametrize(
    "draft",
    [
        Draft("genesis", {}),
        Draft("nonsense", {}),
        Draft("stop", {"seq": 1}),
        Draft("stop", {"prev": ""}),
        Draft("stop", {"content": {}}),
    ],
)
def test_a_draft_may_not_bring_what_the_log_fills_in(draft: Draft) -> None:
    with pytest.raises(AuditRefused):
        draft.check()
