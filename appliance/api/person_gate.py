"""The end user of a request, out of its headers, before any route.

Rules:
- `X-End-User-Token`, the person's own token, is verified, as is a person's client certificate;
  `X-End-User` is the app's claim, for routes whose body has no field for it. A refused token or
  certificate ends the request; both are two persons.
- A session from a login service has its person; its token comes before headers.
- A key for verified people gets nothing without one, kept answers included, except the list of its
  models and its own use.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Protocol

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from appliance.api.errors import error_response
from appliance.api.transport import secret_of
from appliance.errors import ApplianceError, Unauthenticated
from appliance.people.end_users import required
from appliance.types import EndUser, Principal

VOUCHED: Final = "x-end-user-token"
CLAIMED: Final = "x-end-user"
_MODELS: Final = "/v1/models"


class Identifies(Protocol):
    """Identifies people."""

    def claimed(self, text: str) -> EndUser | None: ...

    async def verified(self, token: str, app: str) -> EndUser: ...

    async def certified(self, der: bytes) -> EndUser | None: ...

    def limited(self, principal: Principal, person: EndUser) -> Principal:
        """The rights of an app while it asks for a person."""
        ...


@dataclass(frozen=True)
class PersonGate:
    """Identifies the person of a request; refuses it where one is demanded.

    Args:
        kept: the token of the person whose session a secret is; "" for none.
    """

    app: ASGIApp
    people: Identifies
    kept: Callable[[str], str] = lambda secret: ""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        state = scope.get("state", {})
        if "principal" in state:
            try:
                await self._find(scope)
            except ApplianceError as refused:
                await error_response(refused)(scope, receive, send)
                return
        await self.app(scope, receive, send)

    async def _find(self, scope: Scope) -> None:
        state, headers = scope["state"], Headers(scope=scope)
        principal: Principal = state["principal"]
        person = await self._person(headers, principal, state.get("peer_certificate"))
        if person is not None:
            state["principal"] = self.people.limited(principal, person)
        if principal.for_people and state["principal"].known is None and not _free(scope["path"]):
            raise required("This key")

    async def _person(
        self, headers: Headers, principal: Principal, certificate: bytes | None
    ) -> EndUser | None:
        tokens, claims = headers.getlist(VOUCHED), headers.getlist(CLAIMED)
        if kept := self.kept(secret_of(headers)):
            tokens, claims = [kept], []
        if len(tokens) > 1 or len(claims) > 1:
            raise Unauthenticated("person_token_invalid", "Two headers name the person.")
        certified = None if certificate is None else await self.people.certified(certificate)
        if tokens and certified is not None:
            raise Unauthenticated("person_token_invalid", "A certificate names a person, too.")
        if certified is not None:
            return certified
        if tokens:
            return await self.people.verified(tokens[0].strip(), principal.key_id)
        if not claims:
            return None
        return self.people.claimed(claims[0].encode("latin-1").decode("utf-8", "replace"))


def _free(path: str) -> bool:
    """True of paths that tell an app about itself alone."""
    return path in (_MODELS, "/v1/usage") or path.startswith(f"{_MODELS}/")
