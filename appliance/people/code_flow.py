"""Signing in at a login service: the code that a browser brings becomes the token of a person.

Rules: authorization code with PKCE, as a public client; only this server asks for the token, which
has the nonce of this sign-in. Few exchanges run at once, since no key was shown yet.

Sources: RFC 6749, section 4.1; RFC 7636; OpenID Connect Core 1.0, section 3.1.
"""

import asyncio
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import msgspec

from appliance.config import OidcConfig
from appliance.errors import Overloaded, Unauthenticated, Unavailable
from appliance.people import login_keys, tokens
from appliance.people.end_users import EndUsers
from appliance.types import EndUser

AT_ONCE: Final = 4
MOST_WAITING: Final = 32


class BroughtCode(msgspec.Struct, frozen=True):
    """A code as the browser brings it back.

    Attributes:
        redirect: the address at which the browser got the code.
    """

    login: str
    code: str
    verifier: str
    nonce: str
    redirect: str


class _TokenAnswer(msgspec.Struct):
    id_token: str


class CodeFlow:
    """Sign-ins of people at the login services that have a page for it."""

    def __init__(self, logins: Mapping[str, OidcConfig], data: Path, people: EndUsers) -> None:
        self._logins = {name: one for name, one in logins.items() if one.authorize}
        self._data, self._people = data, people
        self._gate, self._waiting = asyncio.Semaphore(AT_ONCE), 0

    async def sign_in(self, brought: BroughtCode, key_id: str) -> tuple[EndUser, str]:
        """The person who signed in, and their token.

        `key_id` is of the page's key. Raises `queue_full`.
        """
        config = self._logins.get(brought.login)
        if config is None:
            message = "People cannot sign in at such a login service."
            raise Unauthenticated("person_token_foreign", message)
        if self._waiting >= MOST_WAITING:
            raise Overloaded("queue_full", "Too many people sign in at once.")
        self._waiting += 1
        try:
            async with self._gate, asyncio.timeout(2 * login_keys.SECONDS):
                told = await asyncio.to_thread(self._exchange, config, brought)
        except OSError as error:
            if isinstance(error, login_keys.OtherStatus) and 400 <= error.status < 500:
                message = "The login service does not take this code."
                raise Unauthenticated("person_token_invalid", message) from error
            message = f"The login service gave no token for the code: {error}."
            raise Unavailable("people_unavailable", message) from error
        finally:
            self._waiting -= 1
        if tokens.read(told).claims.get("nonce") != brought.nonce:
            message = "The token is of another sign-in."
            raise Unauthenticated("person_token_invalid", message)
        return await self._people.verified(told, key_id), told

    def _exchange(self, config: OidcConfig, brought: BroughtCode) -> str:
        form = {
            "grant_type": "authorization_code",
            "code": brought.code,
            "code_verifier": brought.verifier,
            "redirect_uri": brought.redirect,
            "client_id": config.audience,
        }
        answer = login_keys.asked(config, self._data, config.token, form)
        try:
            return msgspec.json.decode(answer, type=_TokenAnswer).id_token
        except msgspec.MsgspecError as error:
            raise ConnectionError("its answer has no ID token") from error
