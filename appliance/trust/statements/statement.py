"""The head of a signed statement, which approvals, specifications, certificates and pointers share.

Rules: an envelope has exactly one signature and is no longer than its kind may be; a statement is
of the kind that is asked for. What it says is read and checked by its own module.

Sources: DSSE v1.0; in-toto Statement v1.
"""

import hashlib
import re
from dataclasses import dataclass
from typing import Any, Final

from appliance.trust.bytes import dsse, ecdsa, strict_json
from appliance.trust.bytes.strict_json import Refuse

PAYLOAD_TYPE: Final = "application/vnd.in-toto+json"
TYPE: Final = "https://in-toto.io/Statement/v1"
HEX: Final = re.compile(r"[0-9a-f]{64}")
TIME: Final = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ")


@dataclass(frozen=True)
class Opened:
    """An envelope with one signature, which nobody has checked yet.

    Attributes:
        hint: of the key that is said to have signed.
    """

    envelope: dsse.Envelope
    hint: str

    @property
    def payload(self) -> bytes:
        """What was signed."""
        return self.envelope.payload

    @property
    def digest(self) -> str:
        """Hex SHA-256 of what was signed: the id of the statement."""
        return hashlib.sha256(self.payload).hexdigest()

    def check(self, key: ecdsa.PublicKey, refuse: Refuse) -> None:
        """The key of this hint must have signed it."""
        dsse.signers(self.envelope, {self.hint: key}, refuse)


def opened(data: bytes, limit: int, refuse: Refuse) -> Opened:
    """Read an envelope of at most `limit` bytes."""
    if len(data) > limit:
        raise refuse(f"{len(data)} bytes are more than {limit}")
    envelope = dsse.parse(data, PAYLOAD_TYPE, refuse)
    if len(envelope.signatures) != 1:
        raise refuse("it must have exactly one signature")
    return Opened(envelope, envelope.signatures[0][0])


def parts(
    payload: bytes, predicate_type: str, limit: int, refuse: Refuse
) -> tuple[list[Any], dict[str, Any]]:
    """The subjects and the predicate of a statement of this kind."""
    value = strict_json.parse(payload, refuse, limit=limit)
    for name, wanted in (("_type", TYPE), ("predicateType", predicate_type)):
        if strict_json.member(value, name, str, refuse) != wanted:
            raise refuse(f"{name} is not {wanted}")
    subjects: list[Any] = strict_json.member(value, "subject", list, refuse)
    return subjects, strict_json.member(value, "predicate", dict, refuse)


def subject(name: str, digest: str) -> dict[str, Any]:
    """One subject."""
    return {"name": name, "digest": {"sha256": digest}}


def read_subject(entry: object, refuse: Refuse) -> tuple[str, str]:
    """Name and digest of a subject; the digest is one."""
    name = strict_json.member(entry, "name", str, refuse)
    digests: dict[str, Any] = strict_json.member(entry, "digest", dict, refuse)
    digest = strict_json.member(digests, "sha256", str, refuse)
    if not HEX.fullmatch(digest):
        raise refuse("a digest is no lower-case SHA-256")
    return name, digest


def document(
    subjects: list[dict[str, Any]], predicate_type: str, predicate: dict[str, Any]
) -> dict[str, Any]:
    """A statement."""
    return {
        "_type": TYPE,
        "subject": subjects,
        "predicateType": predicate_type,
        "predicate": predicate,
    }
