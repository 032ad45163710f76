"""TLS of the LAN listener: a local CA, its server certificates, and the context.

Rules:
- Only the renewing command reads the CA's encrypted key, never the server.
- Where the key is gone, a certificate of a new CA waits in `next/` until its validity begins; until
  then clients are given both CAs.
- Critical name constraints limit the CA to exactly the requested names (RFC 5280, 4.2.1.10).
- TLS 1.2 or newer. Reading the files again changes the next handshake, not running connections.
"""

import ipaddress
import logging
import os
import shutil
import ssl
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
)
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from appliance.clock import Clock
from appliance.errors import Refused, UsageError
from appliance.host import host_key

_log = logging.getLogger("appliance")

DAYS: Final = 397
"""Life of a server's certificate; browsers and some clients take no longer ones."""
CA_DAYS: Final = 3_652
MIN_PASSPHRASE: Final = 12
OVERLAP_DAYS: Final = 30
"""Time for clients to get a new CA before the server changes to it."""
CA_KEY: Final = "ca.key"
NEXT: Final = "next"
CLIENTS: Final = "clients.pem"
_CHANGED: Final = (CA_KEY, "ca.pem", "server.key", "server.pem")
"""The files that a change replaces, the one that says its day last, so that a change can resume."""

_BEFORE: Final = timedelta(hours=1)  # for clients whose clock is a little behind


@dataclass(frozen=True)
class CaKey:
    """The place of a CA's key, and its passphrase; a lab's has none."""

    path: Path
    passphrase: str = ""


@dataclass(frozen=True)
class Standing:
    """Lifetime of a certificate.

    Attributes:
        own: whether the CA next to it signed it.
        renewable: whether that CA's key is next to it.
        changes: when one of a new CA replaces it; None where none waits.
    """

    ends: datetime
    own: bool
    renewable: bool
    changes: datetime | None


def issue(
    directory: Path, names: Sequence[str], clock: Clock, key: CaKey | None = None
) -> x509.Certificate:
    """Make `ca.pem`, `server.pem` and `server.key` in a directory, replacing older and waiting
    ones.

    Args:
        names: DNS names and IP addresses under which clients reach the server.
        key: where the CA's key is kept; None forgets it.

    Raises `certificate_unusable` for an impossible name; `file_unusable` where the key cannot be
    kept; nothing was replaced then.
    """
    alternatives = [_general_name(name) for name in dict.fromkeys(names)]
    if not alternatives:
        raise UsageError("certificate_unusable", "A certificate needs at least one name.")
    made = _issue(directory, alternatives, _now(clock), _now(clock), key)
    (directory / CLIENTS).unlink(missing_ok=True)  # of a change that is not to come any more
    shutil.rmtree(directory / NEXT, ignore_errors=True)
    return made


def renew(directory: Path, clock: Clock, key: CaKey) -> datetime:
    """Replace the server's certificate and key by newer ones of the same CA; when the new one ends.

    Raises:
        UsageError: `certificate_unusable` when the files are not those of a CA of `issue`.
        Refused: `key_unreadable`, `passphrase_refused`; `ca_ends` when the CA itself ends before a
            new certificate would.
    """
    ca, signer, now = _read(directory / "ca.pem"), open_key(key), _now(clock)
    if _public(signer.public_key()) != _public(ca.public_key()):
        raise Refused("key_unreadable", f"{key.path} is not the key of {directory / 'ca.pem'}.")
    names = _names(_read(directory / "server.pem"))
    if ca.not_valid_after_utc < now + timedelta(days=DAYS):
        raise Refused("ca_ends", f"The CA itself expires at {ca.not_valid_after_utc:%Y-%m-%d}.")
    leaf = ec.generate_private_key(ec.SECP256R1())
    server = _server(ca.subject, names, leaf.public_key(), signer, now)
    _write_leaf(directory, server, leaf)
    return server.not_valid_after_utc


def replace_ca(directory: Path, clock: Clock, key: CaKey | None = None) -> datetime:
    """Make a new CA and a certificate of it, which `change` puts in place on a later day.

    `clients.pem` then has both CAs.

    The day is in 30 days, or when the present certificate ends, if that is before. Raises as
    `issue`.
    """
    ca, server, now = _read(directory / "ca.pem"), _read(directory / "server.pem"), _now(clock)
    day = min(now + timedelta(days=OVERLAP_DAYS), server.not_valid_after_utc)
    day = max(now, day).replace(microsecond=0)
    there = directory / NEXT
    if key is None or key.path == directory / CA_KEY:
        key = CaKey(there / CA_KEY, key.passphrase) if key else None
    fresh = _issue(there, _names(server), now, day, key)
    both = [one.public_bytes(Encoding.PEM) for one in (ca, fresh)]
    _write(directory / CLIENTS, b"".join(both), 0o644)
    return day


def change(directory: Path, clock: Clock) -> bool:
    """Put the certificate of a new CA in place on its day; True if that was done."""
    day = _change_day(directory)
    if day is None or _now(clock) < day:
        return False
    for name in _CHANGED:
        waiting = directory / NEXT / name
        if waiting.exists():
            waiting.replace(directory / name)
        elif name == CA_KEY and (directory / NEXT / "ca.pem").exists():
            (directory / name).unlink(missing_ok=True)  # the key of the CA before
    (directory / CLIENTS).unlink(missing_ok=True)
    (directory / NEXT).rmdir()
    return True


def change_if_due(directory: Path, clock: Clock) -> None:
    """As `change`; a failure is reported, and the present certificate serves."""
    try:
        if change(directory, clock):
            _log.warning("the server changed to the certificate of its new CA")
    except (OSError, UsageError) as error:
        _log.error("the certificate of the new CA was not put in place: %s", error)


def standing(certificate: Path) -> Standing:
    """The listener's certificate's lifetime."""
    directory, server = certificate.parent, _read(certificate)
    own = False
    if (directory / "ca.pem").exists():
        own = _read(directory / "ca.pem").subject == server.issuer
    renewable = own and (directory / CA_KEY).exists()
    return Standing(server.not_valid_after_utc, own, renewable, _change_day(directory))


def for_clients(certificate: Path) -> bytes | None:
    """Certificates for clients: the CA, and the waiting next one; None where it is not ours."""
    if not standing(certificate).own:
        return None
    both = certificate.with_name(CLIENTS)
    return (both if both.exists() else certificate.with_name("ca.pem")).read_bytes()


def open_key(key: CaKey) -> ec.EllipticCurvePrivateKey:
    """The key of a CA."""
    try:
        data = key.path.read_bytes()
        found = load_pem_private_key(data, key.passphrase.encode() or None)
    except OSError as error:
        raise Refused("key_unreadable", f"{key.path}: {error.strerror}.") from error
    except (ValueError, TypeError) as error:
        message = f"{key.path} does not open with this passphrase."
        raise Refused("passphrase_refused", message) from error
    if not isinstance(found, ec.EllipticCurvePrivateKey):
        raise Refused("key_unreadable", f"{key.path} is no key of a CA of this appliance.")
    return found


def encrypted(path: Path) -> bool:
    """True if a key file takes a passphrase; False where it cannot be read."""
    try:
        return b"ENCRYPTED" in path.read_bytes()
    except OSError:
        return False


def _issue(
    directory: Path,
    names: Sequence[x509.GeneralName],
    now: datetime,
    begin: datetime,
    kept: CaKey | None,
) -> x509.Certificate:
    ca_key, leaf = (ec.generate_private_key(ec.SECP256R1()) for _ in range(2))
    # A CA of its own name each time: clients that hold two tell them apart.
    told = f"appliance CA {x509.random_serial_number() % 10**6:06} of {names[0].value}"
    ca_name = _name(told[:64])
    ca = (
        _builder(ca_name, ca_name, ca_key.public_key(), now, CA_DAYS)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_usage(signs_certificates=True), critical=True)
        .add_extension(x509.NameConstraints([_constraint(n) for n in names], None), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(ca_key.public_key()), False)
        .sign(ca_key, SHA256())
    )
    server = _server(ca_name, names, leaf.public_key(), ca_key, begin)
    directory.mkdir(mode=0o750, exist_ok=True)
    _give(directory)
    if kept is not None:
        _keep_key(ca_key, kept)
    elif (directory / CA_KEY).exists():
        (directory / CA_KEY).unlink()  # it belongs to the CA before
    _write(directory / "ca.pem", ca.public_bytes(Encoding.PEM), 0o644)
    _write_leaf(directory, server, leaf)
    return ca


def _server(
    issuer: x509.Name,
    names: Sequence[x509.GeneralName],
    public: ec.EllipticCurvePublicKey,
    signer: ec.EllipticCurvePrivateKey,
    begin: datetime,
) -> x509.Certificate:
    return (
        _builder(_name("appliance"), issuer, public, begin, DAYS)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_usage(signs_certificates=False), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), False)
        .add_extension(x509.SubjectAlternativeName(names), False)
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(signer.public_key()), False
        )
        .sign(signer, SHA256())
    )


def _write_leaf(directory: Path, server: x509.Certificate, key: ec.EllipticCurvePrivateKey) -> None:
    """The key first: a server that reads in between refuses the pair and keeps what it has."""
    private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    path = directory / "server.key"
    _write(path, host_key.sealed(path, private), 0o600)
    _write(directory / "server.pem", server.public_bytes(Encoding.PEM), 0o644)


def _keep_key(key: ec.EllipticCurvePrivateKey, kept: CaKey) -> None:
    passphrase = kept.passphrase.encode()
    lock = BestAvailableEncryption(passphrase) if passphrase else NoEncryption()
    try:
        _write(kept.path, key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, lock), 0o600)
    except OSError as error:
        raise Refused("file_unusable", f"{kept.path}: {error.strerror}.") from error


def _read(path: Path) -> x509.Certificate:
    try:
        return x509.load_pem_x509_certificate(host_key.read(path))
    except (OSError, ValueError) as error:
        raise _unusable(path, error) from error


def fingerprint_of(path: Path) -> str:
    """Hex SHA-256 of a file's first certificate."""
    return _read(path).fingerprint(SHA256()).hex()


def _names(server: x509.Certificate) -> list[x509.GeneralName]:
    try:
        found = server.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound as error:
        raise UsageError("certificate_unusable", "The server's certificate has no name.") from error
    return list(found)


def _change_day(directory: Path) -> datetime | None:
    """The day on which the waiting certificate replaces the present one: its validity begins."""
    waiting = directory / NEXT / "server.pem"
    return _read(waiting).not_valid_before_utc + _BEFORE if waiting.exists() else None


def _public(key: object) -> bytes:
    if not isinstance(key, ec.EllipticCurvePublicKey):
        return b""
    return key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


def _now(clock: Clock) -> datetime:
    return datetime.fromtimestamp(clock.wall_us() // 1_000_000, UTC)


def server_context(certificate: Path, key: Path, *client_cas: Path) -> ssl.SSLContext:
    """A context for the listener; an issuing CA of clients needs no CA above it."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.options |= ssl.OP_NO_RENEGOTIATION
    load(context, certificate, key)
    for path in client_cas:
        try:
            context.load_verify_locations(path)
        except (OSError, ssl.SSLError) as error:
            raise _unusable(path, error) from error
        # Optional: a client without one brings a secret.
        context.verify_mode = ssl.CERT_OPTIONAL
        context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    return context


def load(context: ssl.SSLContext, certificate: Path, key: Path) -> None:
    """Give a context a certificate for new handshakes.

    An unusable pair is refused (`certificate_unusable`) before the context is touched.
    """
    for target in (ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), context):
        try:
            with host_key.plain_file(certificate) as shown, host_key.plain_file(key) as private:
                target.load_cert_chain(shown, private)
        except (OSError, ssl.SSLError) as error:
            raise _unusable(certificate, error) from error


def _builder(
    subject: x509.Name,
    issuer: x509.Name,
    public: ec.EllipticCurvePublicKey,
    begin: datetime,
    days: int,
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(public)
        .serial_number(x509.random_serial_number())
        .not_valid_before(begin - _BEFORE)
        .not_valid_after(begin + timedelta(days=days))
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
    """The subtree of this name only; a DNS constraint also covers names below it."""
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
    _give(fresh)
    fresh.replace(path)


def _give(path: Path) -> None:
    """Give root's new file to the service's account, the directory's owner."""
    if os.geteuid() == 0:
        above = path.parent.stat()
        os.chown(path, above.st_uid, above.st_gid)


def _unusable(path: Path, error: Exception) -> UsageError:
    return UsageError("certificate_unusable", f"{path}: {type(error).__name__}: {error}")


def pinned(data: Path, ca: str, certificate: str, key: str) -> ssl.SSLContext:
    """TLS to another host whose certificate descends from a pinned CA.

    `certificate` and `key` are this client's; "" for none (`certificate_unusable`).
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    try:
        context.load_verify_locations(data / ca)
        if certificate:
            pair = host_key.plain_file(data / certificate), host_key.plain_file(data / key)
            with pair[0] as shown, pair[1] as private:
                context.load_cert_chain(shown, private)
    except (OSError, ssl.SSLError) as error:
        raise UsageError("certificate_unusable", f"{ca}: {error}") from error
    return context
