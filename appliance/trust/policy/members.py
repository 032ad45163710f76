"""Appliances of one site, as the trust policy lists them, and the request to be listed.

Rules: a member is known by the first key of its log, and signs by its evidence key, its request to
be listed too; where a certificate is named, TLS accepts no other. No two members share or look
alike in name, log or key.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from appliance.errors import PolicyRefused, SignatureRefused
from appliance.trust.bytes import dsse, ecdsa, strict_json
from appliance.trust.bytes.strict_json import Refuse
from appliance.trust.policy import people
from appliance.types import JsonValue

REQUEST: Final = "application/vnd.appliance.site-request+json"
MOST: Final = 256
STALE_SECONDS: Final = 60
_LOG: Final = re.compile(r"([!-*,-~]{1,200})\+[0-9a-f]{8}\+[A-Za-z0-9+/=]{20,100}")
_CERTIFICATE: Final = re.compile(r"([0-9a-f]{64})?")
_FIELDS: Final = {"name", "log_key", "key", "certificate"}


@dataclass(frozen=True)
class SiteMember:
    """An appliance of the site.

    Attributes:
        log_key: the first verifier key of its log, a line.
        certificate: hex SHA-256 of its TLS certificate; "" for any of the pinned CA.
    """

    name: str
    log_key: str
    hint: str
    key: ecdsa.PublicKey
    certificate: str = ""

    @property
    def log(self) -> str:
        return self.log_key.partition("+")[0]

    def document(self) -> dict[str, JsonValue]:
        return {
            "name": self.name,
            "log_key": self.log_key,
            "key": ecdsa.public_pem(self.key).decode(),
            "certificate": self.certificate,
        }

    def asks(self, key: ecdsa.SigningKey) -> bytes:
        """The signed request to be listed."""
        return dsse.sign(strict_json.dump(self.document()), REQUEST, [key])


@dataclass(frozen=True)
class SiteRule:
    """Members of the site, and the rule for one that hears no other.

    Attributes:
        members: by the hint of their key.
        stale_seconds: after so many without an answer of another a member is on its own.
        refuse_stale: it answers no app then, takes no approval and no look.
    """

    members: Mapping[str, SiteMember] = field(default_factory=dict)
    stale_seconds: int = STALE_SECONDS
    refuse_stale: bool = False


def parse(table: dict[str, JsonValue], refuse: Refuse) -> SiteRule:
    """Read the member `site` of a policy."""
    strict_json.only(table, {"members", "stale_seconds", "refuse_stale"}, "site", refuse)
    entries: list[JsonValue] = strict_json.member(table, "members", list, refuse)
    seconds = strict_json.optional(table, "stale_seconds", int, STALE_SECONDS, refuse)
    if not (2 <= len(entries) <= MOST and 5 <= seconds <= 86_400):
        raise refuse(f"site has 2 to {MOST} members, and stale_seconds is 5 to 86400")
    found = [_member(entry, refuse) for entry in entries]
    for each in ("name", "log", "hint"):
        if len({getattr(member, each) for member in found}) < len(found):
            raise refuse(f"two members of the site have one {each}")
    if pair := people.lookalikes(member.name for member in found):
        raise refuse(f"the members {pair[0]!r} and {pair[1]!r} look like one")
    refuses = strict_json.optional(table, "refuse_stale", bool, False, refuse)
    return SiteRule({member.hint: member for member in found}, seconds, refuses)


def requested(request: bytes) -> SiteMember:
    """The member that asks to be listed. Raises PolicyRefused (`site_request`)."""
    envelope = dsse.parse(request, REQUEST, _refused)
    member = _member(strict_json.parse(envelope.payload, _refused), _refused)
    dsse.signers(envelope, {member.hint: member.key}, _refused)
    return member


def with_members(policy: bytes, requests: list[bytes]) -> bytes:
    """A policy's file that lists those who asked, in place of members with their names
    (`site_request`).
    """
    value = strict_json.parse(policy, _invalid)
    if not isinstance(value, dict):
        raise _invalid("it is not an object")
    site = strict_json.optional(value, "site", dict, {}, _invalid)
    there: list[JsonValue] = strict_json.optional(site, "members", list, [], _invalid)
    asked = [requested(request).document() for request in requests]
    names = {member["name"] for member in asked}
    kept = [one for one in there if not (isinstance(one, dict) and one.get("name") in names)]
    return strict_json.dump({**value, "site": {**site, "members": [*kept, *asked]}})


def _member(entry: JsonValue, refuse: Refuse) -> SiteMember:
    name, log_key, pem, certificate = (
        strict_json.member(entry, each, str, refuse)
        for each in ("name", "log_key", "key", "certificate")
    )
    if isinstance(entry, dict):
        strict_json.only(entry, _FIELDS, f"member {name[:64]!r}", refuse)
    if not people.usable(name):
        raise refuse("a member of the site has no usable name")
    if not (_LOG.fullmatch(log_key) and _CERTIFICATE.fullmatch(certificate)):
        raise refuse(f"member {name}: log_key or certificate has not the form of one")
    try:
        key = ecdsa.load_public(pem.encode())
    except SignatureRefused as error:
        raise refuse(f"member {name}: {error.message}") from error
    return SiteMember(name, log_key, ecdsa.hint(key), key, certificate)


def _refused(problem: str) -> PolicyRefused:
    return PolicyRefused("site_request", f"Request to be listed: {problem}.")


def _invalid(problem: str) -> PolicyRefused:
    return PolicyRefused("policy_invalid", f"Trust policy: {problem}.")
