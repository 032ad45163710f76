"""The head of signed statements: one signature, no more bytes than may be, the kind asked for."""

from typing import Any

import pytest

from appliance.errors import ApplianceError, PolicyRefused
from appliance.trust.bytes import dsse, strict_json
from appliance.trust.statements import statement
from tests.trust.forge import new_key

KIND = "https://example.org/kind/v1"
KEY, OTHER = new_key(), new_key()
DIGEST = "ab" * 32


def _refuse(problem: str) -> ApplianceError:
    return PolicyRefused("policy_invalid", problem)


def _sign(document: dict[str, Any], *keys: Any, kind: str = statement.PAYLOAD_TYPE) -> bytes:
    return dsse.sign(strict_json.dump(document), kind, list(keys or [KEY]))


def _document(**changes: Any) -> dict[str, Any]:
    made = statement.document([statement.subject("task", DIGEST)], KIND, {"n": 1})
    return {**made, **changes}


def test_what_was_signed_is_read_and_its_signature_is_checked_apart() -> None:
    opened = statement.opened(_sign(_document()), 10_000, _refuse)
    subjects, predicate = statement.parts(opened.payload, KIND, 10_000, _refuse)
    assert statement.read_subject(subjects[0], _refuse) == ("task", DIGEST)
    assert predicate == {"n": 1} and len(opened.digest) == 64
    opened.check(KEY.public_key(), _refuse)
    with pytest.raises(PolicyRefused):
        opened.check(OTHER.public_key(), _refuse)


@pytest.mark.parametrize(
    "data",
    [
        b"{}", b" " * 10_001, _sign(_document(), KEY, OTHER), _sign(_document(), kind="text/plain"),
    ],
    ids=["empty", "too long", "two signatures", "another type"],
)  # fmt: skip
def test_what_is_no_envelope_with_one_signature_is_refused(data: bytes) -> None:
    with pytest.raises(PolicyRefused):
        statement.opened(data, 10_000, _refuse)


@pytest.mark.parametrize(
    "changes",
    [{"_type": "x"}, {"predicateType": "x"}, {"subject": {}}, {"predicate": []}, {"_type": None}],
)
def test_what_is_of_another_kind_is_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(PolicyRefused):
        statement.parts(strict_json.dump(_document(**changes)), KIND, 10_000, _refuse)


@pytest.mark.parametrize(
    "subject", [None, {}, {"name": "x"}, statement.subject("x", "AB" * 32), {"name": 1}]
)
def test_what_is_no_subject_is_refused(subject: object) -> None:
    with pytest.raises(PolicyRefused):
        statement.read_subject(subject, _refuse)
