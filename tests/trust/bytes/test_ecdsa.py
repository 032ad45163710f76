"""Keys and signatures: three curves, each with its own hash."""

from typing import Any

import pytest
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa, utils

from appliance.errors import SignatureRefused
from appliance.trust.bytes import ecdsa
from tests.trust.forge import new_key, sha256

CURVES = [ec.SECP256R1(), ec.SECP384R1(), ec.SECP521R1()]
NAMES = ["ecdsa-p256-sha256", "ecdsa-p384-sha384", "ecdsa-p521-sha512"]


def public_pem(key: Any) -> bytes:
    pem: bytes = key.public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    return pem


def private_pem(key: Any, password: bytes | None = None) -> bytes:
    protection = (
        serialization.BestAvailableEncryption(password)
        if password
        else serialization.NoEncryption()
    )
    pem: bytes = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, protection
    )
    return pem


@pytest.mark.parametrize(("curve", "name"), list(zip(CURVES, NAMES, strict=True)), ids=NAMES)
def test_each_curve_signs_and_verifies_with_its_hash(curve: ec.EllipticCurve, name: str) -> None:
    key = ecdsa.load_private(private_pem(new_key(curve)))
    public = ecdsa.load_public(public_pem(key))
    signature = ecdsa.sign(key, b"message")
    assert ecdsa.algorithm(public).name == name
    assert ecdsa.is_der(signature)
    assert ecdsa.verify(public, signature, b"message")
    assert not ecdsa.verify(public, signature, b"another message")
    assert not ecdsa.verify(new_key(curve).public_key(), signature, b"message")


def test_the_hash_of_another_curve_is_not_accepted() -> None:
    key = new_key(ec.SECP256R1())
    signature = key.sign(b"message", ec.ECDSA(hashes.SHA384()))
    assert not ecdsa.verify(key.public_key(), signature, b"message")


KEYS: dict[str, Any] = {
    "secp256k1": ec.generate_private_key(ec.SECP256K1()),
    "P-224": ec.generate_private_key(ec.SECP224R1()),
    "RSA": rsa.generate_private_key(65_537, 2_048),
    "Ed25519": ed25519.Ed25519PrivateKey.generate(),
}


@pytest.mark.parametrize("key", KEYS.values(), ids=KEYS)
def test_other_keys_are_refused(key: Any) -> None:
    for load, pem in ((ecdsa.load_public, public_pem), (ecdsa.load_private, private_pem)):
        with pytest.raises(SignatureRefused) as caught:
            load(pem(key))
        assert caught.value.code == "signature_key_unsupported"


@pytest.mark.parametrize("pem", [b"", b"garbage", b"-----BEGIN PUBLIC KEY-----\nAAAA\n"])
def test_unreadable_keys_are_refused(pem: bytes) -> None:
    for load in (ecdsa.load_public, ecdsa.load_private):
        with pytest.raises(SignatureRefused) as caught:
            load(pem)
        assert caught.value.code == "signature_key_unsupported"


def test_an_encrypted_private_key_is_refused() -> None:
    with pytest.raises(SignatureRefused) as caught:
        ecdsa.load_private(private_pem(new_key(), b"secret"))
    assert caught.value.code == "signature_key_unsupported"


def test_the_hint_is_the_digest_of_the_pem_text_however_it_was_formatted() -> None:
    key = new_key()
    pem = public_pem(key)
    assert ecdsa.hint(key.public_key()) == sha256(pem)
    lines = pem.decode().strip().splitlines()
    reformatted = "\r\n".join([lines[0], *lines[1:-1], lines[-1]]) + "\r\n\r\n"
    assert ecdsa.hint(ecdsa.load_public(reformatted.encode())) == sha256(pem)


def test_keys_are_written_so_that_they_can_be_read() -> None:
    key = new_key(ec.SECP384R1())
    again = ecdsa.load_private(ecdsa.private_pem(key))
    assert ecdsa.public_pem(again.public_key()) == public_pem(key)


@pytest.mark.parametrize(
    "signature",
    [
        b"",
        b"AAAA",
        bytes(64),
        utils.encode_dss_signature(0, 1),
        utils.encode_dss_signature(1, 0),
        utils.encode_dss_signature(5, 7) + b"\0",
    ],
    ids=["empty", "noise", "raw", "r=0", "s=0", "trailing byte"],
)
def test_what_is_not_der_is_seen(signature: bytes) -> None:
    assert ecdsa.is_der(utils.encode_dss_signature(5, 7))
    assert not ecdsa.is_der(signature)
