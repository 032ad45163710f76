"""Signed statements: one signature, bounded bytes, the wanted kind."""

import json
from collections.abc import Callable
from typing import Any, ClassVar

import pytest

from appliance.errors import PolicyRefused
from appliance.trust.bytes import dsse, strict_json
from appliance.trust.policy.policy import PolicyKey, TrustPolicy
from appliance.trust.statements.statement import PAYLOAD_TYPE, Sha256, Statement, Unnamed, named
from tests.trust import policies
from tests.trust.forge import new_key
from tests.trust.policies import ALICE, code_of

DIGEST, OTHER = "ab" * 32, new_key()
Change = Callable[[dict[str, Any]], object]


class Note(Statement, frozen=True):
    """A kind of a task, with an optional text."""

    KIND: ClassVar = "https://example.org/kind/v1"
    NOUN: ClassVar = "Note"
    LIMIT: ClassVar = 10_000
    MALFORMED: ClassVar = "policy_invalid"
    UNSIGNED: ClassVar = "policy_signature"
    SUBJECTS: ClassVar = (("task", "digest"),)
    OPTIONAL: ClassVar = frozenset({"text"})

    task: str
    digest: Sha256
    text: str = ""
    number: int = 0

    def signer(self, hint: str, policy: TrustPolicy) -> PolicyKey:
        return policy.keys[hint]

    def check(self) -> None:
        if self.number < 0:
            raise self.malformed("its number is below 0")


class Apart(Note, frozen=True):
    """A kind whose predicate leaves out its subject."""

    APART: ClassVar = True


class Free(Unnamed, frozen=True):
    KIND: ClassVar = "https://example.org/free/v1"
    NOUN: ClassVar = "Free"
    LIMIT: ClassVar = 10_000
    MALFORMED: ClassVar = "policy_invalid"
    UNSIGNED: ClassVar = "policy_signature"


NOTE = Note("orders", DIGEST, number=7)


def forged(change: Change, said: Statement = NOTE, *keys: Any, kind: str = PAYLOAD_TYPE) -> bytes:
    document = json.loads(said.payload())
    change(document)
    return dsse.sign(strict_json.dump(document), kind, list(keys or [ALICE]))


def nothing(_document: dict[str, Any]) -> None:
    pass


def test_what_was_signed_is_read_again() -> None:
    for said in (NOTE, Note("orders", DIGEST, "read"), Apart("orders", DIGEST)):
        signed = type(said).verify(said.sign(ALICE), policies.parsed())
        assert signed.said == said and signed.key == policies.hint(ALICE)
        assert len(signed.id) == 64 and type(said).open(signed.envelope).id == signed.id
    free = Free((named("x", DIGEST), named("y", DIGEST)))
    assert Free.open(free.sign(ALICE)).said == free


def test_a_kind_says_what_its_predicate_has() -> None:
    assert NOTE.predicate() == {"task": "orders", "digest": DIGEST, "number": 7}
    assert Apart("orders", DIGEST, "read").predicate() == {"text": "read", "number": 0}
    assert Free((named("x", DIGEST),)).predicate() == {}


CHANGES: dict[str, Change] = {
    "another type": lambda d: d.update(_type="x"),
    "no type": lambda d: d.pop("_type"),
    "another kind": lambda d: d.update(predicateType="x"),
    "subjects that are none": lambda d: d.update(subject={}),
    "no predicate": lambda d: d.update(predicate=[]),
    "another subject": lambda d: d["subject"][0].update(name="x"),
    "one subject more": lambda d: d["subject"].append(d["subject"][0]),
    "no subject": lambda d: d.update(subject=[]),
    "a subject with more": lambda d: d["subject"][0].update(uri="x"),
    "a digest that is none": lambda d: d["subject"][0]["digest"].update(sha256="AB" * 32),
    "an unknown field": lambda d: d["predicate"].update(unless="x"),
    "a field that is missing": lambda d: d["predicate"].pop("number"),
    "a field of another type": lambda d: d["predicate"].update(number=True),
    "a number that is no integer": lambda d: d["predicate"].update(number=7.0),
    "what its kind refuses": lambda d: d["predicate"].update(number=-1),
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_what_is_no_statement_of_the_kind_is_refused(change: Change) -> None:
    Note.verify(forged(nothing), policies.parsed())
    assert code_of(lambda: Note.verify(forged(change), policies.parsed())) == "policy_invalid"


def test_what_a_predicate_leaves_out_it_must_not_repeat() -> None:
    apart = Apart("orders", DIGEST)
    for said, name in ((apart, "task"), (Free((named("x", DIGEST),)), "about")):
        again = forged(lambda d, name=name: d["predicate"].update({name: "x"}), said)  # type: ignore[misc]
        assert code_of(lambda a=again, s=said: type(s).open(a)) == "policy_invalid"  # type: ignore[misc]


@pytest.mark.parametrize(
    "envelope",
    [
        b"{}", b" " * 10_001, forged(nothing, NOTE, ALICE, OTHER),
        forged(nothing, kind="text/plain"),
    ],
    ids=["empty", "too long", "two signatures", "another type"],
)  # fmt: skip
def test_what_is_no_envelope_with_one_signature_is_refused(envelope: bytes) -> None:
    assert code_of(lambda: Note.open(envelope)) == "policy_invalid"


def test_a_signature_of_another_key_is_refused() -> None:
    outer = json.loads(forged(nothing, NOTE, OTHER))
    outer["signatures"][0]["keyid"] = policies.hint(ALICE)
    envelope = json.dumps(outer).encode()
    assert code_of(lambda: Note.verify(envelope, policies.parsed())) == "policy_signature"


def test_what_could_not_be_read_is_not_signed() -> None:
    with pytest.raises(PolicyRefused) as caught:
        Note("orders", "no digest").sign(ALICE)
    assert caught.value.code == "policy_invalid"
