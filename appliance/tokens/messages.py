"""Between this process and the one that runs the vendor's module: one datagram a message.

Rules: a PIN crosses once and never comes back; a failure is a stable code and the module's words.
"""

from typing import Final, TypeAlias

import msgspec
from msgspec import Struct

from appliance.tokens.uri import TokenUri

MOST: Final = 64 << 10
"""Bytes of a message."""


class FindToken(Struct, tag=True, frozen=True):
    """Load the module and find the one token of a URI."""

    uri: TokenUri


class TokenFound(Struct, tag=True, frozen=True):
    """A token, before anybody logs in.

    Attributes:
        label: of the token.
        pin_pad: the PIN is typed at the token itself.
        final_try: one more wrong PIN locks it.
    """

    label: str
    pin_pad: bool
    final_try: bool


class LogIn(Struct, tag=True, frozen=True):
    """Log in, once, and find the one key of the URI; None where the token asks for the PIN."""

    pin: str | None


class MakeTokenKey(Struct, tag=True, frozen=True):
    """Log in, once, and make the key of the URI, P-384; refused where its name is taken."""

    pin: str | None


class TokenKeyFound(Struct, tag=True, frozen=True):
    """The key; its public half, SubjectPublicKeyInfo in DER."""

    public: bytes


class SignDigest(Struct, tag=True, frozen=True):
    """Sign a digest."""

    digest: bytes


class RawSignature(Struct, tag=True, frozen=True):
    """`r` and `s`, of equal lengths."""

    value: bytes


class AgreeWith(Struct, tag=True, frozen=True):
    """Agree with another key of the curve: its point, uncompressed."""

    point: bytes


class SharedSecret(Struct, tag=True, frozen=True):
    """The x coordinate that both share."""

    value: bytes


class TokenFailure(Struct, tag=True, frozen=True):
    """Nothing was done."""

    code: str
    message: str


Order: TypeAlias = FindToken | LogIn | MakeTokenKey | SignDigest | AgreeWith
Answer: TypeAlias = TokenFound | TokenKeyFound | RawSignature | SharedSecret | TokenFailure
ORDERS: Final = msgspec.msgpack.Decoder(Order)
ANSWERS: Final = msgspec.msgpack.Decoder(Answer)
