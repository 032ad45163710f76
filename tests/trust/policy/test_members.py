"""Appliances in the trust policy, each listed once by a request that its key signed."""

import json
from typing import Any

import pytest

from appliance.errors import PolicyRefused
from appliance.trust.bytes import dsse, ecdsa
from appliance.trust.policy import members, policy_document
from appliance.trust.policy.members import REQUEST, SiteMember
from tests.trust.forge import as_json, new_key
from tests.trust.policies import ALICE, Change, bound, code_of, document, hint, parsed, put

ONE, TWO = new_key(), new_key()
LOG = "appliance.site/{}+0badc0de+AbcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQR="


def member(name: str, key: ecdsa.PrivateKey, certificate: str = "") -> SiteMember:
    return SiteMember(name, LOG.format(name), hint(key), key.public_key(), certificate)


SITE = {"members": [member("north", ONE).document(), member("south", TWO, "ab" * 32).document()]}


def changed(number: int, name: str, value: object) -> Change:
    def change(policy: dict[str, Any]) -> None:
        policy["site"] = json.loads(json.dumps(SITE))
        policy["site"]["members"][number][name] = value

    return change


def test_members_are_read_and_said_to_who_signs() -> None:
    read = parsed(put("", "site", {**SITE, "stale_seconds": 30, "refuse_stale": True}))
    assert [one.document() for one in read.site.members.values()] == SITE["members"]
    assert (read.site.stale_seconds, read.site.refuse_stale) == (30, True)
    assert read.member(hint(ONE)).person == "north"
    assert code_of(lambda: read.member(hint(ALICE))) == "member_not_listed"
    gone = {"keys": [hint(ONE)], "digests": [], "engines": []}
    ended = parsed(lambda d: d.update(site=SITE, revoked=gone))
    assert code_of(lambda: ended.member(hint(ONE))) == "member_revoked"
    assert ended.member(hint(TWO)).person == "south"


def test_a_policy_of_before_is_the_policy_that_it_was() -> None:
    assert dict(parsed().site.members) == {}


INVALID: dict[str, Change] = {
    "one member": put("", "site", {"members": SITE["members"][:1]}),
    "too many": put("", "site", {"members": SITE["members"] * 200}),
    "no members": put("", "site", {}),
    "an unknown field": put("", "site", {**SITE, "leader": "north"}),
    "stale at once": put("", "site", {**SITE, "stale_seconds": 0}),
    "stale as a word": put("", "site", {**SITE, "refuse_stale": "yes"}),
    "an unknown field of a member": changed(0, "role", "leader"),
    "a name twice": changed(0, "name", "south"),
    "names that look alike": changed(0, "name", "s\u043euth"),
    "a name that does not print": changed(0, "name", "nor\x1bth"),
    "a log twice": changed(0, "log_key", LOG.format("south")),
    "no log": changed(0, "log_key", "north"),
    "a key twice": changed(0, "key", SITE["members"][1]["key"]),
    "no key": changed(0, "key", "x"),
    "a person's key": changed(0, "key", bound(ALICE, "")[hint(ALICE)]["pem"]),
    "a certificate that is none": changed(0, "certificate", "AB" * 32),
}


@pytest.mark.parametrize("name", INVALID)
def test_a_site_that_cannot_be_is_refused(name: str) -> None:
    assert code_of(lambda: parsed(INVALID[name])) == "policy_invalid"


def test_requests_become_members_of_a_policy() -> None:
    asked = [member("north", ONE).asks(ONE), member("south", TWO).asks(TWO)]
    made = members.with_members(as_json(document()), asked)
    assert {one.name for one in policy_document.parse(made).site.members.values()} == {
        "north", "south",
    }  # fmt: skip
    other = member("south", ALICE).asks(ALICE)  # a new key in the place of an old one
    again = json.loads(members.with_members(made, [other]))
    assert [one["name"] for one in again["site"]["members"]] == ["north", "south"]
    assert again["site"]["members"][1]["key"] == member("south", ALICE).document()["key"]


@pytest.mark.parametrize(
    "request_", [
        b"", b"{}", b"[]", member("north", ONE).asks(TWO), b'{"payload":1}',
        dsse.sign(as_json({**member("north", ONE).document(), "role": "x"}), REQUEST, [ONE]),
        dsse.sign(as_json(member("north", ONE).document()), "application/json", [ONE]),
    ],
)  # fmt: skip
def test_a_request_that_its_key_did_not_sign_is_refused(request_: bytes) -> None:
    with pytest.raises(PolicyRefused) as caught:
        members.with_members(as_json(document()), [request_])
    assert caught.value.code == "site_request"
