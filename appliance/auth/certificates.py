"""TLS of the LAN listener: a local CA, its one server certificate, and the context.

Rules:
- The CA's key exists in memory only: it signs one server certificate and is gone. No person can
  issue another from this CA, so a stolen data directory yields one host's key and no more. Other
  names mean a new CA, which clients then have to be given.
- The CA is limited by critical name constraints to exactly the names and addresses that were
  asked for (RFC 5280, 4.2.1.10), so that trusting it cannot be turned against any other host.
- TLS 1.2 or newer. A context is kept for the life of the server: reading the files again changes
  what the next handshake gets and leaves running connections alone.
"""

import ipaddress
import os
import ssl
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
)
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from appliance.clock import Clock
from appliance.errors import UsageError

DAYS: Final = 397
"""How long the certificates hold; browsers and some clients take no longer ones."""

_BEFORE: Final = timedelta(hours=1)  # for clients whose clock is a little behind


def issue(directory: Path, names: Sequence[str], clock: Clock) -> x509.Certificate:
    """Make `ca.pem`, `server.pem` and `server.key` in a directory; older ones are replaced.

    Args:
        names: DNS names and IP addresses under which clients reach the server.

    Returns:
        The CA's certificate.

    Raises:
        UsageError: `certificate_unusable` for a name that cannot be one.
    """
    alternatives = [_general_name(name) for name in dict.fromkeys(names)]
    if not alternatives:
        raise UsageError("certificate_unusable", "A certificate needs at least one name.")
    now = datetime.fromtimestamp(clock.wall_us() // 1_000_000, UTC)
    ca_key, key = (ec.generate_private_key(ec.SECP256R1()) for _ in range(2))
    ca_name = _name("appliance CA of " + names[0][:40])
    ca = (
        _builder(ca_name, ca_name, ca_key.public_key(), now)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_usage(signs_certificates=True), critical=True)
        .add_extension(
            x509.NameConstraints([_constraint(n) for n in alternatives], None), critical=True
        )
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(ca_key.public_key()), False)
        .sign(ca_key, SHA256())
    )
    server = (
        _builder(_name("appliance"), ca_name, key.public_key(), now)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_usage(signs_certificates=False), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), False)
        .add_extension(x509.SubjectAlternativeName(alternatives), False)
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(ca_key.public_key()), False
        )
        .sign(ca_key, SHA256())
    )
    directory.mkdir(mode=0o750, exist_ok=True)
    private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    _write(directory / "server.key", private, 0o600)
    _write(directory / "ca.pem", ca.public_bytes(Encoding.PEM), 0o644)
    _write(directory / "server.pem", server.public_bytes(Encoding.PEM), 0o644)
    return ca


def server_context(certificate: Path, key: Path, client_ca: Path | None) -> ssl.SSLContext:
    """A context for the listener.

    Raises:
        UsageError: `certificate_unusable`.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.options |= ssl.OP_NO_RENEGOTIATION
    load(context, certificate, key)
    if client_ca is not None:
        try:
            context.load_verify_locations(client_ca)
        except (OSError, ssl.SSLError) as error:
            raise _unusable(client_ca, error) from error
        # Optional: a client without one brings a secret.
        context.verify_mode = ssl.CERT_OPTIONAL
    return context


def load(context: ssl.SSLContext, certificate: Path, key: Path) -> None:
    """Give a context a certificate for the handshakes from now on.

    A pair that cannot be used is refused before the context is touched.

    Raises:
        UsageError: `certificate_unusable`.
    """
    for target in (ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), context):
        try:
            target.load_cert_chain(certificate, key)
        except (OSError, ssl.SSLError) as error:
            raise _unusable(certificate, error) from error


def _builder(
    subject: x509.Name, issuer: x509.Name, public: ec.EllipticCurvePublicKey, now: datetime
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(public)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - _BEFORE)
        .not_valid_after(now + timedelta(days=DAYS))
    )


def _name(common: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common)])


def _general_name(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        pass
    labels = name.split(".")
    plain = all(
        label and label.isascii() and label.replace("-", "a").isalnum() and len(label) < 64
        for label in labels
    )
    if not plain or len(name) > 253:
        raise UsageError("certificate_unusable", f"{name!r} is no DNS name and no IP address.")
    return x509.DNSName(name.lower())


def _constraint(name: x509.GeneralName) -> x509.GeneralName:
    """The subtree that is this name alone; a DNS constraint also covers names below it."""
    if isinstance(name, x509.IPAddress):
        return x509.IPAddress(ipaddress.ip_network(name.value))
    return name


def _usage(*, signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not signs_certificates,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def _write(path: Path, content: bytes, mode: int) -> None:
    """Replace a file whole; no reader ever sees half of it or other rights."""
    fresh = path.with_name(path.name + ".new")
    fresh.unlink(missing_ok=True)
    with os.fdopen(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    fresh.replace(path)


def _unusable(path: Path, error: Exception) -> UsageError:
    return UsageError("certificate_unusable", f"{path}: {type(error).__name__}: {error}")
