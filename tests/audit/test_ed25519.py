"""Signatures that hold for verifier and auditor, and those that must not."""

import random
from hashlib import sha512

import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from appliance.audit import ed25519
from auditor import verify_export

KEY = Ed25519PrivateKey.from_private_bytes(bytes([7]) * 32)
PUBLIC = KEY.public_key().public_bytes_raw()
TEXT = b"log.example\n7\nroot\n"
SIGNATURE = KEY.sign(TEXT)
Q = verify_export.Q

NEUTRAL = bytes([1, *bytes(31)])
SMALL = [  # all points whose order divides eight
    NEUTRAL,
    bytes.fromhex("ec" + "ff" * 30 + "7f"),
    bytes(32),
    bytes([*bytes(31), 0x80]),
    bytes.fromhex("26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05"),
    bytes.fromhex("26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc85"),
    bytes.fromhex("c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a"),
    bytes.fromhex("c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac03fa"),
]


def answers(signature: bytes, text: bytes, public: bytes) -> set[bool]:
    """The verdicts of verifier and auditor."""
    return {ed25519.holds(signature, text, public), verify_export.signed(public, signature, text)}


def openssl(signature: bytes, text: bytes, public: bytes) -> bool:
    try:
        Ed25519PublicKey.from_public_bytes(public).verify(signature, text)
    except (InvalidSignature, ValueError):
        return False
    return True


def test_a_signature_holds() -> None:
    assert answers(SIGNATURE, TEXT, PUBLIC) == {True}
    # RFC 8032, section 7.1, test 2.
    public = bytes.fromhex("3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c")
    signature = bytes.fromhex(
        "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da"
        "085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00"
    )
    assert answers(signature, b"\x72", public) == {True}


@pytest.mark.parametrize(
    ("signature", "text", "public"),
    [
        (SIGNATURE, TEXT + b"\n", PUBLIC),
        (SIGNATURE, TEXT, NEUTRAL),
        (SIGNATURE, TEXT, PUBLIC[:-1]),
        (SIGNATURE, TEXT, PUBLIC + b"\0"),
        (SIGNATURE, TEXT, b""),
        (SIGNATURE, TEXT, b"\xff" * 32),
        (SIGNATURE[:-1], TEXT, PUBLIC),
        (SIGNATURE + b"\0", TEXT, PUBLIC),
        (b"", TEXT, PUBLIC),
        # The same number by another name: s + Q.
        (
            SIGNATURE[:32] + (int.from_bytes(SIGNATURE[32:], "little") + Q).to_bytes(32, "little"),
            TEXT,
            PUBLIC,
        ),
    ],
)
def test_what_does_not_hold_is_refused(signature: bytes, text: bytes, public: bytes) -> None:
    assert answers(signature, text, public) == {False}


def test_any_changed_bit_is_refused() -> None:
    dice = random.Random(8)
    for _ in range(100):
        at = dice.randrange(len(SIGNATURE) * 8)
        changed = bytearray(SIGNATURE)
        changed[at // 8] ^= 1 << at % 8
        assert answers(bytes(changed), TEXT, PUBLIC) == {False}


@pytest.mark.parametrize("public", SMALL)
def test_a_key_that_signs_anything_is_refused(public: bytes) -> None:
    accepted = 0
    for number in range(16):
        text = bytes([number])
        for point in SMALL:  # with s = 0
            signature = point + bytes(32)
            accepted += openssl(signature, text, public)
            assert answers(signature, text, public) == {False}
    assert accepted  # the control: a library that does not look at the order


def _written(point: verify_export.Point) -> bytes:
    x, y, z, _ = point
    one = pow(z, -1, verify_export.P)
    x, y = x * one % verify_export.P, y * one % verify_export.P
    return (y | (x & 1) << 255).to_bytes(32, "little")


def _signed(nonce: int, key: int, *, beside_r: bool, beside_key: bool) -> tuple[bytes, bytes]:
    """A signature and its public key, one of them moved by a point of order eight."""
    small = verify_export.point(SMALL[4])
    r, a = (verify_export.times(n, verify_export.BASE) for n in (nonce, key))
    first = _written(verify_export.add(r, small) if beside_r else r)
    public = _written(verify_export.add(a, small) if beside_key else a)
    said = sha512(first + public + TEXT).digest()
    s = (nonce + int.from_bytes(said, "little") * key) % Q
    return first + s.to_bytes(32, "little"), public


def test_what_holds_only_up_to_a_point_of_small_order_is_refused() -> None:
    """RFC 8032 leaves it open; if a library changes its mind, the two verifiers part."""
    signature, public = _signed(11, 13, beside_r=False, beside_key=False)
    assert answers(signature, TEXT, public) == {True}
    signature, public = _signed(11, 13, beside_r=True, beside_key=False)
    assert answers(signature, TEXT, public) == {False}


def test_keys_beside_the_group_have_one_answer_from_all() -> None:
    told = set()
    for nonce in range(1, 33):
        signature, public = _signed(nonce, 13, beside_r=False, beside_key=True)
        (answer,) = answers(signature, TEXT, public)
        assert answer == openssl(signature, TEXT, public)
        told.add(answer)
    assert told == {True, False}  # it holds where the hash is a multiple of eight
