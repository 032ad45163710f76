"""The genesis certificate: the site's key says which log is its own. Pure.

Text: a title, the verifier key of epoch 0, a blank line, one base64 signature over the two lines:
ECDSA with the curve's own hash, or Ed25519.
"""

import base64
from typing import Final

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.hazmat.primitives.hashes import SHA256, SHA384, SHA512, HashAlgorithm
from cryptography.hazmat.primitives.serialization import load_pem_private_key, load_pem_public_key

from appliance.audit.checkpoint import VerifierKey
from appliance.errors import AuditRefused

_TITLE: Final = b"appliance audit genesis v1\n"
_HASHES: Final[dict[str, HashAlgorithm]] = {
    "secp256r1": SHA256(),
    "secp384r1": SHA384(),
    "secp521r1": SHA512(),
}
MAX_CERTIFICATE: Final = 4_096


def certify(genesis: VerifierKey, site_private: bytes) -> bytes:
    """The certificate of a log's first key (`audit_key_invalid`); `site_private` is PEM."""
    text = _TITLE + genesis.encode().encode() + b"\n"
    try:
        key = load_pem_private_key(site_private, password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise _bad_key() from error
    if isinstance(key, ed25519.Ed25519PrivateKey):
        signature = key.sign(text)
    elif isinstance(key, ec.EllipticCurvePrivateKey):
        signature = key.sign(text, _ecdsa(key.curve))
    else:
        raise _bad_key()
    return text + b"\n" + base64.b64encode(signature) + b"\n"


def check_certificate(document: bytes, site_public: bytes) -> VerifierKey:
    """The genesis key that the site's key vouches for.

    `audit_key_invalid` is the site's key's.
    """
    try:
        key = load_pem_public_key(site_public)
    except (ValueError, UnsupportedAlgorithm) as error:
        raise _bad_key() from error
    text, separator, encoded = document.partition(b"\n\n")
    text += b"\n"
    line = text.removeprefix(_TITLE)
    if not separator or len(document) > MAX_CERTIFICATE or line == text or line.count(b"\n") != 1:
        raise _invalid("it is not a genesis certificate")
    try:
        signature = base64.b64decode(encoded.removesuffix(b"\n"), validate=True)
        if isinstance(key, ed25519.Ed25519PublicKey):
            key.verify(signature, text)
        elif isinstance(key, ec.EllipticCurvePublicKey):
            key.verify(signature, text, _ecdsa(key.curve))
        else:
            raise _bad_key()
    except (InvalidSignature, ValueError) as error:
        raise _invalid("the site's signature does not hold") from error
    return VerifierKey.parse(line)


def believed_key(key: bytes, site_public: bytes | None) -> bytes:
    """The verifier key line of a genesis.pub, or with the site's key of a genesis.cert
    (`audit_key_invalid`, `certificate_invalid`).
    """
    if site_public is None:
        return key
    return check_certificate(key, site_public).encode().encode()


def _ecdsa(curve: ec.EllipticCurve) -> ec.ECDSA:
    algorithm = _HASHES.get(curve.name)
    if algorithm is None:
        raise _bad_key()
    return ec.ECDSA(algorithm)


def _bad_key() -> AuditRefused:
    return AuditRefused(
        "audit_key_invalid", "The site's key is not Ed25519 or ECDSA on P-256, P-384 or P-521."
    )


_invalid: Final = AuditRefused.of("certificate_invalid", "The genesis certificate does not hold")
