"""Certificate authorities of the trust policy: whose certificates may publish.

Rules: an authority is one root CA with the subjects that it may vouch for; a subject is compared as
a whole, in RFC 4514's form, and bound to one person; a revoked serial number ends its path, no
matter who issued it and when.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from cryptography import x509

from appliance.errors import PolicyRefused, SignatureRefused
from appliance.trust.bytes import certificate, strict_json
from appliance.trust.bytes.strict_json import Refuse

SERIAL: Final = re.compile(r"[1-9a-f][0-9a-f]{0,39}")
_MAX_SUBJECTS: Final = 256


@dataclass(frozen=True)
class Authority:
    """A root and whom it may vouch for.

    Attributes:
        subjects: the person by RFC 4514 subject.
    """

    root: x509.Certificate
    subjects: Mapping[str, str]

    @property
    def fingerprint(self) -> str:
        """Hex SHA-256 of the root's DER."""
        return certificate.fingerprint(self.root)


def parse(entries: list[Any], refuse: Refuse) -> tuple[Authority, ...]:
    """Read the member `authorities` of a policy."""
    found: dict[str, Authority] = {}
    for entry in entries:
        pem = strict_json.member(entry, "certificate", str, refuse)
        subjects: dict[str, Any] = strict_json.member(entry, "subjects", dict, refuse)
        strict_json.only(entry, {"certificate", "subjects"}, "an authority", refuse)
        try:
            certificates = certificate.load_pem(pem.encode())
        except SignatureRefused as error:
            raise refuse(f"an authority: {error.message}") from error
        if len(certificates) != 1 or not certificate.is_authority(certificates[0]):
            raise refuse("an authority is not exactly one CA certificate")
        if not 0 < len(subjects) <= _MAX_SUBJECTS:
            raise refuse(f"an authority has {len(subjects)} subjects")
        if any(type(person) is not str or not subject for subject, person in subjects.items()):
            raise refuse("subjects must name one person each")
        authority = Authority(certificates[0], dict(subjects))
        if authority.fingerprint in found:
            raise refuse("an authority is listed twice")
        found[authority.fingerprint] = authority
    return tuple(found.values())


def person(
    authorities: Sequence[Authority],
    revoked_serials: frozenset[str],
    chain: Sequence[x509.Certificate],
    at_us: int,
    *,
    accepted: bool = False,
) -> str:
    """Name the signer of a chain's first certificate.

    Args:
        at_us: when it must be valid, microseconds since the epoch.
        accepted: it was accepted while it was valid, and may be expired now.

    Raises:
        PolicyRefused: `certificate_revoked`, `publisher_not_allowed`.
    """
    if not authorities:
        raise PolicyRefused("publisher_not_allowed", "The policy trusts no authority.")
    roots = [authority.root for authority in authorities]
    issuers = [root for root in roots if root.subject == chain[-1].issuer]
    valid_us = certificate.within([*chain, *issuers], at_us)
    path = certificate.verify(chain, roots, valid_us)
    for member in (*chain, *path):
        if f"{member.serial_number:x}" in revoked_serials:
            raise PolicyRefused(
                "certificate_revoked", f"The serial number {member.serial_number:x} is revoked."
            )
    if not accepted and valid_us != at_us:
        certificate.verify(chain, roots, at_us)
    root, subject = certificate.fingerprint(path[-1]), certificate.subject(path[0])
    for authority in authorities:
        if authority.fingerprint == root and subject in authority.subjects:
            return authority.subjects[subject]
    raise PolicyRefused(
        "publisher_not_allowed", f"The policy does not allow {subject[:200]} under this authority."
    )
