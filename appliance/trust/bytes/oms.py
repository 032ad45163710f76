"""OpenSSF Model Signing v1.0: bytes in, a verdict with a stable code out.

Rules: a bundle is strict JSON with exactly one ECDSA signature, by a key named by its hint or by a
certificate whose chain is in the bundle; bare key material is refused. The signature is checked
over the raw payload before anything in it is believed.

Source: ossf/model-signing-spec v1.0; Sigstore bundle v0.3.
"""

import base64
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from cryptography import x509

from appliance.errors import SignatureRefused
from appliance.trust.bytes import certificate, dsse, ecdsa, manifest, strict_json
from appliance.trust.bytes.manifest import Manifest

MEDIA_TYPE: Final = "application/vnd.dev.sigstore.bundle.v0.3+json"
PAYLOAD_TYPE: Final = "application/vnd.in-toto+json"
MAX_BUNDLE: Final = 4 << 20
_HEX: Final = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True)
class Bundle:
    """An unverified bundle.

    Attributes:
        hint: hex SHA-256 that names the signing key, or the certificate's key.
        chain: the certificates of the certificate method, the signer's first; else empty.
    """

    hint: str
    chain: tuple[x509.Certificate, ...]
    envelope: dsse.Envelope


def parse_bundle(data: bytes) -> Bundle:
    """Read `model.sig`.

    Raises:
        SignatureRefused: `signature_json_invalid`, `signature_malformed`,
            `signature_method_unsupported`, `signature_key_unsupported`,
            `certificate_malformed`.
    """
    value = strict_json.parse(data, _refuse("signature_json_invalid"), limit=MAX_BUNDLE)
    refuse = _refuse("signature_malformed")
    if strict_json.member(value, "mediaType", str, refuse) != MEDIA_TYPE:
        raise refuse(f"mediaType is not {MEDIA_TYPE}")
    material = strict_json.member(value, "verificationMaterial", dict, refuse)
    if "certificate" in material:
        raise _error("signature_method_unsupported", "it is signed by the Sigstore method")
    by_key, by_chain = "publicKey" in material, "x509CertificateChain" in material
    if by_key == by_chain:
        raise refuse("it must name one key or carry one certificate chain")
    chain = _chain(material) if by_chain else ()
    hint = ecdsa.hint(certificate.public_key(chain[0])) if by_chain else _hint(material)
    envelope_json = strict_json.member(value, "dsseEnvelope", dict, refuse)
    envelope = dsse.from_json(envelope_json, PAYLOAD_TYPE, refuse)
    if len(envelope.signatures) != 1:
        raise refuse(f"it has {len(envelope.signatures)} signatures, not one")
    return Bundle(hint, chain, envelope)


def _hint(material: object) -> str:
    refuse = _refuse("signature_malformed")
    key = strict_json.member(material, "publicKey", dict, refuse)
    if "rawBytes" in key:
        raise _error("signature_method_unsupported", "it carries its own key material")
    hint = strict_json.member(key, "hint", str, refuse)
    if not _HEX.fullmatch(hint):
        raise refuse("the key hint is not a lower-case SHA-256")
    return hint


def _chain(material: object) -> tuple[x509.Certificate, ...]:
    refuse = _refuse("certificate_malformed")
    table = strict_json.member(material, "x509CertificateChain", dict, refuse)
    entries: list[Any] = strict_json.member(table, "certificates", list, refuse)
    return certificate.load_der(
        [
            dsse.decode_base64(strict_json.member(entry, "rawBytes", str, refuse), refuse)
            for entry in entries[: certificate.MAX_CHAIN + 1]
        ]
    )


def verify(bundle: Bundle, keys: Mapping[str, ecdsa.PublicKey]) -> Manifest:
    """Check the signature, then read the manifest that it covers.

    Args:
        keys: the acceptable keys by hint; a certificate's key, after `certificate.verify`.

    Raises:
        SignatureRefused: `signature_key_unknown`, `signature_wrong`.
    """
    key = keys.get(bundle.hint)
    if key is None or ecdsa.hint(key) != bundle.hint:
        raise _error("signature_key_unknown", f"it was signed by key {bundle.hint}")
    ((_, signature),) = bundle.envelope.signatures
    if not ecdsa.verify(key, signature, bundle.envelope.signed_bytes):
        raise _error("signature_wrong", f"the signature is not that of key {bundle.hint}")
    return parse_manifest(bundle)


def parse_manifest(bundle: Bundle) -> Manifest:
    """The statement inside a bundle, its signature unchecked."""
    return manifest.parse(bundle.envelope.payload, bundle.hint)


def sign(
    resources: Sequence[tuple[str, str]],
    key: ecdsa.SigningKey,
    name: str,
    *,
    shard_size: int | None = None,
    chain: Sequence[x509.Certificate] = (),
) -> bytes:
    """Make `model.sig`.

    Args:
        resources: pairs of name and hex SHA-256, in the order of the specification.
        name: of the artifact, for people.
        chain: signs by certificate: that of the key first (`certificate_key_mismatch` otherwise),
            then its issuers.
    """
    hint = ecdsa.hint(key.public_key())
    if chain and ecdsa.hint(certificate.public_key(chain[0])) != hint:
        raise _error("certificate_key_mismatch", "the first certificate is not that of the key")
    payload = strict_json.dump(manifest.statement(resources, name, shard_size))
    signature = ecdsa.sign(key, dsse.pae(PAYLOAD_TYPE, payload))
    ders = [certificate.der(member) for member in chain]
    certificates = [{"rawBytes": base64.b64encode(der).decode()} for der in ders]
    data = strict_json.dump(
        {
            "mediaType": MEDIA_TYPE,
            "verificationMaterial": {
                **(
                    {"x509CertificateChain": {"certificates": certificates}}
                    if chain
                    else {"publicKey": {"hint": hint}}
                ),
                "tlogEntries": [],
            },
            "dsseEnvelope": {
                "payload": base64.b64encode(payload).decode(),
                "payloadType": PAYLOAD_TYPE,
                "signatures": [{"sig": base64.b64encode(signature).decode(), "keyid": ""}],
            },
        }
    )
    verify(parse_bundle(data), {hint: key.public_key()})
    return data


def _error(code: str, problem: str) -> SignatureRefused:
    return SignatureRefused(code, f"model.sig: {problem}.")


def _refuse(code: str) -> strict_json.Refuse:
    return lambda problem: _error(code, problem)
