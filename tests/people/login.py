"""A login service of the tests: it signs anything."""

import base64
import itertools
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric import ec
from joserfc import jwk, jws

from appliance.config import Config, OidcConfig, PeopleConfig, PeopleGroupConfig
from appliance.people.code_flow import BroughtCode, CodeFlow
from appliance.types import EndUser

ISSUER, AUDIENCE = "https://login.example", "appliance"
NOW = 1_764_000_000
"""The second at which a `FixedClock` begins."""
_NUMBERS = itertools.count()
GROUPS = {
    "radiology": PeopleGroupConfig(("corp/Radiology",), ("triage", "org/echo:1")),
    "board": PeopleGroupConfig(("corp/Board",), ("*",)),
}


def b64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


@dataclass
class Login:
    file: Path
    key: jwk.ECKey = field(default_factory=lambda: jwk.ECKey.generate_key("P-256"))
    kid: str = "k1"
    more: list[dict[str, Any]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.publish()

    def publish(self, *, own: bool = True) -> None:
        public = {**self.key.as_dict(private=False), "kid": self.kid, "use": "sig", "alg": "ES256"}
        keys = [*([public] if own else []), *self.more]
        self.file.write_text(json.dumps({"keys": keys}))

    def config(self, **changes: Any) -> OidcConfig:
        return OidcConfig(**{
            "issuer": ISSUER, "audience": AUDIENCE, "keys": str(self.file), **changes,
        })  # fmt: skip

    def site(self, people: PeopleConfig | None = None, **changes: Any) -> Config:
        login = {"corp": self.config(**changes)}
        return Config(people=people or PeopleConfig(), oidc=login, groups=GROUPS)

    def token(self, header: Mapping[str, Any] | None = None, life: int = 300, **claims: Any) -> str:
        """A token of the person `ann`, no two alike; a claim that is None is left out."""
        head = {"alg": "ES256", "kid": self.kid, "typ": "JWT", **(header or {})}
        said = {
            "iss": ISSUER, "aud": AUDIENCE, "sub": "ann", "iat": NOW, "exp": NOW + life,
            "name": "Ann Example", "groups": ["Radiology", "Unknown here"],
            "jti": f"n{next(_NUMBERS)}", **claims,
        }  # fmt: skip
        said = {name: value for name, value in said.items() if value is not None}
        return self.sign(json.dumps(head).encode(), json.dumps(said).encode())

    def sign(self, head: bytes, body: bytes) -> str:
        signing = f"{b64(head)}.{b64(body)}"
        made = jws.JWSRegistry.algorithms["ES256"].sign(signing.encode(), self.key)
        return f"{signing}.{b64(made)}"


def other_key() -> jwk.ECKey:
    native = ec.generate_private_key(ec.SECP256R1())
    return jwk.ECKey.import_key(native)


class Vouching(CodeFlow):
    """Takes the code of a sign-in for the person's token."""

    async def sign_in(self, brought: BroughtCode, key_id: str) -> tuple[EndUser, str]:
        return await self._people.verified(brought.code, key_id), brought.code
