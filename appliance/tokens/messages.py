"""Messages to the process of the vendor's module, a datagram each.

Rules: a PIN crosses for one use and never back; a failure is a code and the module's words.
"""

from typing import Final, TypeAlias

import msgspec
from msgspec import Struct

from appliance.tokens.uri import TokenUri

MOST: Final = 64 << 10
"""Bytes of a message."""


class FindToken(Struct, tag=True, frozen=True):
    """Find the one token of a URI."""

    uri: TokenUri


class TokenFound(Struct, tag=True, frozen=True):
    """A token; `pin_pad`: the PIN is typed there; `final_try`: one more wrong PIN locks it."""

    label: str
    pin_pad: bool
    final_try: bool


class LogIn(Struct, tag=True, frozen=True):
    """Find the key of the URI; None where the token asks for the PIN.

    `make` it first, P-384 or P-256; `always` as in `TokenKeyFound`.
    """

    pin: str | None
    make: bool = False
    always: bool = False


class TokenKeyFound(Struct, tag=True, frozen=True):
    """`public`: SubjectPublicKeyInfo in DER; `always`: each signature takes the PIN."""

    public: bytes
    always: bool = False


class SignDigest(Struct, tag=True, frozen=True):
    """With ECDSA."""

    digest: bytes
    pin: str | None = None


class RawSignature(Struct, tag=True, frozen=True):
    """`r` and `s`, of equal lengths."""

    value: bytes


class AgreeWith(Struct, tag=True, frozen=True):
    """`point`: of the other key, uncompressed."""

    point: bytes


class SharedSecret(Struct, tag=True, frozen=True):
    """The x coordinate that both share."""

    value: bytes


class TokenFailure(Struct, tag=True, frozen=True):
    """Nothing was done."""

    code: str
    message: str


Order: TypeAlias = FindToken | LogIn | SignDigest | AgreeWith
Answer: TypeAlias = TokenFound | TokenKeyFound | RawSignature | SharedSecret | TokenFailure
ORDERS: Final = msgspec.msgpack.Decoder(Order)
ANSWERS: Final = msgspec.msgpack.Decoder(Answer)
