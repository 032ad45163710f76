"""Approvals of a stored model that count."""

from dataclasses import replace

import pytest

from appliance.errors import PolicyRefused
from appliance.trust.bytes import ecdsa
from appliance.trust.policy import policy_document
from appliance.trust.policy.policy import PolicyKey, TrustPolicy
from appliance.trust.statements import approval, approvals
from appliance.trust.statements.approval import ApprovalSubject
from tests.trust import policies
from tests.trust.forge import as_json

SUBJECT = ApprovalSubject("ab" * 32, "cd" * 32, 0)
POLICY = policies.parsed()
PAULA = POLICY.keys[policies.hint(policies.PUBLISHER)]


def by(
    name: str, key: ecdsa.PrivateKey, subject: ApprovalSubject = SUBJECT, time: int = 1
) -> bytes:
    return approval.sign(
        subject, name=name, meaning="fit for use", time_us=time * 10**15,
        private_key=ecdsa.private_pem(key),
    )  # fmt: skip


ALICE = by("Alice", policies.ALICE, time=2)
BOB = by("Bob", policies.BOB, time=1)


def names(*envelopes: bytes, policy: TrustPolicy = POLICY) -> list[str]:
    return [given.name for given in approvals.valid(envelopes, policy, SUBJECT, PAULA)]


def test_each_person_counts_once_by_time() -> None:
    assert names(ALICE, BOB) == ["Bob", "Alice"]
    assert names(ALICE, by("Alice", policies.ALICE_TOO)) == ["Alice"]


def test_what_does_not_hold_does_not_count() -> None:
    revoked = policies.document()
    revoked["revoked"]["keys"] = [policies.hint(policies.BOB)]
    assert names(ALICE, BOB, policy=policy_document.parse(as_json(revoked))) == ["Alice"]
    assert names(by("Alice", policies.ALICE, replace(SUBJECT, round=1)), b"{}", BOB) == ["Bob"]


def code_of(envelope: bytes, *earlier: bytes, publisher: PolicyKey = PAULA) -> str:
    with pytest.raises(PolicyRefused) as caught:
        approvals.accept(envelope, earlier, POLICY, SUBJECT, publisher)
    return caught.value.code


def test_one_more() -> None:
    assert approvals.accept(BOB, [ALICE], POLICY, SUBJECT, PAULA).name == "Bob"


def test_one_that_is_not_taken() -> None:
    assert code_of(ALICE, ALICE) == "approval_duplicate"
    assert code_of(by("Alice", policies.ALICE_TOO), ALICE) == "approval_duplicate"
    assert (
        code_of(ALICE, publisher=POLICY.keys[policies.hint(policies.ALICE)])
        == "approver_not_distinct"
    )
    assert code_of(by("Mallory", policies.ALICE)) == "approver_name_mismatch"
