"""The site's word for a log's first key."""

from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)

from appliance.audit.certificate import believed_key, certify, check_certificate
from appliance.audit.checkpoint import VerifierKey
from appliance.errors import AuditRefused
from tests.audit.logs import ORIGIN

KEY = VerifierKey(ORIGIN, bytes(range(32)))
Private = ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey | rsa.RSAPrivateKey


def pems(key: Private) -> tuple[bytes, bytes]:
    private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    public = key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    return private, public


SITES: list[Private] = [
    ec.generate_private_key(ec.SECP256R1()),
    ec.generate_private_key(ec.SECP384R1()),
    ec.generate_private_key(ec.SECP521R1()),
    ed25519.Ed25519PrivateKey.generate(),
]


@pytest.mark.parametrize("site", SITES)
def test_the_sites_key_leads_to_the_logs_key(site: Private) -> None:
    private, public = pems(site)
    document = certify(KEY, private)
    assert check_certificate(document, public) == KEY
    assert believed_key(document, public) == KEY.encode().encode()
    assert believed_key(b"as it is", None) == b"as it is"


def test_nothing_else_is_believed() -> None:
    private, public = pems(SITES[1])
    document = certify(KEY, private)
    _, other = pems(ec.generate_private_key(ec.SECP384R1()))
    wrong = [
        (document, other),
        (document.replace(b"genesis v1", b"genesis v2"), public),
        (document.replace(b"example", b"exbmple"), public),
        (document + b"x", public),
        (document.replace(b"\n\n", b"\nmore\n\n"), public),
        (document + bytes(5_000), public),
        (b"", public),
        (KEY.encode().encode(), public),
    ]
    for bad, key in wrong:
        with pytest.raises(AuditRefused) as caught:
            check_certificate(bad, key)
        assert caught.value.code == "certificate_invalid"


def test_other_keys_are_refused() -> None:
    document = certify(KEY, pems(SITES[0])[0])
    private, public = pems(rsa.generate_private_key(65537, 2048))
    k1_private, k1_public = pems(ec.generate_private_key(ec.SECP256K1()))
    for key in (b"", b"junk", public, k1_public):
        with pytest.raises(AuditRefused) as caught:
            check_certificate(document, key)
        assert caught.value.code == "audit_key_invalid"
    for key in (b"", b"junk", private, k1_private):
        with pytest.raises(AuditRefused):
            certify(KEY, key)


def test_a_certificate_is_short(tmp_path: Path) -> None:
    assert len(certify(KEY, pems(SITES[2])[0])) < 500
