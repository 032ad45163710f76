"""Specifications: signed by a person of the policy, complete, and not to be edited."""

import base64
import json
from typing import Any

import pytest

from appliance.errors import PolicyRefused
from appliance.trust.statements.specification import Specification
from tests.evals.gates import STRANGER, edited, policy, signed, wanted
from tests.trust import policies


def code(envelope: bytes, change: policies.Change = lambda d: None) -> str:
    with pytest.raises(PolicyRefused) as caught:
        Specification.verify(envelope, policy(change))
    return caught.value.code


def test_what_was_signed_is_read_again() -> None:
    floors, packs = {"": 600_000, "north": 500_000}, {"general": 700_000}
    terms = wanted(floors=floors, packs=packs, items="one", incumbent_digest="ab" * 32)
    found = Specification.verify(signed(terms), policy())
    assert found.said == terms
    again = Specification.verify(signed(terms), policy())
    assert again.id == found.id  # of what is signed, not of the signature


def test_terms_without_packs_are_those_of_older_versions() -> None:
    assert "packs" not in wanted().predicate()


def test_an_approver_may_specify_too() -> None:
    terms = wanted(name="Alice")
    assert Specification.verify(signed(terms, policies.ALICE), policy()).said.name == "Alice"


def test_who_may_not_sign() -> None:
    assert code(signed(wanted(), STRANGER)) == "specifier_not_allowed"
    assert code(signed(wanted(name="Alice"))) == "specifier_not_allowed"
    revoked = policies.put("revoked", "keys", [policies.hint(policies.PUBLISHER)])
    assert code(signed(wanted()), revoked) == "key_revoked"


def test_an_edited_margin_is_refused() -> None:
    looser = edited(signed(wanted()), lambda s: s["predicate"].update(margin_micros=90_000))
    assert code(looser) == "specification_signature"


def test_an_unsigned_specification_is_refused() -> None:
    outer = json.loads(signed(wanted()))
    assert code(json.dumps({**outer, "signatures": []}).encode()) == "specification_invalid"
    twice = {**outer, "signatures": outer["signatures"] * 2}
    assert code(json.dumps(twice).encode()) == "specification_invalid"
    assert code(b"{}") == "specification_invalid"
    assert code(b" " * (Specification.LIMIT + 1)) == "specification_invalid"


@pytest.mark.parametrize(
    "change",
    [
        {"margin_micros": 0}, {"margin_micros": 1_000_000}, {"alpha_micros": 0},
        {"alpha_micros": 300_000}, {"looks": 0}, {"split": "train"}, {"items": "some"},
        {"seed": "short"}, {"task_digest": "AB" * 32}, {"model_digest": ""},
        {"floors": {"": 0}}, {"floors": {"": 1_000_000}}, {"time": "today"}, {"name": " "},
        {"packs": {"general": 0}}, {"packs": {"general": 1_000_000}}, {"packs": {"": 1_000}},
        {"packs": {"general": True}},
        {"incumbent": ""}, {"incumbent_digest": "xyz"}, {"task": "a\nb"},
    ],
)  # fmt: skip
def test_terms_that_mean_nothing_cannot_be_signed(change: dict[str, Any]) -> None:
    with pytest.raises(PolicyRefused) as caught:
        signed(wanted(**change))
    assert caught.value.code == "specification_invalid"


@pytest.mark.parametrize("field", ["predicate", "predicateType", "_type", "subject"])
def test_a_missing_part_is_refused(field: str) -> None:
    outer = json.loads(signed(wanted()))
    statement = json.loads(base64.b64decode(outer["payload"]))
    del statement[field]
    with pytest.raises(PolicyRefused) as caught:
        Specification.read(json.dumps(statement).encode())
    assert caught.value.code == "specification_invalid"
    statement = json.loads(base64.b64decode(outer["payload"]))
    statement["predicate"]["surprise"] = 1
    with pytest.raises(PolicyRefused):
        Specification.read(json.dumps(statement).encode())
