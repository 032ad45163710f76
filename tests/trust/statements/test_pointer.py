"""Pointers: signed by an approver, of one task, following one another."""

from typing import Any

import pytest
from msgspec.structs import replace

from appliance.errors import PolicyRefused
from appliance.trust.bytes import ecdsa
from appliance.trust.statements.pointer import TaskPointer, TaskVersion
from tests.evals.gates import edited
from tests.trust import policies

LIVE, NEXT, LAST = (TaskVersion(f"orders-{n}", f"{n}b" * 32) for n in (1, 2, 3))
POINTER = TaskPointer("orders", LIVE, "", "Alice", "certificate read", "2026-09-21T00:00:00Z")


def signed(wanted: TaskPointer = POINTER, key: ecdsa.PrivateKey = policies.ALICE) -> bytes:
    return wanted.sign(ecdsa.private_pem(key))


def code(envelope: bytes, change: policies.Change = lambda d: None) -> str:
    with pytest.raises(PolicyRefused) as caught:
        TaskPointer.verify(envelope, policies.parsed(change))
    return caught.value.code


def test_what_was_signed_is_read_again() -> None:
    for wanted in (
        replace(POINTER, previous="cd" * 32),
        replace(POINTER, canary=NEXT, percent=10),
        replace(POINTER, shadow=NEXT),
        replace(POINTER, canary=NEXT, percent=99, shadow=LAST),
    ):
        assert TaskPointer.verify(signed(wanted), policies.parsed()).said == wanted


def test_only_an_approver_points() -> None:
    assert code(signed(key=policies.PUBLISHER)) == "approver_not_allowed"
    assert code(signed(key=policies.BOB)) == "approver_name_mismatch"
    revoked = policies.put("revoked", "keys", [policies.hint(policies.ALICE)])
    assert code(signed(), revoked) == "key_revoked"


def test_an_edited_pointer_is_refused() -> None:
    assert code(edited(signed(), lambda s: s["predicate"].update(name="else"))) == (
        "pointer_signature"
    )
    assert code(b"{}") == "pointer_malformed"
    assert code(b" " * (TaskPointer.LIMIT + 1)) == "pointer_malformed"


@pytest.mark.parametrize(
    "change",
    [
        {"name": "a/b"}, {"name": "a:b"}, {"live": TaskVersion("", "ab" * 32)}, {"previous": "x"},
        {"live": TaskVersion("a", "AB" * 32)}, {"person": " "}, {"reason": "a\nb"},
        {"reason": "a" * 501}, {"time": "now"}, {"canary": NEXT}, {"canary": NEXT, "percent": 100},
        {"percent": 5}, {"canary": LIVE, "percent": 5}, {"shadow": LIVE},
    ],
)  # fmt: skip
def test_a_pointer_that_means_nothing_cannot_be_signed(change: dict[str, Any]) -> None:
    with pytest.raises(PolicyRefused) as caught:
        signed(replace(POINTER, **change))
    assert caught.value.code == "pointer_malformed"
