"""Certificates of people, of an authority of the tests; and attacks with them."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID, ObjectIdentifier

from appliance.config import PersonCertificatesConfig
from tests.people.login import NOW

AT: Final = datetime.fromtimestamp(NOW, UTC)
UPN: Final = ObjectIdentifier("1.3.6.1.4.1.311.20.2.3")
CLIENT: Final = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH])
INVALID, EXPIRED, REVOKED, AWAY = (
    "person_certificate_invalid", "person_certificate_expired", "person_certificate_revoked",
    "people_unavailable",
)  # fmt: skip


def named(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])


def upn(name: str | bytes, tag: int = 0x0C) -> x509.OtherName:
    data = name if isinstance(name, bytes) else name.encode()
    return x509.OtherName(UPN, bytes([tag, len(data)]) + data)


def san(*names: x509.GeneralName) -> x509.SubjectAlternativeName:
    return x509.SubjectAlternativeName(names)


def usage(**uses: bool) -> x509.KeyUsage:
    names = (
        "digital_signature",
        "content_commitment",
        "key_encipherment",
        "data_encipherment",
        "key_agreement",
        "key_cert_sign",
        "crl_sign",
        "encipher_only",
        "decipher_only",
    )
    return x509.KeyUsage(**{name: uses.get(name, False) for name in names})


@dataclass
class Cards:
    at: Path
    name: str = "Card CA"
    key: ec.EllipticCurvePrivateKey = field(
        default_factory=lambda: ec.generate_private_key(ec.SECP256R1())
    )
    issued: int = 100
    now: datetime = AT

    def __post_init__(self) -> None:
        self.at.mkdir(exist_ok=True)
        self.ca = (
            x509.CertificateBuilder(
                named(self.name), named(self.name), self.key.public_key(), 1,
                self.now - timedelta(days=9), self.now + timedelta(days=900),
            )
            .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
            .sign(self.key, SHA256())
        )  # fmt: skip
        (self.at / "ca.pem").write_bytes(self.ca.public_bytes(Encoding.PEM))
        self.revoke()

    def config(self, **changes: Any) -> PersonCertificatesConfig:
        return PersonCertificatesConfig(**{
            "ca": str(self.at / "ca.pem"), "crls": (str(self.at / "crl"),), **changes,
        })  # fmt: skip

    def card(
        self,
        *extensions: x509.ExtensionType,
        begin: datetime | None = None,
        end: datetime | None = None,
        alternative: x509.SubjectAlternativeName | None = san(upn("ann")),  # noqa: B008
        purpose: x509.ExtendedKeyUsage | None = CLIENT,
        key: Any = None,
        critical: bool = False,
    ) -> x509.Certificate:
        self.issued += 1
        self.last = key or ec.generate_private_key(ec.SECP256R1())
        builder = x509.CertificateBuilder(
            self.ca.subject, named("Ann"), self.last.public_key(), self.issued,
            begin or self.now - timedelta(days=1), end or self.now + timedelta(days=90),
        )  # fmt: skip
        for one in (alternative, purpose, *extensions):
            if one is not None:
                builder = builder.add_extension(one, critical and one in extensions)
        return builder.sign(self.key, SHA256())

    def keep(self, card: x509.Certificate) -> tuple[Path, Path]:
        """The last card and its key as files."""
        paths = self.at / "card.pem", self.at / "card.key"
        paths[0].write_bytes(card.public_bytes(Encoding.PEM))
        form = PrivateFormat.PKCS8
        paths[1].write_bytes(self.last.private_bytes(Encoding.PEM, form, NoEncryption()))
        return paths

    def revoke(
        self,
        *serials: int,
        issued: timedelta = timedelta(0),
        until: timedelta | None = timedelta(days=1),
        extensions: Iterable[tuple[x509.ExtensionType, bool]] = (),
        form: Encoding = Encoding.DER,
        key: Any = None,
    ) -> None:
        made = x509.CertificateRevocationListBuilder(self.ca.subject)
        made = made.last_update(self.now + issued)
        made = made.next_update(self.now + issued + (until or timedelta(days=1)))
        for serial in serials:
            one = x509.RevokedCertificateBuilder(serial, self.now - timedelta(hours=1))
            hold = x509.CRLReason(x509.ReasonFlags.certificate_hold)
            made = made.add_revoked_certificate(one.add_extension(hold, critical=False).build())
        for extension, critical in extensions:
            made = made.add_extension(extension, critical)
        data = made.sign(key or self.key, SHA256()).public_bytes(form)
        fresh = self.at / "crl.new"
        fresh.write_bytes(data)
        fresh.replace(self.at / "crl")


def _other(cards: Cards, **changes: Any) -> Cards:
    return Cards(cards.at / "other", **changes)


def _sealed(card: x509.Certificate) -> bytes:
    return card.public_bytes(Encoding.DER)


def _changed(cards: Cards) -> bytes:
    data = bytearray(_sealed(cards.card()))
    data[-1] ^= 1
    return bytes(data)


def _names(*names: x509.GeneralName) -> Callable[[Cards], bytes]:
    return lambda cards: _sealed(cards.card(alternative=san(*names)))


def _has(*extensions: x509.ExtensionType, **changes: Any) -> Callable[[Cards], bytes]:
    return lambda cards: _sealed(cards.card(*extensions, **changes))


def _revoked(cards: Cards) -> bytes:
    card = cards.card()
    cards.revoke(7, card.serial_number)
    return _sealed(card)


def _for(purpose: ObjectIdentifier) -> x509.ExtendedKeyUsage:
    return x509.ExtendedKeyUsage([purpose])


ATTACKS: Final[Mapping[str, tuple[Callable[[Cards], bytes], str | None]]] = {
    # Of another authority: nobody's, for the gate, as if none was shown.
    "another CA": (lambda cards: _sealed(_other(cards, name="Other CA").card()), None),
    "another CA of the same name": (lambda cards: _sealed(_other(cards).card()), None),
    "a byte of the signature": (_changed, None),
    # Times.
    "expired": (_has(end=AT), EXPIRED),
    "not yet valid": (_has(begin=AT + timedelta(minutes=1)), EXPIRED),
    "revoked": (_revoked, REVOKED),
    # Kinds.
    "no certificate": (lambda cards: b"\x30\x03abc", INVALID),
    "for servers": (_has(purpose=_for(ExtendedKeyUsageOID.SERVER_AUTH)), INVALID),
    "for anything": (_has(purpose=_for(ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE)), INVALID),
    "for nothing that it says": (_has(purpose=None), INVALID),
    "a CA's": (_has(x509.BasicConstraints(ca=True, path_length=None)), INVALID),
    "for encryption alone": (_has(usage(key_agreement=True)), INVALID),
    "an unknown critical extension": (
        _has(x509.UnrecognizedExtension(ObjectIdentifier("1.2.3.4"), b"\5\0"), critical=True),
        INVALID,
    ),
    "limits of names": (
        _has(x509.NameConstraints([x509.DNSName("site")], None), critical=True), INVALID,
    ),
    "RSA of 1024 bits": (
        lambda cards: _sealed(cards.card(key=rsa.generate_private_key(65537, 1024))), INVALID,
    ),
    # Names.
    "no other names": (_has(alternative=None), INVALID),
    "no UPN": (_names(x509.RFC822Name("ann@site")), INVALID),
    "two UPNs": (_names(upn("ann"), upn("root")), INVALID),
    "UPN of another type": (_names(upn("ann", 0x16)), INVALID),
    "UPN that is no text": (_names(upn(b"\xff")), INVALID),
    "UPN in a sequence": (_names(x509.OtherName(UPN, b"\x30\x05\x0c\x03ann")), INVALID),
    "UPN empty": (_names(upn("")), INVALID),
    "UPN that turns the line": (_names(upn("ann\u202etoor")), INVALID),
    "UPN with a new line": (_names(upn("ann\nroot")), INVALID),
    "UPN with a zero": (_names(upn("ann\0@evil")), INVALID),
    "UPN that ends in a blank": (_names(upn("ann ")), INVALID),
}  # fmt: skip
"""What is shown, and the code of the refusal; None for a certificate that is not of a person."""

Put = Callable[[Cards], None]


def _written(data: bytes) -> Put:
    def put(cards: Cards) -> None:
        (cards.at / "crl").write_bytes(data)

    return put


LISTS: Final[Mapping[str, tuple[Put, str]]] = {
    "missing": (lambda cards: (cards.at / "crl").unlink(), AWAY),
    "garbage": (_written(b"garbage"), AWAY),
    "empty": (_written(b""), AWAY),
    "of another CA of the same name": (
        lambda cards: cards.revoke(key=ec.generate_private_key(ec.SECP256R1())), AWAY,
    ),
    "of the future": (lambda cards: cards.revoke(issued=timedelta(minutes=5)), AWAY),
    "out of date for a day": (
        lambda cards: cards.revoke(issued=-timedelta(days=2), until=timedelta(days=1)), AWAY,
    ),
    "a part of a list": (
        lambda cards: cards.revoke(extensions=[(x509.DeltaCRLIndicator(1), True)]), AWAY,
    ),
}  # fmt: skip
"""Lists that are none."""
