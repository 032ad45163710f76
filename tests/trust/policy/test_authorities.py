"""Authorities of the trust policy: whose certificates may publish, and as whom."""

from collections.abc import Callable
from typing import Any

import pytest

from appliance.errors import PolicyRefused, Refused, SignatureRefused
from appliance.trust.artifacts import signing
from appliance.trust.bytes import ecdsa
from appliance.trust.policy import authorities, policy, policy_document
from tests.trust import certs
from tests.trust.certs import LEAF, NOW_US, Chain, chain
from tests.trust.forge import Lab, as_json, quiet

CHAIN = chain(LEAF.but(serial=0xABC123))
OTHER = chain()


def entry(made: Chain = CHAIN, person: str = "Ada") -> dict[str, Any]:
    return {"certificate": made.root.pem.decode(), "subjects": {made.leaf.subject: person}}


def refuse(problem: str) -> PolicyRefused:
    return PolicyRefused("policy_invalid", problem)


def parse(*entries: Any) -> tuple[authorities.Authority, ...]:
    return authorities.parse(list(entries), refuse)


def person(made: Chain = CHAIN, revoked: frozenset[str] = frozenset(), at_us: int = NOW_US) -> str:
    return authorities.person(parse(entry()), revoked, made.carried, at_us)


def code_of(action: Callable[[], object]) -> str:
    with pytest.raises(Refused) as caught:
        action()
    return caught.value.code


def test_a_listed_subject_is_its_person() -> None:
    assert person() == "Ada"


def test_who_is_not_meant() -> None:
    (authority,) = parse({**entry(), "subjects": {"CN=Somebody": "Bob"}})
    action = lambda: authorities.person([authority], frozenset(), CHAIN.carried, NOW_US)  # noqa: E731
    assert code_of(action) == "publisher_not_allowed"
    assert code_of(lambda: person(OTHER)) == "certificate_untrusted"
    action = lambda: authorities.person([], frozenset(), CHAIN.carried, NOW_US)  # noqa: E731
    assert code_of(action) == "publisher_not_allowed"


def test_a_subject_counts_under_its_own_authority_only() -> None:
    ours = {**entry(), "subjects": {"CN=Nobody": "Bob"}}
    both = parse(ours, entry(OTHER, "Eve"))
    assert CHAIN.leaf.subject == OTHER.leaf.subject
    action = lambda: authorities.person(both, frozenset(), CHAIN.carried, NOW_US)  # noqa: E731
    assert code_of(action) == "publisher_not_allowed"
    assert authorities.person(both, frozenset(), OTHER.carried, NOW_US) == "Eve"


@pytest.mark.parametrize("which", ["leaf", "issuer", "root"])
def test_a_revoked_serial_number_anywhere_in_the_path(which: str) -> None:
    serial = f"{getattr(CHAIN, which).certificate.serial_number:x}"
    assert code_of(lambda: person(revoked=frozenset({serial}))) == "certificate_revoked"
    assert person(revoked=frozenset({"1"})) == "Ada"


def test_an_expired_certificate_is_told_apart() -> None:
    later = NOW_US + 400 * 86_400_000_000
    assert code_of(lambda: person(at_us=later)) == "certificate_validity"
    assert code_of(lambda: person(at_us=NOW_US - 2 * 86_400_000_000)) == "certificate_validity"
    serial = f"{CHAIN.issuer.certificate.serial_number:x}"
    assert code_of(lambda: person(CHAIN, frozenset({serial}), later)) == "certificate_revoked"


@pytest.mark.parametrize("days", [-400, 0, 400, 4000])
def test_what_was_accepted_may_have_expired(days: int) -> None:
    at_us = NOW_US + days * 86_400_000_000
    ours = parse(entry())
    assert authorities.person(ours, frozenset(), CHAIN.carried, at_us, accepted=True) == "Ada"
    action = lambda: authorities.person(  # noqa: E731
        parse(entry(OTHER)), frozenset(), CHAIN.carried, at_us, accepted=True
    )
    assert code_of(action) == "certificate_untrusted"
    revoked = frozenset({"abc123"})
    action = lambda: authorities.person(ours, revoked, CHAIN.carried, at_us, accepted=True)  # noqa: E731
    assert code_of(action) == "certificate_revoked"


def test_certificates_that_were_never_valid_together_are_never_accepted() -> None:
    past = LEAF.but(start=certs.NOW - 900 * certs.DAY, end=certs.NOW - 800 * certs.DAY)
    never = chain(past)
    ours = parse(entry(never))
    action = lambda: authorities.person(ours, frozenset(), never.carried, NOW_US, accepted=True)  # noqa: E731
    assert code_of(action) == "certificate_validity"


BAD: dict[str, Any] = {
    "no certificate": {"subjects": {"CN=a": "a"}},
    "not PEM": {**entry(), "certificate": "x"},
    "two certificates": {**entry(), "certificate": (CHAIN.root.pem + CHAIN.issuer.pem).decode()},
    "no CA": {**entry(), "certificate": CHAIN.leaf.pem.decode()},
    "no subjects": {**entry(), "subjects": {}},
    "person a number": {**entry(), "subjects": {"CN=a": 1}},
    "an empty subject": {**entry(), "subjects": {"": "a"}},
    "too many subjects": {**entry(), "subjects": {f"CN={n}": "a" for n in range(257)}},
    "unknown field": {**entry(), "skip": True},
    "a string": "CA",
}


@pytest.mark.parametrize("bad", BAD.values(), ids=BAD)
def test_a_bad_authority_makes_the_policy_invalid(bad: Any) -> None:
    assert code_of(lambda: parse(bad)) == "policy_invalid"


def test_an_authority_is_listed_once() -> None:
    assert len(parse(entry(), entry(OTHER))) == 2
    assert code_of(lambda: parse(entry(), entry())) == "policy_invalid"


# In the policy


def under(lab: Lab, **changes: Any) -> policy.TrustPolicy:
    document = lab.document()
    document["authorities"] = [entry()]
    document["revoked"].update(changes)
    return policy_document.parse(as_json(document))


def sign(lab: Lab, made: Chain = CHAIN) -> None:
    key = ecdsa.private_pem(made.leaf.key)
    signing.sign_directory(lab.artifact, key, quiet, chain_pem=made.pem)


def test_a_certificate_publishes_and_its_person_may_not_approve(lab: Lab) -> None:
    document = lab.document()
    document["authorities"] = [entry(person="approver-1")]
    own = policy_document.parse(as_json(document))
    sign(lab)
    lab.store.intake.quarantine(lab.artifact, None, quiet)
    checked = lab.store.check("tiny", own, quiet)
    lab.store.inventory.set_state("tiny", "verified", digest=checked.digest, facts=checked.facts)
    with pytest.raises(PolicyRefused) as caught:
        lab.store.add_approval("tiny", lab.approval("tiny", "approver-1"), own)
    assert caught.value.code == "approver_not_distinct"
    lab.store.add_approval("tiny", lab.approval("tiny", "approver-2"), own)  # the control


def test_from_a_certificate_to_a_verified_model_and_its_recheck(lab: Lab) -> None:
    sign(lab)
    ours = under(lab)
    lab.store.intake.quarantine(lab.artifact, None, quiet)
    checked = lab.store.check("tiny", ours, quiet)
    lab.store.inventory.set_state("tiny", "verified", digest=checked.digest, facts=checked.facts)
    for name in ("approver-1", "approver-2"):
        lab.store.add_approval("tiny", lab.approval("tiny", name), ours)
    model = lab.store.seal("tiny", ours, quiet)
    lab.store.recheck(model, ours)
    revoked = under(lab, serials=["abc123"])
    assert code_of(lambda: lab.store.recheck(model, revoked)) == "certificate_revoked"
    assert code_of(lambda: lab.store.recheck(model, lab.policy)) == "publisher_not_allowed"
    model.close()


def test_what_was_approved_in_time_goes_on_after_the_expiry_until_it_is_revoked(lab: Lab) -> None:
    sign(lab)
    ours, revoked = under(lab), under(lab, serials=["abc123"])
    lab.store.intake.quarantine(lab.artifact, None, quiet)
    checked = lab.store.check("tiny", ours, quiet)
    lab.store.inventory.set_state("tiny", "verified", digest=checked.digest, facts=checked.facts)
    for name in ("approver-1", "approver-2"):
        lab.store.add_approval("tiny", lab.approval("tiny", name), ours)
    lab.clock.advance(400 * 86_400)
    assert code_of(lambda: lab.store.seal("tiny", ours, quiet)) == "certificate_validity"
    lab.store.inventory.set_state("tiny", "approved")
    model = lab.store.seal("tiny", ours, quiet)
    lab.store.recheck(model, ours)
    lab.store.ask("tiny", ours)
    for action in (
        lambda: lab.store.recheck(model, revoked),
        lambda: lab.store.ask("tiny", revoked),
        lambda: lab.store.seal("tiny", revoked, quiet),
    ):
        assert code_of(action) == "certificate_revoked"
    document = lab.document()
    document["authorities"] = [entry()]
    document["revoked"]["keys"] = [lab.hint("approver-2")]
    fewer = policy_document.parse(as_json(document))
    assert code_of(lambda: lab.store.recheck(model, fewer)) == "not_approved"
    model.close()
    lab.store.inventory.set_state("tiny", "suspended", new_round=True)
    envelope = lab.approval("tiny", "approver-1")
    anew = lambda: lab.store.add_approval("tiny", envelope, ours)  # noqa: E731
    assert code_of(anew) == "certificate_validity"  # approving anew is something new


def test_a_certificate_does_not_stand_in_for_a_listed_key(lab: Lab) -> None:
    """The publisher's bare key in a stranger's certificate is the stranger's word."""
    stranger = certs.chain()
    key = lab.key("publisher")
    made = certs.Chain(
        certs.Made(certs.make(LEAF, stranger.issuer).certificate, key),
        stranger.issuer,
        stranger.root,
    )
    with pytest.raises(SignatureRefused):
        sign(lab, made)  # another key's certificate is not even signed with
    sign(lab)
    lab.store.intake.quarantine(lab.artifact, None, quiet)
    assert code_of(lambda: lab.store.check("tiny", lab.policy, quiet)) == "publisher_not_allowed"


def test_a_revoked_key_in_a_certificate(lab: Lab) -> None:
    sign(lab)
    lab.store.intake.quarantine(lab.artifact, None, quiet)
    hint = ecdsa.hint(CHAIN.leaf.key.public_key())
    action = lambda: lab.store.check("tiny", under(lab, keys=[hint]), quiet)  # noqa: E731
    assert code_of(action) == "key_revoked"


def test_serial_numbers_of_the_policy_are_hexadecimal(lab: Lab) -> None:
    assert under(lab, serials=["abc123"]).revoked.serials == {"abc123"}
    for bad in ("ABC", "0a", "", "g", "1" * 41):
        assert code_of(lambda b=bad: under(lab, serials=[b])) == "policy_invalid"  # type: ignore[misc]


def test_a_person_of_an_authority_has_a_usable_name(lab: Lab) -> None:
    document = lab.document()
    document["authorities"] = [entry(person=" ")]
    assert code_of(lambda: policy_document.parse(as_json(document))) == "policy_invalid"
