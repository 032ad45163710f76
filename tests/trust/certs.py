"""Makes certificate chains for tests, good and bad, with the builder of `cryptography` only."""

import datetime
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID

from appliance.clock import FixedClock

NOW = datetime.datetime.fromtimestamp(FixedClock().now_us / 1e6, datetime.UTC)
NOW_US = FixedClock().now_us
DAY = datetime.timedelta(days=1)
HASHES: Mapping[str, type[hashes.SHA256 | hashes.SHA384 | hashes.SHA512]] = {
    "secp256r1": hashes.SHA256,
    "secp384r1": hashes.SHA384,
    "secp521r1": hashes.SHA512,
    "secp256k1": hashes.SHA256,
}


@dataclass(frozen=True)
class Wanted:
    """One certificate; the defaults are a good signer's."""

    name: str
    ca: bool | None = False
    path_length: int | None = None
    digital_signature: bool | None = True
    cert_sign: bool = False
    start: datetime.datetime = NOW - DAY
    end: datetime.datetime = NOW + 365 * DAY
    serial: int | None = None
    critical: bool = False
    curve: ec.EllipticCurve | None = None

    def but(self, **changes: Any) -> "Wanted":
        return replace(self, **changes)


LEAF = Wanted("Signer")
ISSUER = Wanted("Issuer", ca=True, digital_signature=False, cert_sign=True)
ROOT = ISSUER.but(name="Root")


@dataclass(frozen=True)
class Made:
    certificate: x509.Certificate
    key: ec.EllipticCurvePrivateKey

    @property
    def pem(self) -> bytes:
        return self.certificate.public_bytes(Encoding.PEM)

    @property
    def subject(self) -> str:
        return self.certificate.subject.rfc4514_string()


def make(wanted: Wanted, issuer: Made | None = None) -> Made:
    """Issue a certificate; without an issuer it signs itself."""
    key = ec.generate_private_key(wanted.curve or ec.SECP384R1())
    name = x509.Name(
        [
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, "Example"),
            x509.NameAttribute(NameOID.COMMON_NAME, wanted.name),
        ]
    )
    builder = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(issuer.certificate.subject if issuer else name)
        .public_key(key.public_key())
        .serial_number(wanted.serial or x509.random_serial_number())
        .not_valid_before(wanted.start)
        .not_valid_after(wanted.end)
    )
    if wanted.ca is not None:
        basic = x509.BasicConstraints(ca=wanted.ca, path_length=wanted.path_length)
        builder = builder.add_extension(basic, critical=True)
    if wanted.digital_signature is not None:
        flags = {
            "content_commitment": False, "key_encipherment": False, "data_encipherment": False,
            "key_agreement": False, "crl_sign": False, "encipher_only": False,
            "decipher_only": False,
        }  # fmt: skip
        usage = x509.KeyUsage(
            digital_signature=wanted.digital_signature, key_cert_sign=wanted.cert_sign, **flags
        )
        builder = builder.add_extension(usage, critical=True)
    if wanted.critical:
        unknown = x509.UnrecognizedExtension(x509.ObjectIdentifier("1.3.6.1.4.1.55555.1"), b"\5\0")
        builder = builder.add_extension(unknown, critical=True)
    if issuer:
        public = issuer.key.public_key()
        identifier = x509.AuthorityKeyIdentifier.from_issuer_public_key(public)
        builder = builder.add_extension(identifier, critical=False)
    identity = x509.SubjectKeyIdentifier.from_public_key(key.public_key())
    builder = builder.add_extension(identity, critical=False)
    signer = issuer.key if issuer else key
    return Made(builder.sign(signer, HASHES[signer.curve.name]()), key)


@dataclass(frozen=True)
class Chain:
    leaf: Made
    issuer: Made
    root: Made

    @property
    def carried(self) -> list[x509.Certificate]:
        return [self.leaf.certificate, self.issuer.certificate]

    @property
    def pem(self) -> bytes:
        return self.leaf.pem + self.issuer.pem


def chain(
    leaf: Wanted = LEAF, issuer: Wanted = ISSUER, root: Wanted = ROOT, curve: Any = None
) -> Chain:
    top = make(root.but(curve=curve or root.curve))
    middle = make(issuer.but(curve=curve or issuer.curve), top)
    return Chain(make(leaf.but(curve=leaf.curve or curve), middle), middle, top)
