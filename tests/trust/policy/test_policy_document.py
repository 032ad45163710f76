"""Reading a trust policy: its schema and its signer."""

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from appliance.errors import PolicyRefused
from appliance.trust.bytes import dsse
from appliance.trust.policy import policy, policy_document
from tests.trust.forge import as_json, new_key
from tests.trust.policies import (
    ALICE,
    ALICE_TOO,
    BOB,
    K1,
    PUBLISHER,
    ROOT,
    Change,
    bound,
    code_of,
    document,
    hint,
    key,
    models,
    parsed,
    put,
    role,
)

EVE, EVA = new_key(), new_key()


def test_a_policy_is_read() -> None:
    read = parsed()
    assert (read.version, read.profile, read.org) == (7, "site", "Example")
    assert read.keys[hint(ALICE)].person == "Alice"
    assert read.roles["approver"].threshold == 2


INVALID: dict[str, Change] = {
    "unknown field": put("", "verification", "warn"),
    "version 0": put("", "version", 0),
    "version a string": put("", "version", "7"),
    "version true": put("", "version", True),
    "unknown profile": put("", "profile", "test"),
    "no profile": lambda d: d.pop("profile"),
    "no org": lambda d: d.pop("org"),
    "no keys": lambda d: d.pop("keys"),
    "no roles": lambda d: d.pop("roles"),
    "one key under another hint": lambda d: d["keys"].update({"ab" * 32: d["keys"][hint(ALICE)]}),
    "two keys exchanged": lambda d: d["keys"].update(
        {hint(ALICE): d["keys"][hint(BOB)], hint(BOB): d["keys"][hint(ALICE)]}
    ),
    "unknown curve": lambda d: d["keys"].update(bound(K1, "Eve")),
    "not a key": key(ALICE, "pem", "x"),
    "unknown field of a key": key(ALICE, "role", "admin"),
    "nobody's key": key(ALICE, "person", ""),
    "a person with a space": key(ALICE, "person", "Alice "),
    "a person that does not print": key(ALICE, "person", "Ali\u202ece"),
    "a person not in normal form": key(ALICE, "person", "Jose\u0301"),
    "two people whose names look alike": key(BOB, "person", "Al\u0456ce"),
    "one person in two spellings": key(ALICE_TOO, "person", "alice"),
    "an organisation that does not print": put("", "org", "Exam\x1b[2Jple"),
    "an organisation without a name": put("", "org", ""),
    "issued on no day": put("", "issued", "2026-02-31T00:00:00Z"),
    "issued at no time": put("", "issued", "2026-11-24T25:00:00Z"),
    "a model that no id can name": models({"id": "\u0430ny"}),
    "a model that is a path": models({"id": "../any"}),
    "an adapter in place of a model": models({"id": "any:fr"}),
    "a person with a long name": key(ALICE, "person", "A" * 101),
    "an unknown role": put("roles", "auditor", {"keys": [], "threshold": 1}),
    "no approver": lambda d: d["roles"].pop("approver"),
    "unknown field of a role": role("approver", "optional", True),
    "a role with a key that is not there": role("approver", "keys", ["ab" * 32]),
    "a role that lists a key twice": role("publisher", "keys", [hint(PUBLISHER)] * 2),
    "threshold 0": role("approver", "threshold", 0),
    "threshold negative": role("approver", "threshold", -1),
    "threshold above the number of people": role("approver", "threshold", 3),
    "two publishers for one signature": lambda d: d["roles"].update(
        publisher={"keys": [hint(PUBLISHER), hint(BOB)], "threshold": 2}
    ),
    "distinct from an unknown role": role("approver", "distinct_from", ["auditor"]),
    "publisher distinct from approver": role("publisher", "distinct_from", ["approver"]),
    "a model twice": models({"id": "a"}, {"id": "a"}),
    "a model without id": models({}),
    "a model as a string": models("a"),
    "unknown field of a model": models({"id": "a", "colour": 4}),
    "a lowest version of 0": models({"id": "a", "min_version": 0}),
    "a lowest version below": models({"id": "a", "min_version": -1}),
    "a lowest version that is no number": models({"id": "a", "min_version": "4"}),
    "an adapter that is no digest": models({"id": "a", "adapters": ["AB" * 32]}),
    "an adapter twice": models({"id": "a", "adapters": ["ab" * 32] * 2}),
    "unknown field of stale": put("", "stale", {"warn_days": 3}),
    "served for a negative time": put("", "stale", {"refuse_serve_days": -1}),
    "served for ever": put("", "stale", {"refuse_serve_days": 1 << 40}),
    "a requirement of a newer version": models({"id": "a", "require": ["oms", "notarised"]}),
    "a requirement of tasks of a newer version": put("", "tasks", {"require": ["notarised"]}),
    "unknown field of tasks": put("", "tasks", {"skip": True}),
    "a negative grace": put("", "tasks", {"grace_days": -1}),
    "an evaluator that publishes": put(
        "roles", "evaluator", {"keys": [hint(PUBLISHER)], "threshold": 1}
    ),
    "an evaluator that approves": put(
        "roles", "evaluator", {"keys": [hint(ALICE)], "threshold": 1}
    ),
    "two evaluators for one signature": lambda d: (
        d["keys"].update({**bound(EVE, "one"), **bound(EVA, "two")}),
        d["roles"].update(evaluator={"keys": [hint(EVE), hint(EVA)], "threshold": 2}),
    ),
    "a requirement that cannot be checked": models({"id": "a", "require": ["oms", "test-result"]}),
    "a model without signature": models({"id": "a", "require": ["approval"]}),
    "a digest that is none": models({"id": "a", "root_digest": "AB" * 32}),
    "a template digest that is none": models({"id": "a", "template_sha256": "x"}),
    "an unknown algorithm": put("", "algorithms", ["ed25519"]),
    "unknown field of revoked": put("revoked", "cert_serials", []),
    "a revoked key that is no hint": put("revoked", "keys", ["alice"]),
    "a revoked digest that is none": put("revoked", "digests", ["AB" * 32]),
    "a revoked engine that is no rule": put("revoked", "engines", ["llama-cpp-python"]),
    "a revoked engine whose version nobody can tell": put(
        "revoked", "engines", ["llama.cpp<b8492"]
    ),
}


def test_what_a_policy_leaves_out() -> None:
    assert parsed().stale.refuse_serve_days == 365
    assert parsed(put("", "stale", {"refuse_serve_days": 0})).stale.refuse_serve_days == 0
    rule = parsed(models({"id": "a", "min_version": 4, "adapters": ["ab" * 32]})).models["a"]
    assert (rule.min_version, rule.adapters) == (4, frozenset({"ab" * 32}))
    plain = models({"id": "a"})
    assert parsed(plain).models["a"].adapters == frozenset()  # none at a site
    lab = parsed(lambda d: (plain(d), d.update(profile="lab")))
    assert lab.models["a"].adapters is None


def test_evaluations_and_who_signs_them() -> None:
    plain = parsed()
    assert plain.tasks.require == frozenset() and plain.tasks.grace_days == 30
    wanted = {"require": ["evaluation"], "grace_days": 7}

    def evaluated(d: dict[str, Any]) -> None:
        d["keys"] |= bound(EVE, "evidence of plant 1")
        d["roles"]["evaluator"] = {"keys": [hint(EVE)], "threshold": 1}
        d["roles"]["approver"]["distinct_from"] = ["publisher", "evaluator"]
        d["tasks"] = wanted
        d["models"][0]["require"] = ["oms", "approval", "evaluation"]

    found = parsed(evaluated)
    assert found.tasks.require == {"evaluation"} and found.tasks.grace_days == 7
    assert "evaluation" in found.models["any"].require
    assert found.evaluator(hint(EVE)).person == "evidence of plant 1"
    alice, bob = found.keys[hint(ALICE)], found.keys[hint(BOB)]
    assert not found.may_approve_after(alice, "Alice") and found.may_approve_after(bob, "Alice")
    assert plain.may_approve_after(alice, "Alice")


@pytest.mark.parametrize("change", INVALID.values(), ids=INVALID)
def test_invalid(change: Change) -> None:
    assert code_of(lambda: parsed(change)) == "policy_invalid"


def test_one_key_under_two_people_is_invalid() -> None:
    text = json.dumps(document())
    entry = f'"{hint(ALICE)}": ' + json.dumps(bound(ALICE, "Mallory")[hint(ALICE)])
    doubled = text.replace('"keys": {', '"keys": {' + entry + ", ", 1)
    assert code_of(lambda: policy_document.parse(doubled.encode())) == "policy_invalid"


@pytest.mark.parametrize("data", [b"", b"[]", b"null", b"{}", b"\xff", b"[" * 9999])
def test_what_is_no_policy(data: bytes) -> None:
    assert code_of(lambda: policy_document.parse(data)) == "policy_invalid"


def test_only_the_root_makes_a_policy() -> None:
    data = as_json(document())
    good = dsse.sign(data, policy.PAYLOAD_TYPE, [ROOT])
    assert policy_document.verify(good, ROOT.public_key()).version == 7
    for envelope in (
        data,
        dsse.sign(data, policy.PAYLOAD_TYPE, [ALICE]),
        dsse.sign(data, policy.PAYLOAD_TYPE, [ROOT, ALICE]),
        dsse.sign(data, "application/json", [ROOT]),
        good.replace(b'"sig":"', b'"sig":"A'),
    ):
        with pytest.raises(PolicyRefused) as caught:
            policy_document.verify(envelope, ROOT.public_key())
        assert caught.value.code == "policy_signature"


@settings(max_examples=200, deadline=None)
@given(
    path=st.sampled_from(sorted(document())),
    below=st.sampled_from(["", "keys", "threshold", "digests", "engines", "approver", "0", "id"]),
    value=st.sampled_from([None, True, -1, 1.5, "x", [], {}, [None], [[]], {"id": 1}, {"a": {}}]),
)
def test_any_wrong_type_is_invalid_or_harmless(path: str, below: str, value: object) -> None:
    changed = document()
    if isinstance(changed[path], dict) and below:
        changed[path][below] = value
    else:
        changed[path] = value
    try:
        policy_document.parse(as_json(changed))
    except PolicyRefused as error:
        assert error.code == "policy_invalid"
