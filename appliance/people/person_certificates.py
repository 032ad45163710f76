"""People by client certificates: one that a pinned CA issued, and its list does not revoke.

Rules: the CA itself signed the certificate: no chain, and no other CA of the listener counts. It is
for clients, no CA's, and has one name, of the kind that the site pins. Each CA's list (CRL) is good
for the grace beyond its end; an older or unreadable one replaces nothing.

Source: RFC 5280, sections 4.2.1, 5 and 6.3.
"""

import asyncio
import logging
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from pathlib import Path
from typing import Final

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import ExtendedKeyUsageOID, ObjectIdentifier

from appliance.clock import Clock
from appliance.config import PersonCertificatesConfig
from appliance.errors import Unauthenticated, Unavailable
from appliance.people.names import LONGEST

MOST_KNOWN: Final = 10_000
LONGEST_LIST: Final = 64 << 20
LOOKED_S: Final = 4.0
"""Interval between two looks at the files."""
_AHEAD: Final = timedelta(seconds=30)
_UPN: Final = ObjectIdentifier("1.3.6.1.4.1.311.20.2.3")
_UTF8: Final = 0x0C
_RSA_BITS: Final = 2048
_SIGNERS: Final = (rsa.RSAPublicKey, ec.EllipticCurvePublicKey, ed25519.Ed25519PublicKey)
_HASHES: Final = frozenset({"sha256", "sha384", "sha512"})
_KNOWN: Final = (
    x509.BasicConstraints, x509.KeyUsage, x509.ExtendedKeyUsage, x509.SubjectAlternativeName,
    x509.CertificatePolicies,
)  # fmt: skip
_UNREADABLE: Final = (
    ValueError, UnsupportedAlgorithm, x509.ExtensionNotFound, x509.DuplicateExtension,
    x509.UnsupportedGeneralNameType,
)  # fmt: skip
_logger = logging.getLogger("appliance.people")
Name = Callable[[x509.Certificate], str]


@dataclass(frozen=True)
class CertifiedPerson:
    """A person as a certificate names them, until its end."""

    subject: str
    issuer: bytes
    serial: int
    until: datetime


@dataclass(frozen=True)
class RevocationList:
    """The list of one CA.

    Attributes:
        until: when the next one is due.
    """

    serials: frozenset[int]
    issued: datetime
    until: datetime


class PersonCertificates:
    """The certificates of one or several pinned CAs.

    Args:
        steady: seconds of a clock that does not jump.
    """

    def __init__(
        self,
        name: str,
        config: PersonCertificatesConfig,
        data: Path,
        clock: Clock,
        steady: Callable[[], float] = time.monotonic,
    ) -> None:
        self._name, self._config, self._clock, self._steady = name, config, clock, steady
        self._cas = _read_cas(data / config.ca)
        self._files = [data / one for one in config.crls]
        self._stamps: dict[Path, tuple[int, int, int]] = {}
        self._lists: dict[bytes, RevocationList] = {}
        self._known: OrderedDict[bytes, CertifiedPerson | None] = OrderedDict()
        self._looked = float("-inf")
        self._reading = asyncio.Lock()

    @property
    def problem(self) -> str:
        """The list that is missing or has ended; "" where all are good, or none was needed yet."""
        if self._looked == float("-inf"):
            return ""
        ends = [self._lists[key].until for key in map(_key_of, self._cas) if key in self._lists]
        if len(ends) < len(self._cas):
            return "A list of revoked certificates cannot be read."
        if min(ends) > self._now():
            return ""
        return f"A list of revoked certificates ended at {min(ends):%Y-%m-%d %H:%M}."

    async def find(self, der: bytes) -> tuple[CertifiedPerson, datetime] | None:
        """The person of a certificate, and until when; None where no CA of these signed it.

        Raises `person_certificate_invalid`, `person_certificate_expired`,
        `person_certificate_revoked`; `people_unavailable` without a good list.
        """
        await self._read_if_due()
        digest = sha256(der).digest()
        if digest not in self._known:
            self._known[digest] = self._verify(der)
            while len(self._known) > MOST_KNOWN:
                self._known.popitem(last=False)
        known = self._known[digest]
        if known is None:
            return None
        now = self._now()
        if now >= known.until:
            raise _expired("has expired")
        found = self._lists.get(known.issuer)
        grace = timedelta(minutes=self._config.grace_minutes)
        if found is None or now >= found.until + grace:
            message = f"The revocation list of {self._name} is missing or out of date."
            raise Unavailable("people_unavailable", message)
        if known.serial in found.serials:
            message = "The certificate of the person is revoked."
            raise Unauthenticated("person_certificate_revoked", message)
        return known, min(known.until, found.until + grace)

    def _verify(self, der: bytes) -> CertifiedPerson | None:
        try:
            found = x509.load_der_x509_certificate(der)
            issuer = next((one for one in self._cas if _signed(found, one)), None)
        except _UNREADABLE as error:
            raise _invalid("it cannot be read") from error
        if issuer is None:
            return None
        now = self._now()
        if now + _AHEAD < found.not_valid_before_utc:
            raise _expired("is not valid yet")
        try:
            _check(found)
            subject = _NAMES[self._config.subject](found)
        except _UNREADABLE as error:
            raise _invalid("its extensions cannot be read") from error
        spelled = 1 <= len(subject) <= LONGEST and subject.isprintable()
        if not spelled or subject != subject.strip():
            raise _invalid("it says no name that can be shown")
        serial, until = found.serial_number, found.not_valid_after_utc
        return CertifiedPerson(subject, _key_of(issuer), serial, until)

    async def _read_if_due(self) -> None:
        """Check the files if that is due; others wait for it."""
        if self._steady() - self._looked < LOOKED_S:
            return
        async with self._reading:
            if self._steady() - self._looked >= LOOKED_S:
                await asyncio.to_thread(self._read_lists)
                self._looked = self._steady()

    def _read_lists(self) -> None:
        for path in self._files:
            try:
                about = path.stat()
                stamp = about.st_mtime_ns, about.st_size, about.st_ino
                if self._stamps.get(path) != stamp:
                    self._take(path, about.st_size)
                    self._stamps[path] = stamp
            except (OSError, *_UNREADABLE) as error:
                _logger.warning("the revocation list %s was not read: %s", path.name, error)

    def _take(self, path: Path, size: int) -> None:
        if size > LONGEST_LIST:
            raise ValueError(f"it is larger than {LONGEST_LIST} bytes")
        data = path.read_bytes()
        load = x509.load_pem_x509_crl if b"-----BEGIN" in data[:64] else x509.load_der_x509_crl
        read = load(data)
        signers = [ca for ca in self._cas if ca.subject == read.issuer and _lists(ca, read)]
        if not signers or read.next_update_utc is None:
            raise ValueError("no pinned CA signed it, or it has no end")
        if any(one.critical for one in read.extensions):
            raise ValueError("it is a part of a list, or of an unknown kind")
        if read.last_update_utc > self._now() + _AHEAD:
            raise ValueError("it is of the future")
        made = RevocationList(
            frozenset(one.serial_number for one in read),
            read.last_update_utc,
            read.next_update_utc,
        )
        for ca in signers:
            before = self._lists.get(_key_of(ca))
            if before is not None and made.issued < before.issued:
                raise ValueError("it is older than the one before")
            self._lists[_key_of(ca)] = made

    def _now(self) -> datetime:
        return datetime.fromtimestamp(self._clock.wall_us() / 1e6, UTC)


def _read_cas(path: Path) -> list[x509.Certificate]:
    try:
        found = x509.load_pem_x509_certificates(path.read_bytes())
    except (OSError, ValueError) as error:
        message = f"The CA of people {path.name} cannot be read: {error}"
        raise Unavailable("people_unavailable", message) from error
    return found


def _signed(found: x509.Certificate, ca: x509.Certificate) -> bool:
    """True if this CA, by name and key, signed it."""
    try:
        found.verify_directly_issued_by(ca)
    except (ValueError, TypeError, InvalidSignature):
        return False
    return True


def _lists(ca: x509.Certificate, read: x509.CertificateRevocationList) -> bool:
    key = ca.public_key()
    if not isinstance(key, _SIGNERS):
        return False
    return _strong_hash(read) and read.is_signature_valid(key)


def _check(found: x509.Certificate) -> None:
    """Refuse all but a person's client certificate."""
    key = found.public_key()
    short = isinstance(key, rsa.RSAPublicKey) and key.key_size < _RSA_BITS
    if short or not _strong_hash(found):
        raise _invalid("its key or its signature is weak")
    held = {type(one.value): one.value for one in found.extensions}
    for one in found.extensions:
        if one.critical and not isinstance(one.value, _KNOWN):
            raise _invalid("it has a critical extension that is not known here")
    basic, usage = held.get(x509.BasicConstraints), held.get(x509.KeyUsage)
    if isinstance(basic, x509.BasicConstraints) and basic.ca:
        raise _invalid("it is a CA's")
    if isinstance(usage, x509.KeyUsage) and not usage.digital_signature:
        raise _invalid("it is not for signatures")
    purposes = held.get(x509.ExtendedKeyUsage)
    if not isinstance(purposes, x509.ExtendedKeyUsage) or _CLIENT not in purposes:
        raise _invalid("it is not for clients")


_CLIENT: Final = ExtendedKeyUsageOID.CLIENT_AUTH


def _strong_hash(signed: x509.Certificate | x509.CertificateRevocationList) -> bool:
    used = signed.signature_hash_algorithm
    return used is None or used.name in _HASHES  # Ed25519 has none of its own


def _upn(found: x509.Certificate) -> str:
    """The one user principal name among the other names."""
    named = found.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    others = [one for one in named.get_values_for_type(x509.OtherName) if one.type_id == _UPN]
    if len(others) != 1:
        raise _invalid("it has no UPN, or two")
    value = others[0].value
    if len(value) < 2 or value[0] != _UTF8 or value[1] != len(value) - 2 or value[1] >= 0x80:
        raise _invalid("its UPN cannot be read")
    try:
        return value[2:].decode()
    except UnicodeDecodeError as error:
        raise _invalid("its UPN is no text") from error


def _subject(found: x509.Certificate) -> str:
    return found.subject.rfc4514_string()


_NAMES: Final[dict[str, Name]] = {"upn": _upn, "subject": _subject}


def _key_of(ca: x509.Certificate) -> bytes:
    return sha256(ca.public_bytes(Encoding.DER)).digest()


def _invalid(problem: str) -> Unauthenticated:
    message = f"The certificate of the person: {problem}."
    return Unauthenticated("person_certificate_invalid", message)


def _expired(problem: str) -> Unauthenticated:
    message = f"The certificate of the person {problem}."
    return Unauthenticated("person_certificate_expired", message)
