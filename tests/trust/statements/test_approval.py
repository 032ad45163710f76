"""Approvals: who, what, when and with which meaning, or a code for what is missing."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from appliance.errors import PolicyRefused, SignatureRefused
from appliance.trust.bytes import dsse, ecdsa
from appliance.trust.policy import policy_document
from appliance.trust.statements import approval
from appliance.trust.statements.approval import ApprovalStatement, ApprovalSubject
from appliance.trust.statements.statement import PAYLOAD_TYPE
from tests.trust.forge import Lab, as_json, b64, new_key

SUBJECT = ApprovalSubject("ab" * 32, "cd" * 32)
TIME_US = 1_764_000_000_000_000


def signed(pem: bytes, name: str = "approver-1", subject: ApprovalSubject = SUBJECT) -> bytes:
    return approval.sign(
        subject, name=name, meaning="fit for use", time_us=TIME_US, private_key=pem
    )


def code_of(envelope: bytes, lab: Lab, subject: ApprovalSubject = SUBJECT) -> str:
    with pytest.raises(PolicyRefused) as caught:
        approval.verify(envelope, lab.policy, subject)
    return caught.value.code


def test_a_valid_approval(lab: Lab) -> None:
    valid = approval.verify(signed(lab.pem("approver-1")), lab.policy, SUBJECT)
    assert (valid.name, valid.meaning) == ("approver-1", "fit for use")
    assert (valid.time, valid.key) == ("2025-11-24T16:00:00Z", lab.hint("approver-1"))


def test_the_name_must_be_the_person_of_the_key(lab: Lab) -> None:
    envelope = signed(lab.pem("approver-1"), name="approver-2")
    assert code_of(envelope, lab) == "approver_name_mismatch"


def test_only_approvers_approve(lab: Lab) -> None:
    assert code_of(signed(lab.pem("publisher"), name="publisher"), lab) == "approver_not_allowed"
    assert code_of(signed(lab.pem("root"), name="root"), lab) == "approver_not_allowed"


@pytest.mark.parametrize(
    "other", [ApprovalSubject("00" * 32, "cd" * 32), ApprovalSubject("ab" * 32, "00" * 32)]
)
def test_an_approval_of_something_else(lab: Lab, other: ApprovalSubject) -> None:
    assert code_of(signed(lab.pem("approver-1"), subject=other), lab) == "approval_other_artifact"


def test_a_signature_by_another_key_under_the_approvers_hint(lab: Lab) -> None:
    document = json.loads(signed(ecdsa.private_pem(new_key())))
    document["signatures"][0]["keyid"] = lab.hint("approver-1")
    assert code_of(as_json(document), lab) == "approval_signature"


def test_a_revoked_approver(lab: Lab) -> None:
    document = lab.document()
    document["revoked"]["keys"] = [lab.hint("approver-1")]
    revoked = policy_document.parse(as_json(document))
    envelope = signed(lab.pem("approver-1"))
    with pytest.raises(PolicyRefused) as caught:
        approval.verify(envelope, revoked, SUBJECT)
    assert caught.value.code == "key_revoked"


Change = Callable[[dict[str, Any]], object]


def predicate(name: str, value: object) -> Change:
    return lambda s: s["predicate"].__setitem__(name, value)


STATEMENTS: dict[str, Change] = {
    "another statement": lambda s: s.__setitem__("_type", "x"),
    "another predicate": lambda s: s.__setitem__("predicateType", "x"),
    "no predicate": lambda s: s.pop("predicate"),
    "no subject": lambda s: s.pop("subject"),
    "no meaning": lambda s: s["predicate"].pop("meaning"),
    "empty meaning": predicate("meaning", " "),
    "long meaning": predicate("meaning", "x" * 501),
    "meaning with an escape": predicate("meaning", "ok\x1b[2K"),
    "long name": predicate("name", "x" * 101),
    "no time": lambda s: s["predicate"].pop("time"),
    "local time": predicate("time", "2026-11-24 16:00"),
    "unknown field": predicate("unless", "it is Monday"),
}


@pytest.mark.parametrize("change", STATEMENTS.values(), ids=STATEMENTS)
def test_malformed_statement(lab: Lab, change: Change) -> None:
    key = lab.key("approver-1")
    statement = json.loads(dsse.parse(signed(lab.pem("approver-1")), PAYLOAD_TYPE, _no).payload)
    change(statement)
    envelope = dsse.sign(as_json(statement), PAYLOAD_TYPE, [key])
    assert code_of(envelope, lab) == "approval_malformed"


def _no(problem: str) -> PolicyRefused:
    return PolicyRefused("approval_malformed", problem)


def test_malformed_envelopes(lab: Lab) -> None:
    one, two = lab.key("approver-1"), lab.key("approver-2")
    good = signed(lab.pem("approver-1"))
    payload = dsse.parse(good, PAYLOAD_TYPE, _no).payload
    for envelope in (
        b"",
        b"{}",
        dsse.sign(payload, "application/json", [one]),
        dsse.sign(payload, PAYLOAD_TYPE, [one, two]),
        good.replace(b64(payload).encode(), b"!"),
        good + b" " * ApprovalStatement.LIMIT,
    ):
        assert code_of(envelope, lab) == "approval_malformed"


def test_a_statement_that_could_not_be_verified_is_not_signed(lab: Lab) -> None:
    with pytest.raises(PolicyRefused) as caught:
        signed(lab.pem("approver-1"), name="")
    assert caught.value.code == "approval_malformed"


def test_an_unusable_key_does_not_sign(tmp_path: Path) -> None:
    with pytest.raises(SignatureRefused) as caught:
        signed(b"garbage")
    assert caught.value.code == "signature_key_unsupported"
