"""ECDSA on the three NIST curves that OMS v1.0 allows, each with its own hash.

Rules: the hash follows from the curve, never from the signed data. A key's hint is the hex SHA-256
of its SubjectPublicKeyInfo as PEM text, written again by us, so that one key has one hint.
"""

import hashlib
from collections.abc import Mapping
from types import MappingProxyType
from typing import Final, NamedTuple, Protocol

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, utils

from appliance.errors import Refused, SignatureRefused

PublicKey = ec.EllipticCurvePublicKey
PrivateKey = ec.EllipticCurvePrivateKey


class SigningKey(Protocol):
    """A private key wherever it is: a `PrivateKey` of a file, or a `tokens.TokenKey`."""

    def public_key(self) -> PublicKey:
        """The public half."""

    def sign(self, data: bytes, algorithm: ec.ECDSA, /) -> bytes:
        """A DER signature over `data`."""

    def exchange(self, algorithm: ec.ECDH, peer_public_key: PublicKey, /) -> bytes:
        """The ECDH secret."""


class Algorithm(NamedTuple):
    """A curve's one signature algorithm, named as in the OMS algorithm registry."""

    name: str
    hash: type[hashes.HashAlgorithm]


ALGORITHMS: Final[Mapping[str, Algorithm]] = MappingProxyType(
    {
        "secp256r1": Algorithm("ecdsa-p256-sha256", hashes.SHA256),
        "secp384r1": Algorithm("ecdsa-p384-sha384", hashes.SHA384),
        "secp521r1": Algorithm("ecdsa-p521-sha512", hashes.SHA512),
    }
)


LAB: Final = b"LAB KEY"
"""Begins the line that is before the PEM of every key of a lab (RFC 7468 allows one)."""


def is_lab(pem: bytes) -> bool:
    """True if a key's file says that a lab made it."""
    return LAB in pem


def load_public(pem: bytes) -> PublicKey:
    """Read a public key of one of the three curves (`signature_key_unsupported`)."""
    try:
        key = serialization.load_pem_public_key(pem)
    except (ValueError, UnsupportedAlgorithm) as error:
        raise _unsupported("The public key is not readable PEM.") from error
    if not isinstance(key, PublicKey) or key.curve.name not in ALGORITHMS:
        raise _unsupported("The public key is not on P-256, P-384 or P-521.")
    return key


def is_encrypted(pem: bytes) -> bool:
    """True if a private key's file takes a passphrase."""
    return b"ENCRYPTED" in pem


def load_private(pem: bytes, passphrase: str | None = None) -> PrivateKey:
    """Read a private key (`signature_key_unsupported`, `passphrase_refused`)."""
    try:
        secret = passphrase.encode() if passphrase is not None else None
        key = serialization.load_pem_private_key(pem, password=secret)
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        if passphrase is not None and is_encrypted(pem) and isinstance(error, ValueError):
            raise Refused(
                "passphrase_refused", "The key does not open with this passphrase."
            ) from error
        raise _unsupported("The private key is not readable, unencrypted PEM.") from error
    if not isinstance(key, PrivateKey) or key.curve.name not in ALGORITHMS:
        raise _unsupported("The private key is not on P-256, P-384 or P-521.")
    return key


def _unsupported(message: str) -> SignatureRefused:
    return SignatureRefused("signature_key_unsupported", message)


def public_pem(key: PublicKey) -> bytes:
    """The key as SubjectPublicKeyInfo in PEM."""
    return key.public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )


def private_pem(key: PrivateKey, passphrase: str | None = None) -> bytes:
    """The key as PKCS #8 in PEM, encrypted where there is a passphrase."""
    return key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption()
        if passphrase is None
        else serialization.BestAvailableEncryption(passphrase.encode()),
    )


def hint(key: PublicKey) -> str:
    """The key's name in OMS: hex SHA-256 over its PEM text (not DER)."""
    return hashlib.sha256(public_pem(key)).hexdigest()


def algorithm(key: PublicKey) -> Algorithm:
    """The one algorithm of the key's curve."""
    return ALGORITHMS[key.curve.name]


def sign(key: SigningKey, message: bytes) -> bytes:
    """A DER signature over `message`."""
    return key.sign(message, ec.ECDSA(algorithm(key.public_key()).hash()))


def is_der(signature: bytes) -> bool:
    """True for exactly one DER sequence of two integers."""
    try:
        r, s = utils.decode_dss_signature(signature)
    except ValueError:
        return False
    return r > 0 and s > 0


def verify(key: PublicKey, signature: bytes, message: bytes) -> bool:
    """True if `signature` is the key's over `message`."""
    try:
        key.verify(signature, message, ec.ECDSA(algorithm(key).hash()))
    except InvalidSignature:
        return False
    return True
