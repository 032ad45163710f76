"""DSSE v1.0 envelopes: a payload, its type, and signatures over both.

Rules: the payload's bytes are never serialised again; base64 is checked strictly; every signature
must hold under a trusted key, and no key signs twice, so an envelope carries nothing unchecked.

Source: https://github.com/secure-systems-lab/dsse (protocol.md, envelope.md)
"""

import base64
import binascii
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from appliance.trust.bytes import ecdsa, strict_json
from appliance.trust.bytes.strict_json import Refuse

MAX_SIGNATURES: Final = 16


@dataclass(frozen=True)
class Envelope:
    """An unverified envelope.

    Attributes:
        signatures: pairs of key id (may be empty) and DER signature.
    """

    payload: bytes
    payload_type: str
    signatures: tuple[tuple[str, bytes], ...]

    @property
    def signed_bytes(self) -> bytes:
        return pae(self.payload_type, self.payload)


def pae(payload_type: str, payload: bytes) -> bytes:
    """The pre-authentication encoding."""
    kind = payload_type.encode()
    return b"DSSEv1 %d %s %d %s" % (len(kind), kind, len(payload), payload)


def sign(payload: bytes, payload_type: str, keys: Sequence[ecdsa.SigningKey]) -> bytes:
    """An envelope over `payload`, signed by each key."""
    message = pae(payload_type, payload)
    return strict_json.dump(
        {
            "payload": base64.b64encode(payload).decode(),
            "payloadType": payload_type,
            "signatures": [
                {
                    "keyid": ecdsa.hint(key.public_key()),
                    "sig": base64.b64encode(ecdsa.sign(key, message)).decode(),
                }
                for key in keys
            ],
        }
    )


def parse(data: bytes, payload_type: str, refuse: Refuse) -> Envelope:
    """Read an envelope of this type from JSON."""
    return from_json(strict_json.parse(data, refuse), payload_type, refuse)


def from_json(value: object, payload_type: str, refuse: Refuse) -> Envelope:
    """Read an envelope that is part of a larger document."""
    if strict_json.member(value, "payloadType", str, refuse) != payload_type:
        raise refuse(f"payloadType is not {payload_type}")
    payload = decode_base64(strict_json.member(value, "payload", str, refuse), refuse)
    entries: list[Any] = strict_json.member(value, "signatures", list, refuse)
    if not 0 < len(entries) <= MAX_SIGNATURES:
        raise refuse(f"there are {len(entries)} signatures")
    return Envelope(payload, payload_type, tuple(_signature(entry, refuse) for entry in entries))


def _signature(entry: object, refuse: Refuse) -> tuple[str, bytes]:
    signature = decode_base64(strict_json.member(entry, "sig", str, refuse), refuse)
    if not ecdsa.is_der(signature):
        raise refuse("a signature is not DER with two positive integers")
    key_id = entry.get("keyid") if isinstance(entry, dict) else None
    if key_id is not None and not isinstance(key_id, str):
        raise refuse("keyid must be of type str")
    return key_id or "", signature


def decode_base64(text: str, refuse: Refuse) -> bytes:
    """Standard base64 in its one canonical form."""
    try:
        data = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as error:
        raise refuse("base64 is malformed") from error
    if base64.b64encode(data).decode() != text:
        raise refuse("base64 is not canonical")
    return data


def signers(
    envelope: Envelope, keys: Mapping[str, ecdsa.PublicKey], refuse: Refuse
) -> tuple[str, ...]:
    """The hints of the keys that signed.

    Args:
        keys: the trusted keys by hint; the key id of each signature must name one.
    """
    found: list[str] = []
    for key_id, signature in envelope.signatures:
        key = keys.get(key_id)
        if key is None:
            raise refuse(f"no trusted key has the id {key_id[:80]!r}")
        if key_id in found:
            raise refuse("one key signed twice")
        if not ecdsa.verify(key, signature, envelope.signed_bytes):
            raise refuse(f"the signature of key {key_id} does not hold")
        found.append(key_id)
    return tuple(found)
