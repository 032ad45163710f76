"""Each "Policy" case of the list of bad inputs (52 to 69) needs its check.

Mutants of cases 57 to 59 are in test_metadata_mutants.py; 53 in an imported artifact is in
test_mutants.py.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace

import pytest

from appliance.errors import ApplianceError
from appliance.trust.artifacts.adapter import Base, parse_statement
from appliance.trust.bytes import ecdsa
from appliance.trust.policy import authorities
from appliance.trust.policy.freshness import Freshness
from appliance.trust.policy.policy import TrustPolicy
from appliance.trust.statements import approval, approvals
from appliance.trust.statements.approval import ApprovalSubject
from tests.trust import certs
from tests.trust.forge import Lab, quiet
from tests.trust.policies import ALICE, ALICE_TOO, BOB, PUBLISHER, hint, models, parsed
from tests.trust.test_mutants import function, mutated

ENGINE = "llama-cpp-python"
SUBJECT = ApprovalSubject("ab" * 32, "cd" * 32)
CHAIN = certs.chain()


def revoked(**what: list[str]) -> TrustPolicy:
    return parsed(lambda d: d["revoked"].update(what))


def signed(name: str, key: ecdsa.PrivateKey, subject: ApprovalSubject = SUBJECT) -> bytes:
    return approval.sign(
        subject, name=name, meaning="fit for use", time_us=10**15,
        private_key=ecdsa.private_pem(key),
    )  # fmt: skip


def accept(envelope: bytes, *earlier: bytes, publisher: ecdsa.PrivateKey = PUBLISHER) -> object:
    policy = parsed()
    return approvals.accept(envelope, earlier, policy, SUBJECT, policy.keys[hint(publisher)])


def person(serials: frozenset[str] = frozenset(), days: int = 0, *, accepted: bool = False) -> str:
    entry = {"certificate": CHAIN.root.pem.decode(), "subjects": {CHAIN.leaf.subject: "Ada"}}
    ours = authorities.parse([entry], ValueError)  # type: ignore[arg-type]
    at_us = certs.NOW_US + days * 86_400_000_000
    return authorities.person(ours, serials, CHAIN.carried, at_us, accepted=accepted)


def serial() -> frozenset[str]:
    return frozenset({f"{CHAIN.leaf.certificate.serial_number:x}"})


def unsigned_adapter(lab: Lab) -> object:
    lab.approved()
    path = lab.adapter()
    (path / "model.sig").unlink()
    lab.store.intake.quarantine(path, "tiny:fr", quiet)
    return lab.store.check("tiny:fr", lab.policy, quiet)


def adapter_as_model(lab: Lab) -> object:
    lab.approved()
    lab.store.intake.quarantine(lab.adapter(), "fr", quiet)
    return lab.store.inventory.vet("fr")


def one_approver(lab: Lab) -> object:
    model_id = lab.verified()
    lab.store.add_approval(model_id, lab.approval(model_id, "approver-1"), lab.policy)
    return lab.store.seal(model_id, lab.policy, quiet)


def other_round(lab: Lab) -> object:
    model_id = lab.verified()
    kept = lab.approval(model_id, "approver-1")
    lab.store.inventory.set_state(model_id, "suspended", new_round=True)
    return lab.store.add_approval(model_id, kept, lab.policy)


@dataclass(frozen=True)
class Case:
    attempt: Callable[[Lab], object]
    code: str
    where: str
    source: str
    by: str = "False"


CASES = {
    "52 a revoked publisher": Case(
        lambda _: revoked(keys=[hint(PUBLISHER)]).publisher(hint(PUBLISHER)),
        "key_revoked", "policy.TrustPolicy._actor", "hint in self.revoked.keys",
    ),
    "52 a revoked approver": Case(
        lambda _: revoked(keys=[hint(ALICE)]).approver(hint(ALICE), "Alice"),
        "key_revoked", "policy.TrustPolicy._actor", "hint in self.revoked.keys",
    ),
    "53 a revoked serial number": Case(
        lambda _: person(serial()), "certificate_revoked", "authorities.person",
        "in revoked_serials", "in ()",
    ),
    "53 a revoked serial number of a certificate that expired since": Case(
        lambda _: person(serial(), 400, accepted=True), "certificate_revoked",
        "authorities.person", "in revoked_serials", "in ()",
    ),
    "45 an expired certificate of what nobody approved": Case(
        lambda _: person(days=400), "certificate_validity", "authorities.person",
        "not accepted and", "False and",
    ),
    "54 a revoked digest": Case(
        lambda _: revoked(digests=["ab" * 32]).check_digests("ab" * 32),
        "digest_revoked", "policy.TrustPolicy.check_digests", "digest in self.revoked.digests",
    ),
    "55 a revoked engine": Case(
        lambda _: revoked(engines=[f"{ENGINE}<2"]).check_engine(ENGINE, "1.9"),
        "engine_revoked", "policy.TrustPolicy.check_engine", "ours < limit",
    ),
    "55 a revoked engine, the limit included": Case(
        lambda _: revoked(engines=[f"{ENGINE}<=2"]).check_engine(ENGINE, "2"),
        "engine_revoked", "policy.TrustPolicy.check_engine", "ours <= limit", "ours < limit",
    ),
    "56 a lower version of the artifact": Case(
        lambda _: (p := parsed(models({"id": "a", "min_version": 4}))).check_version(
            p.models["a"], 3
        ),
        "model_version_refused", "policy.TrustPolicy.check_version",
        "version >= rule.min_version", "version",
    ),
    "60 one approver": Case(
        one_approver, "not_approved", "policy.TrustPolicy.check_approvals", "have < need",
    ),
    "61 the same person twice": Case(
        lambda _: parsed().check_approvals(["Alice", "Alice"]),
        "not_approved", "policy.TrustPolicy.check_approvals", "len(set(persons))", "len(persons)",
    ),
    "61 the same person with another key": Case(
        lambda _: accept(signed("Alice", ALICE_TOO), signed("Alice", ALICE)),
        "approval_duplicate", "approvals.accept", "other.name == given.name",
    ),
    "62 the publisher approves": Case(
        lambda _: accept(signed("Alice", ALICE), publisher=ALICE_TOO),
        "approver_not_distinct", "policy.TrustPolicy.may_approve",
        "approver.person == publisher.person", "False",
    ),
    "62 the publisher approves, whom a certificate gives another name": Case(
        lambda _: approvals.accept(
            signed("Alice", ALICE), (), (p := parsed()), SUBJECT,
            replace(p.keys[hint(ALICE)], person="Ada"),
        ),
        "approver_not_distinct", "policy.TrustPolicy.may_approve",
        "approver.hint == publisher.hint", "False",
    ),
    "63 an approval for another digest": Case(
        lambda _: accept(signed("Bob", BOB, replace(SUBJECT, digest="00" * 32))),
        "approval_other_artifact", "approval.verify", "said.about != subject.named()",
    ),
    "63 an approval that a suspension made void": Case(
        other_round, "approval_void", "approval.verify", "said.round != subject.round",
    ),
    "64 an evaluation that nobody could check": Case(
        lambda _: parsed(models({"id": "a", "require": ["oms", "test-result"]})),
        "policy_invalid", "policy_document._models", "not require <= KNOWN_REQUIREMENTS",
    ),
    "65 a clock that was set back": Case(
        lambda _: Freshness(now_us=0, floor_us=10**15).check_clock(),
        "clock_behind", "freshness.Freshness.check_clock", "self.clock_behind",
    ),
    "66 an adapter for another base": Case(
        lambda _: Base("ab" * 32, "cd" * 32).check("ab" * 32, "00" * 32),
        "adapter_other_base", "adapter.Base.check", "(self.oms_root, self.gguf_sha256) !=",
        "() ==",
    ),
    "67 an adapter that is not signed": Case(
        unsigned_adapter, "signature_missing", "directory.Artifact.signature", "size is None",
    ),
    "67 an adapter that is bound to no base": Case(
        lambda _: parse_statement(b""), "adapter_unbound", "adapter.parse_statement", "not data",
    ),
    "68 an adapter in the place of a model": Case(
        adapter_as_model, "adapter_in_model_place", "gguf.vet", '== "adapter"', "is None",
    ),
    "69 another template than the pinned one": Case(
        lambda _: (p := parsed()).check_template(p.models["pinned"], "back door"),
        "template_not_in_policy", "policy.TrustPolicy.check_template",
        "digest != rule.template_sha256",
    ),
}  # fmt: skip


def outcome(attempt: Callable[[Lab], object], lab: Lab) -> str:
    """The code; "" when it is taken, the exception's name in a crash."""
    try:
        attempt(lab)
    except ApplianceError as error:
        return error.code
    except Exception as error:  # a mutant may do anything
        return type(error).__name__
    return ""


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_without_its_check_it_is_not_refused_so(
    lab: Lab, case: Case, monkeypatch: pytest.MonkeyPatch
) -> None:
    code = mutated(case.where, case.source, case.by)
    monkeypatch.setattr(function(case.where), "__code__", code)
    assert outcome(case.attempt, lab) != case.code


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_it_is_refused(lab: Lab, case: Case) -> None:
    assert outcome(case.attempt, lab) == case.code
