"""The process that runs a vendor's PKCS#11 module, for one key and one person.

Rules: its environment has the variables that modules read; it gives up starting programs and
processes before it loads the module. It answers each order with one datagram and ends with the
socket.
"""

import contextlib
import socket
import sys
from typing import Final, assert_never

import msgspec
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from appliance.engine import confine
from appliance.host import core_dumps
from appliance.tokens import cryptoki, messages
from appliance.tokens.cryptoki import Attributes, Cryptoki, CryptokiError, CryptokiToken
from appliance.tokens.uri import TokenUri

_CODES: Final = {
    0x31: "token_full", 0x30: "token_removed", 0x32: "token_removed", 0xB0: "token_removed",
    0xB3: "token_removed", 0xE0: "token_removed", 0xA0: "token_pin_wrong",
    0xA1: "token_pin_wrong", 0xA2: "token_pin_wrong", 0xA4: "token_pin_locked",
}  # fmt: skip
"""Codes of what functions return; all else is `token_refused`."""
_P256, _P384 = bytes.fromhex("06082a8648ce3d030107"), bytes.fromhex("06052b81040022")
_CURVES: Final[dict[bytes, ec.EllipticCurve]] = {
    _P256: ec.SECP256R1(),
    _P384: ec.SECP384R1(),
    bytes.fromhex("06052b81040023"): ec.SECP521R1(),
}


class TokenProblem(Exception):
    """Code and message."""


class TokenDesk:
    """One module, one token, one key."""

    def __init__(self) -> None:
        self._uri: TokenUri
        self._module: Cryptoki
        self._token: CryptokiToken
        self._key = 0

    def answer(self, order: messages.Order) -> messages.Answer:
        """Do one order. Raises TokenProblem, CryptokiError."""
        match order:
            case messages.FindToken(uri):
                return self._find_token(uri)
            case messages.LogIn(pin, make, always):
                self._module.log_in(self._token.slot, pin)
                return self._make_key(always) if make else self._find_key()
            case messages.SignDigest(digest, pin):
                return messages.RawSignature(self._module.sign(self._key, digest, pin))
            case messages.AgreeWith(point):
                return messages.SharedSecret(self._module.agree(self._key, point))
            case _:
                assert_never(order)

    def _find_token(self, uri: TokenUri) -> messages.TokenFound:
        self._uri = uri
        try:
            self._module = Cryptoki(uri.module)
        except (OSError, AttributeError) as error:
            raise TokenProblem("token_module_failed", f"{uri.module}: {error}") from error
        wanted = (uri.token, uri.manufacturer, uri.model, uri.serial)
        found = [
            token
            for token in self._module.tokens()
            if all(name in ("", had) for name, had in zip(wanted, token[2:], strict=True))
        ]
        if len(found) != 1:
            named = ", ".join(token.label for token in found)
            problem = f"{len(found)} tokens match: {named}" if found else "No such token is there"
            raise TokenProblem("token_ambiguous" if found else "token_missing", f"{problem}.")
        (self._token,) = found
        flags = self._token.flags
        if flags & cryptoki.LOCKED:
            raise TokenProblem("token_pin_locked", f"The PIN of {self._token.label} is locked.")
        return messages.TokenFound(
            self._token.label, bool(flags & cryptoki.PIN_PAD), bool(flags & cryptoki.FINAL_TRY)
        )

    def _named(self, kind: int) -> Attributes:
        named: Attributes = {cryptoki.LABEL: self._uri.object.encode(), cryptoki.ID: self._uri.id}
        return {cryptoki.CLASS: kind, **{name: value for name, value in named.items() if value}}

    def _find_key(self) -> messages.TokenKeyFound:
        found = self._module.find(self._named(cryptoki.PRIVATE_KEY))
        if len(found) != 1:
            code = "token_key_ambiguous" if found else "token_key_missing"
            problem = "Two keys or more match." if found else "No such key is on the token."
            raise TokenProblem(code, problem)
        (self._key,) = found
        public = self._public(self._module.read(self._key, cryptoki.ID))
        return messages.TokenKeyFound(public, self._module.always(self._key))

    def _public(self, key_id: bytes) -> bytes:
        """Of the public object with this id, else of the certificate."""
        same: Attributes = {cryptoki.ID: key_id} if key_id else {}
        for handle in self._module.find({**self._named(cryptoki.PUBLIC_KEY), **same})[:1]:
            return _spki(
                self._module.read(handle, cryptoki.EC_PARAMS),
                self._module.read(handle, cryptoki.EC_POINT),
            )
        named: Attributes = {cryptoki.CLASS: cryptoki.CERTIFICATE, **same}
        for handle in self._module.find(named)[:1] if key_id else ():
            with contextlib.suppress(ValueError):
                read = x509.load_der_x509_certificate(self._module.read(handle, cryptoki.VALUE))
                return _der(read.public_key())
        raise TokenProblem("token_key_missing", "The token has no public half of this key.")

    def _make_key(self, always: bool) -> messages.TokenKeyFound:
        if not self._uri.object:
            raise TokenProblem("token_key_missing", "The URI of a new key has object=.")
        for kind in (cryptoki.PRIVATE_KEY, cryptoki.PUBLIC_KEY):
            if self._module.find(self._named(kind)):
                raise TokenProblem("token_key_ambiguous", "The token has a key of this name.")
        try:
            pair = self._pair(_P384, always)
        except CryptokiError as error:
            if error.args[0] in _CODES:
                raise
            pair = self._pair(_P256, always)  # some TPMs have no other curve
        try:
            return self._find_key()
        except BaseException:
            self._module.destroy(pair)
            raise

    def _pair(self, curve: bytes, always: bool) -> tuple[int, int]:
        name = self._uri.object.encode()
        both: Attributes = {
            cryptoki.TOKEN: True, cryptoki.LABEL: name, cryptoki.ID: self._uri.id or name,
        }  # fmt: skip
        return self._module.generate(
            {**both, cryptoki.EC_PARAMS: curve, cryptoki.VERIFY: True, cryptoki.PRIVATE: False},
            {
                **both, cryptoki.SIGN: True, cryptoki.DERIVE: True, cryptoki.PRIVATE: True,
                cryptoki.SENSITIVE: True, cryptoki.EXTRACTABLE: False,
                **({cryptoki.ALWAYS: True} if always else {}),
            },
        )  # fmt: skip


def _spki(parameters: bytes, point: bytes) -> bytes:
    curve = _CURVES.get(parameters)
    if curve is None:
        raise TokenProblem("signature_key_unsupported", "The key is not on P-256, P-384 or P-521.")
    size = 1 + 2 * ((curve.key_size + 7) // 8)
    try:  # a point is an OCTET STRING, and without its head in some modules
        return _der(ec.EllipticCurvePublicKey.from_encoded_point(curve, point[-size:]))
    except ValueError as error:
        raise TokenProblem("token_module_failed", "The key's point is not on its curve.") from error


def _der(key: object) -> bytes:
    if not isinstance(key, ec.EllipticCurvePublicKey):
        raise TokenProblem("signature_key_unsupported", "The key is not on P-256, P-384 or P-521.")
    return key.public_bytes(
        serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
    )


def _answered(desk: TokenDesk, data: bytes) -> messages.Answer:
    try:
        return desk.answer(messages.ORDERS.decode(data))
    except TokenProblem as problem:
        return messages.TokenFailure(*problem.args)
    except CryptokiError as error:
        code = _CODES.get(error.args[0], "token_refused")
        return messages.TokenFailure(code, f"The module answers {error.args[0]:#x}.")


def main(descriptor: int) -> None:
    """Answer orders until the socket is closed."""
    core_dumps.forbid()
    confine.forbid_programs()
    desk = TokenDesk()
    with socket.socket(fileno=descriptor) as connection:
        while data := connection.recv(messages.MOST):
            connection.send(msgspec.msgpack.encode(_answered(desk, data)))


if __name__ == "__main__":
    main(int(sys.argv[1]))
