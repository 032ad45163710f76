"""The process of the module: what it makes of what modules say. With a real one: `test_key`."""

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from appliance.errors import CODES
from appliance.tokens import helper
from appliance.tokens.helper import TokenProblem

KEY = ec.generate_private_key(ec.SECP384R1()).public_key()
POINT = KEY.public_bytes(serialization.Encoding.X962, serialization.PublicFormat.UncompressedPoint)
P384, ED25519 = bytes.fromhex("06052b81040022"), bytes.fromhex("06032b6570")


def test_a_point_with_and_without_its_head_is_one_key() -> None:
    bare, wrapped = helper._spki(P384, POINT), helper._spki(P384, b"\x04\x61" + POINT)
    assert bare == wrapped
    assert serialization.load_der_public_key(bare) == KEY


@pytest.mark.parametrize(
    ("parameters", "point", "code"),
    [
        (ED25519, POINT, "signature_key_unsupported"),
        (P384, b"", "token_module_failed"),
        (P384, bytes([*POINT[:-1], POINT[-1] ^ 1]), "token_module_failed"),
    ],
    ids=["another curve", "no point", "off the curve"],
)
def test_what_is_no_key_of_ours_is_refused(parameters: bytes, point: bytes, code: str) -> None:
    with pytest.raises(TokenProblem) as caught:
        helper._spki(parameters, point)
    assert caught.value.args[0] == code


def test_codes_are_codes() -> None:
    assert set(helper._CODES.values()) <= CODES.keys()
