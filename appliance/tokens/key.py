"""A private key on a token, used like one of a file: `ecdsa.SigningKey`.

Rules: the vendor's module runs in a child; neither a refused PIN nor an order is sent again; the
PIN of the log-in serves one signature of a key that always asks; a late answer ends the child; a
signature counts only when the public key verifies it. A failure is a Refused (`token_…`).
"""

import contextlib
import hashlib
import socket
from collections.abc import Callable
from typing import Final, Self, TypeVar

import msgspec
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import ec, utils
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    PublicFormat,
    load_der_public_key,
)

from appliance.config import module_environment
from appliance.errors import CODES, Refused
from appliance.tokens import messages
from appliance.tokens.messages import TokenFound
from appliance.tokens.uri import TokenUri
from appliance.trust.bytes import ecdsa
from appliance.workers.child import Child

PATIENCE_S: Final = 60.0
"""How long a module may take for an answer; a person may have to touch or type at the token."""
AskPin = Callable[[TokenFound], str]
A = TypeVar("A", bound=messages.Answer)


class TokenKey:
    """The key that a URI names.

    Args:
        ask: gives the PIN; not called where the token asks itself.
        make, always: make the key first, one that takes the PIN for each signature.

    Raises:
        Refused: `token_…`; `signature_key_unsupported`.
    """

    def __init__(
        self, uri: TokenUri, ask: AskPin, *, make: bool = False, always: bool = False,
        patience: float = PATIENCE_S,
    ) -> None:  # fmt: skip
        self._uri, self._open, self._ask = uri, contextlib.ExitStack(), ask
        with contextlib.ExitStack() as stack:
            ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
            self._socket = stack.enter_context(ours)
            self._socket.settimeout(patience)
            with theirs:
                self._child = Child.start(
                    "appliance.tokens.helper", theirs.fileno(), fds=(theirs.fileno(),),
                    environment=module_environment(),
                )  # fmt: skip
            stack.callback(self._child.end)
            self._token = self._asked(messages.FindToken(uri), TokenFound)
            pin = None if self._token.pin_pad else ask(self._token)
            found = self._asked(messages.LogIn(pin, make, always), messages.TokenKeyFound)
            self._public, self._always = self._read(found.public), found.always
            self._pin = pin if found.always else None
            self._open = stack.pop_all()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._open.close()

    def public_key(self) -> ecdsa.PublicKey:
        return self._public

    def sign(self, data: bytes, algorithm: ec.ECDSA) -> bytes:
        digest = hashlib.new(ecdsa.algorithm(self._public).hash().name, data).digest()
        pin, self._pin = self._pin, None
        if self._always and pin is None and not self._token.pin_pad:
            pin = self._ask(self._token)
        raw = self._asked(messages.SignDigest(digest, pin), messages.RawSignature).value
        half = len(raw) // 2
        r, s = (int.from_bytes(part) for part in (raw[:half], raw[half:]))
        signature = utils.encode_dss_signature(r, s)
        try:
            self._public.verify(signature, data, algorithm)
        except InvalidSignature as error:
            raise self._failed("its signature does not hold under its own public key") from error
        return signature

    def exchange(self, _: ec.ECDH, peer_public_key: ecdsa.PublicKey) -> bytes:
        point = peer_public_key.public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)
        return self._asked(messages.AgreeWith(point), messages.SharedSecret).value

    def _read(self, der: bytes) -> ecdsa.PublicKey:
        try:
            key = load_der_public_key(der)
        except ValueError as error:
            raise self._failed("its public key cannot be read") from error
        if not isinstance(key, ecdsa.PublicKey):
            raise self._failed("its public key is of another kind")
        return key

    def _asked(self, order: messages.Order, kind: type[A]) -> A:
        try:
            self._socket.send(msgspec.msgpack.encode(order))
            data = self._socket.recv(messages.MOST)
        except TimeoutError as error:
            raise self._failed("it does not answer") from error
        except OSError as error:
            raise self._failed(self._child.last_words()) from error
        if not data:
            raise self._failed(self._child.last_words())
        try:
            answer: messages.Answer = messages.ANSWERS.decode(data)
        except msgspec.MsgspecError as error:
            raise self._failed("it answers with garbage") from error
        if isinstance(answer, messages.TokenFailure) and answer.code in CODES:
            raise Refused(answer.code, f"{self._uri.module}: {answer.message}")
        if not isinstance(answer, kind):
            raise self._failed("it answers something else")
        return answer

    def _failed(self, problem: str) -> Refused:
        return Refused("token_module_failed", f"{self._uri.module}: {problem}.")
