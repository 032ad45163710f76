"""The trust policy: its schema, and who may do what under it."""

import json
from collections.abc import Callable
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from hypothesis import given, settings
from hypothesis import strategies as st

from appliance.errors import PolicyRefused
from appliance.trust import dsse, ecdsa, policy
from tests.trust.forge import as_json, new_key, sha256

Change = Callable[[dict[str, Any]], object]

ROOT, PUBLISHER, ALICE, BOB, ALICE_TOO = (new_key() for _ in range(5))
K1 = new_key(ec.SECP256K1())


def hint(key: ecdsa.PrivateKey) -> str:
    return ecdsa.hint(key.public_key())


def bound(key: ecdsa.PrivateKey, person: str) -> dict[str, dict[str, str]]:
    return {hint(key): {"pem": ecdsa.public_pem(key.public_key()).decode(), "person": person}}


def document() -> dict[str, Any]:
    return {
        "version": 7,
        "profile": "site",
        "org": "Example",
        "keys": {
            **bound(PUBLISHER, "Paula"),
            **bound(ALICE, "Alice"),
            **bound(BOB, "Bob"),
            **bound(ALICE_TOO, "Alice"),
        },
        "roles": {
            "publisher": {"keys": [hint(PUBLISHER)], "threshold": 1},
            "approver": {
                "keys": [hint(ALICE), hint(BOB), hint(ALICE_TOO)],
                "threshold": 2,
                "distinct_from": ["publisher"],
            },
        },
        "models": [
            {"id": "any"},
            {"id": "pinned", "root_digest": "ab" * 32, "template_sha256": sha256(b"T")},
            {"id": "free", "require": ["oms"]},
        ],
        "algorithms": ["ecdsa-p256-sha256", "ecdsa-p384-sha384"],
        "revoked": {"keys": [], "digests": [], "engines": []},
    }


def parsed(change: Change = lambda d: None) -> policy.TrustPolicy:
    changed = document()
    change(changed)
    return policy.parse(as_json(changed))


def code_of(action: Callable[[], object]) -> str:
    with pytest.raises(PolicyRefused) as caught:
        action()
    return caught.value.code


def test_a_policy_is_read() -> None:
    read = parsed()
    assert (read.version, read.profile, read.org) == (7, "site", "Example")
    assert read.keys[hint(ALICE)].person == "Alice"
    assert read.roles["approver"].threshold == 2


def put(table: str, name: str, value: object) -> Change:
    return lambda d: (d[table] if table else d).__setitem__(name, value)


def role(name: str, field: str, value: object) -> Change:
    return lambda d: d["roles"][name].__setitem__(field, value)


def key(key: ecdsa.PrivateKey, field: str, value: object) -> Change:
    return lambda d: d["keys"][hint(key)].__setitem__(field, value)


def models(*entries: object) -> Change:
    return put("", "models", list(entries))


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
    "unknown field of a model": models({"id": "a", "min_version": 4}),
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


@pytest.mark.parametrize("change", INVALID.values(), ids=INVALID)
def test_invalid(change: Change) -> None:
    assert code_of(lambda: parsed(change)) == "policy_invalid"


def test_one_key_under_two_people_is_invalid() -> None:
    text = json.dumps(document())
    entry = f'"{hint(ALICE)}": ' + json.dumps(bound(ALICE, "Mallory")[hint(ALICE)])
    doubled = text.replace('"keys": {', '"keys": {' + entry + ", ", 1)
    assert code_of(lambda: policy.parse(doubled.encode())) == "policy_invalid"


@pytest.mark.parametrize("data", [b"", b"[]", b"null", b"{}", b"\xff", b"[" * 9999])
def test_what_is_no_policy(data: bytes) -> None:
    assert code_of(lambda: policy.parse(data)) == "policy_invalid"


def test_only_the_root_makes_a_policy() -> None:
    data = as_json(document())
    good = dsse.sign(data, policy.PAYLOAD_TYPE, [ROOT])
    assert policy.verify(good, ROOT.public_key()).version == 7
    for envelope in (
        data,
        dsse.sign(data, policy.PAYLOAD_TYPE, [ALICE]),
        dsse.sign(data, policy.PAYLOAD_TYPE, [ROOT, ALICE]),
        dsse.sign(data, "application/json", [ROOT]),
        good.replace(b'"sig":"', b'"sig":"A'),
    ):
        with pytest.raises(PolicyRefused) as caught:
            policy.verify(envelope, ROOT.public_key())
        assert caught.value.code == "policy_signature"


def test_publishers() -> None:
    read = parsed()
    assert read.publisher(hint(PUBLISHER)).person == "Paula"
    assert code_of(lambda: read.publisher(hint(ALICE))) == "publisher_not_allowed"
    assert code_of(lambda: read.publisher("ab" * 32)) == "publisher_not_allowed"


def test_approvers_are_the_people_bound_to_their_keys() -> None:
    read = parsed()
    assert read.approver(hint(ALICE), "Alice").person == "Alice"
    assert read.approver(hint(ALICE_TOO), "Alice").person == "Alice"
    assert code_of(lambda: read.approver(hint(ALICE), "Bob")) == "approver_name_mismatch"
    assert code_of(lambda: read.approver(hint(PUBLISHER), "Paula")) == "approver_not_allowed"


def test_revoked_keys_neither_publish_nor_approve() -> None:
    read = parsed(put("revoked", "keys", [hint(PUBLISHER), hint(ALICE)]))
    assert code_of(lambda: read.publisher(hint(PUBLISHER))) == "key_revoked"
    assert code_of(lambda: read.approver(hint(ALICE), "Alice")) == "key_revoked"
    assert read.approver(hint(BOB), "Bob").person == "Bob"


def test_a_key_with_an_algorithm_that_is_not_allowed() -> None:
    read = parsed(put("", "algorithms", ["ecdsa-p384-sha384"]))
    assert code_of(lambda: read.publisher(hint(PUBLISHER))) == "algorithm_not_allowed"


def test_revoked_digests() -> None:
    read = parsed(put("revoked", "digests", ["cd" * 32]))
    read.check_digests("ab" * 32)
    assert code_of(lambda: read.check_digests("ab" * 32, "cd" * 32)) == "digest_revoked"


@pytest.mark.parametrize(
    ("rule", "version", "revoked"),
    [
        ("llama-cpp-python<0.3.36", "0.3.35", True),
        ("llama-cpp-python<0.3.36", "0.3.9", True),
        ("llama-cpp-python<0.3.36", "0.3.36", False),
        ("llama-cpp-python<0.3.36", "0.4", False),
        ("llama-cpp-python<=0.3.36", "0.3.36", True),
        ("llama-cpp-python<=0.3.36", "0.3.37", False),
        ("llama-cpp-python=0.3.36", "0.3.36", True),
        ("llama-cpp-python=0.3.36", "0.3.35", False),
        ("llama-cpp-python<0.1", "unknown", True),
    ],
)
def test_revoked_engines(rule: str, version: str, revoked: bool) -> None:
    read = parsed(put("revoked", "engines", [rule]))
    if revoked:
        assert code_of(lambda: read.check_engine("llama-cpp-python", version)) == "engine_revoked"
    else:
        read.check_engine("llama-cpp-python", version)
    read.check_engine("another-engine", "0.0.1")


def test_models_must_be_listed_at_a_site_and_need_not_in_a_lab() -> None:
    site = parsed()
    assert site.model_rule("any", "cd" * 32).require == {"oms", "approval"}
    assert site.model_rule("free", "cd" * 32).require == {"oms"}
    assert site.model_rule("pinned", "ab" * 32).root_digest == "ab" * 32
    assert code_of(lambda: site.model_rule("pinned", "cd" * 32)) == "model_not_in_policy"
    assert code_of(lambda: site.model_rule("other", "cd" * 32)) == "model_not_in_policy"
    assert code_of(lambda: parsed(models()).model_rule("x", "cd" * 32)) == "model_not_in_policy"

    lab = parsed(lambda d: d.update(profile="lab", models=[]))
    assert lab.model_rule("x", "cd" * 32).require == {"oms", "approval"}
    listed = parsed(lambda d: d.update(profile="lab"))
    assert code_of(lambda: listed.model_rule("x", "cd" * 32)) == "model_not_in_policy"


def test_a_pinned_template() -> None:
    read = parsed()
    rule = read.model_rule("pinned", "ab" * 32)
    read.check_template(rule, "T")
    read.check_template(read.model_rule("any", "ab" * 32), "anything")
    assert code_of(lambda: read.check_template(rule, "T ")) == "template_not_in_policy"
    assert code_of(lambda: read.check_template(rule, None)) == "template_not_in_policy"


def test_approvals_count_people_not_signatures() -> None:
    read = parsed()
    read.check_approvals(["Alice", "Bob"])
    assert code_of(lambda: read.check_approvals([])) == "not_approved"
    assert code_of(lambda: read.check_approvals(["Alice", "Alice"])) == "not_approved"


def test_the_publisher_approves_only_where_roles_need_not_differ() -> None:
    publisher = parsed().publisher(hint(PUBLISHER))
    assert parsed().may_approve("Alice", publisher)
    assert not parsed().may_approve("Paula", publisher)
    assert parsed(role("approver", "distinct_from", [])).may_approve("Paula", publisher)


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
        policy.parse(as_json(changed))
    except PolicyRefused as error:
        assert error.code == "policy_invalid"
