"""Sessions of people in a browser: a key is shown once, and the browser's token ends by itself.

Rules:
- A session has the rights of its key at each request: it ends with the key, with the secret that
  began it, and after `LONGEST_US`.
- Sessions live in memory only; of a token its hash is kept. A session begins no other.
- Under a login service the person's token is kept and verified again, so a removed person or a lost
  group counts in a session, too.
"""

import secrets
import threading
from dataclasses import dataclass
from hashlib import sha256
from typing import Final

from appliance.auth.keys import KeyStore
from appliance.auth.secret import parse
from appliance.clock import Clock
from appliance.errors import Unauthenticated
from appliance.types import Principal

PREFIX: Final = "ses-"
LONGEST_US: Final = 8 * 3_600_000_000
MOST_OF_A_KEY: Final = 20
"""One more ends the oldest."""


@dataclass(frozen=True)
class PersonSession:
    """A session.

    Attributes:
        proof: hash of the secret that it began with; None where a certificate or a person did.
        token: of the person who signed in at a login service; each request has it verified again.
        person: their name in the log.
        until_us: its end.
    """

    key_id: str
    proof: bytes | None
    until_us: int
    token: str = ""
    person: str = ""

    @property
    def owner(self) -> tuple[str, str]:
        """The key, and within it the person."""
        return self.key_id, self.person


class PersonSessions:
    """The sessions of all keys. Callable from any thread."""

    def __init__(self, keys: KeyStore, clock: Clock) -> None:
        self._keys, self._clock = keys, clock
        self._lock = threading.Lock()
        self._open: dict[bytes, PersonSession] = {}

    def begin(
        self, principal: Principal, secret: str, token: str = ""
    ) -> tuple[PersonSession, str]:
        """Begin a session; its token is returned only here.

        Args:
            principal: with the person, where one is known.
            secret: of the key, as the request brought it; "" where something else vouched.
            token: of the person, just given by a login service.
        """
        proof, until_us = parse(secret), self._clock.wall_us() + LONGEST_US
        made = PersonSession(
            principal.key_id, None if proof is None else proof[1], until_us, token, _who(principal)
        )
        name = f"{PREFIX}{secrets.token_urlsafe(32)}"
        with self._lock:
            self._forget_ended()
            mine = [old for old, one in self._open.items() if one.owner == made.owner]
            for old in mine[: max(0, len(mine) + 1 - MOST_OF_A_KEY)]:
                del self._open[old]
            self._open[_name(name)] = made
        return made, name

    def authenticate(self, secret: str) -> Principal:
        """The holder of a key's secret, or of a session's token.

        Raises as `KeyStore.authenticate`; `session_ended`.
        """
        if not secret.startswith(PREFIX):
            return self._keys.authenticate(secret)
        found = self._open.get(_name(secret))
        if found is None or self._clock.wall_us() >= found.until_us:
            raise _ended()
        try:
            if found.proof is None:
                return self._keys.holder(found.key_id)
            return self._keys.proved(found.key_id, found.proof)
        except Unauthenticated as error:
            raise _ended() from error

    def token_of(self, secret: str) -> str:
        """The token of the session's person; "" without one."""
        found = self._open.get(_name(secret)) if secret.startswith(PREFIX) else None
        return "" if found is None else found.token

    def end(self, token: str) -> int:
        """End one session; the number of ended ones."""
        with self._lock:
            return 0 if self._open.pop(_name(token), None) is None else 1

    def end_all(self, principal: Principal) -> int:
        """End all sessions of a key, or of the person under it; their number."""
        owner = principal.key_id, _who(principal)
        with self._lock:
            self._forget_ended()
            mine = [name for name, one in self._open.items() if one.owner == owner]
            for name in mine:
                del self._open[name]
        return len(mine)

    def _forget_ended(self) -> None:
        now = self._clock.wall_us()
        for name in [n for n, one in self._open.items() if now >= one.until_us]:
            del self._open[name]


def _who(principal: Principal) -> str:
    return "" if principal.known is None else principal.known.alias


def _name(token: str) -> bytes:
    return sha256(token.encode("utf-8", "surrogatepass")).digest()


def _ended() -> Unauthenticated:
    return Unauthenticated("session_ended", "The session has ended.")
