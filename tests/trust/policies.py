"""A trust policy, changed in one place."""

from collections.abc import Callable
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from appliance.errors import PolicyRefused
from appliance.trust.bytes import ecdsa
from appliance.trust.policy import policy, policy_document
from tests.trust.forge import as_json, new_key, sha256

Change = Callable[[dict[str, Any]], object]

ROOT, PUBLISHER, ALICE, BOB, ALICE_TOO = (new_key() for _ in range(5))
K1 = new_key(ec.SECP256K1())


def hint(key: ecdsa.PrivateKey) -> str:
    return ecdsa.hint(key.public_key())


def bound(key: ecdsa.PrivateKey, person: str) -> dict[str, dict[str, str]]:
    return {hint(key): {"pem": ecdsa.public_pem(key.public_key()).decode(), "person": person}}


def document() -> dict[str, Any]:
    """A policy of a site that asks for two approvers."""
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
    return policy_document.parse(as_json(changed))


def code_of(action: Callable[[], object]) -> str:
    with pytest.raises(PolicyRefused) as caught:
        action()
    return caught.value.code


def put(table: str, name: str, value: object) -> Change:
    """Set a member of a table; "" is the policy itself."""
    return lambda d: (d[table] if table else d).__setitem__(name, value)


def role(name: str, field: str, value: object) -> Change:
    return lambda d: d["roles"][name].__setitem__(field, value)


def key(key: ecdsa.PrivateKey, field: str, value: object) -> Change:
    return lambda d: d["keys"][hint(key)].__setitem__(field, value)


def models(*entries: object) -> Change:
    return put("", "models", list(entries))
