"""X.509 chains of publishers: certificates in, the signer's certificate or a stable code out.

Rules: a chain must lead to a root that the caller trusts, whatever roots it brings along, and be
valid at the caller's time, not the host's. Issuers are CAs that may sign certificates; the signer
is no CA and has the key usage digitalSignature. No extended key usage is asked for: real signers
have none.

Source: RFC 5280; ossf/model-signing-spec v1.0, certificate method.
"""

import datetime
from collections.abc import Sequence
from typing import Final

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.x509 import verification
from cryptography.x509.verification import Criticality, ExtensionPolicy

from appliance.errors import SignatureRefused
from appliance.trust.bytes import ecdsa

MAX_CHAIN: Final = 8
_MAX_DEPTH: Final = MAX_CHAIN - 1
_UNREADABLE: Final = (
    ValueError,
    TypeError,
    UnsupportedAlgorithm,
    x509.DuplicateExtension,
    x509.InvalidVersion,
    x509.UnsupportedGeneralNameType,
)
"""Exceptions of `cryptography` for bytes that are no certificate, or one that it cannot handle."""


def load_der(ders: Sequence[bytes]) -> tuple[x509.Certificate, ...]:
    """Read a chain (`certificate_malformed`)."""
    if not 0 < len(ders) <= MAX_CHAIN:
        raise _error("certificate_malformed", f"A chain of {len(ders)} certificates")
    try:
        chain = tuple(x509.load_der_x509_certificate(der) for der in ders)
        for certificate in chain:
            _ = certificate.extensions, certificate.subject, certificate.issuer
            _ = certificate.not_valid_before_utc, certificate.not_valid_after_utc
    except _UNREADABLE as error:
        raise _error("certificate_malformed", "A certificate cannot be read") from error
    return chain


def load_pem(pem: bytes) -> tuple[x509.Certificate, ...]:
    """Read the certificates of a PEM file (`certificate_malformed`)."""
    try:
        found = x509.load_pem_x509_certificates(pem)
    except _UNREADABLE as error:
        raise _error("certificate_malformed", "The file holds no PEM certificates") from error
    return load_der([der(certificate) for certificate in found])


def der(certificate: x509.Certificate) -> bytes:
    """The DER bytes."""
    return certificate.public_bytes(serialization.Encoding.DER)


def fingerprint(certificate: x509.Certificate) -> str:
    """Hex SHA-256 of the DER."""
    return certificate.fingerprint(hashes.SHA256()).hex()


def is_authority(certificate: x509.Certificate) -> bool:
    """True if it says that it is a CA."""
    try:
        return certificate.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    except x509.ExtensionNotFound:
        return False


def subject(certificate: x509.Certificate) -> str:
    """Subject in RFC 4514's form."""
    return certificate.subject.rfc4514_string()


def public_key(certificate: x509.Certificate) -> ecdsa.PublicKey:
    """The key of a signer (`signature_key_unsupported`)."""
    try:
        key = certificate.public_key()
    except _UNREADABLE as error:
        raise _error("signature_key_unsupported", "The certificate's key is unknown") from error
    if not isinstance(key, ecdsa.PublicKey) or key.curve.name not in ecdsa.ALGORITHMS:
        raise _error(
            "signature_key_unsupported", "The certificate's key is not on P-256, P-384 or P-521"
        )
    return key


def verify(
    chain: Sequence[x509.Certificate], roots: Sequence[x509.Certificate], at_us: int
) -> tuple[x509.Certificate, ...]:
    """The path to a trusted root, signer first (`certificate_validity`, `certificate_usage`,
    `certificate_untrusted`).

    Args:
        chain: the signer's certificate, then any issuers.
        at_us: when it must be valid, microseconds since the epoch.
    """
    at = datetime.datetime.fromtimestamp(at_us / 1_000_000, datetime.UTC)
    for certificate in chain:
        if not certificate.not_valid_before_utc <= at <= certificate.not_valid_after_utc:
            raise _error(
                "certificate_validity",
                f"{subject(certificate)[:200]} is valid from {certificate.not_valid_before_utc} "
                f"to {certificate.not_valid_after_utc}, and now is {at:%Y-%m-%d %H:%M}",
            )
    _check_usage(chain[0])
    if not roots:
        raise _error("certificate_untrusted", "No trusted root is given")
    verifier = (
        verification.PolicyBuilder()
        .store(verification.Store(list(roots)))
        .time(at.replace(tzinfo=None))
        .max_chain_depth(_MAX_DEPTH)
        .extension_policies(ca_policy=_ca_policy(), ee_policy=_signer_policy())
        .build_client_verifier()
    )
    try:
        return tuple(verifier.verify(chain[0], list(chain[1:])).chain)
    except (verification.VerificationError, *_UNREADABLE) as error:
        raise _error(
            "certificate_untrusted", f"{subject(chain[0])[:200]} has no path to a root: {error}"
        ) from error


def within(certificates: Sequence[x509.Certificate], at_us: int) -> int:
    """The time nearest to `at_us` at which all of them are valid; `at_us` if there is none."""
    first = max(c.not_valid_before_utc for c in certificates)
    last = min(c.not_valid_after_utc for c in certificates)
    if first > last:
        return at_us
    return max(_us(first), min(at_us, _us(last)))


def _us(at: datetime.datetime) -> int:
    return int(at.timestamp()) * 1_000_000


def _check_usage(certificate: x509.Certificate) -> None:
    try:
        usage = certificate.extensions.get_extension_for_class(x509.KeyUsage).value
    except x509.ExtensionNotFound:
        usage = None
    if usage is None or not usage.digital_signature:
        raise _error("certificate_usage", f"{subject(certificate)[:200]} may not sign data")


def _ca_policy() -> ExtensionPolicy:
    policy = ExtensionPolicy.permit_all()
    policy = policy.require_present(x509.BasicConstraints, Criticality.AGNOSTIC, _is_ca)
    return policy.may_be_present(x509.KeyUsage, Criticality.AGNOSTIC, _signs_certificates)


def _signer_policy() -> ExtensionPolicy:
    policy = ExtensionPolicy.permit_all()
    policy = policy.require_present(x509.KeyUsage, Criticality.AGNOSTIC, None)
    return policy.may_be_present(x509.BasicConstraints, Criticality.AGNOSTIC, _is_no_ca)


def _is_ca(
    _policy: verification.Policy, _certificate: x509.Certificate, value: x509.BasicConstraints
) -> None:
    if not value.ca:
        raise ValueError("an issuer is no CA")


def _signs_certificates(
    _policy: verification.Policy, _certificate: x509.Certificate, value: x509.KeyUsage | None
) -> None:
    if value is not None and not value.key_cert_sign:
        raise ValueError("an issuer may not sign certificates")


def _is_no_ca(
    _policy: verification.Policy,
    _certificate: x509.Certificate,
    value: x509.BasicConstraints | None,
) -> None:
    if value is not None and value.ca:
        raise ValueError("the signer is a CA")


def _error(code: str, problem: str) -> SignatureRefused:
    return SignatureRefused(code, f"{problem}.")
