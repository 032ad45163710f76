"""Verification of one token of a login service (JWT), offline. Pure: bytes in, a person out.

Rules:
- Issuer, audience, algorithms and keys are pinned: a header that names or brings a key (`jku`,
  `x5u`, `jwk`, `x5c`), or has `crit`, is refused.
- Header and claims are strict JSON of bounded size, read before any key is touched.
- A symmetric key never verifies, nor does another token of the service: a logout, an event.
- A token that is bound to a key (`cnf`) is refused.

Sources: RFC 7515, 7519, 7800; RFC 8725, sections 3.1 to 3.12.
"""

import base64
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Final, TypeAlias

import msgspec
from joserfc import jwk, jws
from joserfc.errors import JoseError

from appliance.errors import Unauthenticated, Unavailable
from appliance.people.names import LONGEST
from appliance.trust.bytes import strict_json
from appliance.types import TOKEN_ALGORITHMS, JsonValue

PublicKey: TypeAlias = jwk.RSAKey | jwk.ECKey | jwk.OKPKey
LONGEST_TOKEN: Final = 16 << 10
LEEWAY_US: Final = 30_000_000
"""The most that the login service's clock may be ahead."""
_HEADER: Final = frozenset({"alg", "kid", "typ", "x5t", "x5t#S256"})
_TYPES: Final = frozenset({"jwt", "at+jwt", "application/at+jwt"})
_COMPACT: Final = re.compile(r"[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+", re.ASCII)
_DEPTH: Final = 6
_RSA_BITS: Final = 2048


@dataclass(frozen=True)
class TokenRules:
    """Pins of a login service.

    Attributes:
        algorithms: of `TOKEN_ALGORITHMS`.
        subject, groups: names of the claims that hold them.
        longest_us: the longest life of a token.
    """

    issuer: str
    audience: str
    algorithms: frozenset[str]
    subject: str
    groups: str
    longest_us: int


@dataclass(frozen=True)
class UnverifiedToken:
    """An unverified token.

    Attributes:
        kid: the key that it names; "" for none.
    """

    text: str
    algorithm: str
    kid: str
    issuer: str
    claims: Mapping[str, JsonValue]


@dataclass(frozen=True)
class VerifiedToken:
    """A person as a login service vouches for them.

    Attributes:
        groups: as the service spells them.
        until_us: the end of the token.
    """

    subject: str
    name: str
    groups: frozenset[str]
    until_us: int


class _TokenHeader(msgspec.Struct, frozen=True):
    alg: str
    kid: Annotated[str, msgspec.Meta(max_length=256)] = ""
    typ: str = "JWT"


class _PinnedClaims(msgspec.Struct, frozen=True):
    exp: int
    iat: int
    iss: str
    aud: str | list[str]
    nbf: int = 0


def read(text: str) -> UnverifiedToken:
    """Take a token apart."""
    if len(text) > LONGEST_TOKEN:
        raise _invalid(f"it is longer than {LONGEST_TOKEN} bytes")
    if not _COMPACT.fullmatch(text):
        raise _invalid("it has not three parts of base64url")
    head, body, _ = map(_part, text.split("."))
    header, claims = (strict_json.parse(one, _invalid, depth=_DEPTH) for one in (head, body))
    if not isinstance(header, dict) or not isinstance(claims, dict):
        raise _invalid("header and claims are no objects")
    for name in header:
        if name not in _HEADER:
            raise _invalid(f"its header has {name[:20]!r}, which is not taken")
    try:
        found = msgspec.convert(header, _TokenHeader)
    except msgspec.ValidationError as error:
        raise _invalid(f"its header is wrong: {error}") from error
    if found.typ.lower() not in _TYPES:
        raise _invalid("it is of another type")
    issuer = claims.get("iss")
    said = issuer if isinstance(issuer, str) else ""
    return UnverifiedToken(text, found.alg, found.kid, said, claims)


def verify(token: UnverifiedToken, key: PublicKey, rules: TokenRules, now_us: int) -> VerifiedToken:
    """Verify a token under a key of its login service.

    Raises:
        Unauthenticated: `person_token_invalid`, `person_token_foreign`, `person_token_expired`,
            `person_token_early`, `person_token_lifetime`, `person_token_bound`.
    """
    check_algorithm(token, rules)
    if TOKEN_ALGORITHMS[token.algorithm] != curve_of(key):
        raise _invalid("its algorithm is not that of the key")
    try:
        jws.deserialize_compact(token.text, key, algorithms=[token.algorithm])
    except (JoseError, ValueError, TypeError) as error:
        raise _invalid("its signature does not hold") from error
    return _person(token, rules, now_us)


def check_algorithm(token: UnverifiedToken, rules: TokenRules) -> None:
    """Refuse an algorithm that is not pinned, before a key is looked for."""
    if token.algorithm not in rules.algorithms:
        raise _invalid(f"its algorithm {token.algorithm[:20]!r} is not pinned")


def key_set(data: bytes, limit: int) -> dict[str, PublicKey]:
    """The public keys of a JWKS that can verify, by their ids; others are left out.

    `person_token_no_keys` where it is no key set.
    """
    table = strict_json.parse(data, _no_keys, limit=limit, depth=_DEPTH)
    listed = table.get("keys") if isinstance(table, dict) else None
    if not isinstance(listed, list):
        raise _no_keys("it has no keys")
    found: dict[str, PublicKey] = {}
    for one in listed:
        if not isinstance(one, dict) or one.get("use", "sig") != "sig":
            continue
        operations = one.get("key_ops", ["verify"])
        if not isinstance(operations, list) or "verify" not in operations:
            continue
        kid = one.get("kid", "")
        key = _public(one)
        if key is None or not isinstance(kid, str):
            continue
        if kid in found:
            raise _no_keys("it names two keys alike")
        found[kid] = key
    return found


def curve_of(key: PublicKey) -> str:
    """The curve of a key; RSA for one that has none."""
    return "RSA" if isinstance(key, jwk.RSAKey) else str(key.curve_name)


def _public(table: Mapping[str, JsonValue]) -> PublicKey | None:
    """One key; None for one that is symmetric, private, weak, or of another kind."""
    if table.get("kty") not in ("RSA", "EC", "OKP") or "d" in table:
        return None
    try:
        key = jwk.import_key({k: str(v) for k, v in table.items() if k in _MEMBERS})
    except (JoseError, ValueError, TypeError, KeyError):
        return None
    if isinstance(key, jwk.OctKey):
        return None
    if isinstance(key, jwk.RSAKey) and key.public_key.key_size < _RSA_BITS:
        return None
    return key if curve_of(key) in TOKEN_ALGORITHMS.values() else None


_MEMBERS: Final = frozenset({"kty", "crv", "x", "y", "n", "e", "alg"})


def _person(token: UnverifiedToken, rules: TokenRules, now_us: int) -> VerifiedToken:
    claims = token.claims
    try:
        said = msgspec.convert(claims, _PinnedClaims)
    except msgspec.ValidationError as error:
        raise _invalid(f"a claim is missing or wrong: {error}") from error
    if "events" in claims:
        raise _invalid("it is of another type")
    audiences = said.aud if isinstance(said.aud, list) else [said.aud]
    if said.iss != rules.issuer or rules.audience not in audiences:
        raise Unauthenticated("person_token_foreign", "The token is of or for somebody else.")
    exp, iat, nbf = (second * 1_000_000 for second in (said.exp, said.iat, said.nbf))
    if now_us >= exp:
        raise Unauthenticated("person_token_expired", "The token of the person has expired.")
    if now_us + LEEWAY_US < max(iat, nbf):
        raise Unauthenticated("person_token_early", "The token of the person is not valid yet.")
    if exp - iat > rules.longest_us:
        message = f"The token lives {(exp - iat) // 60_000_000} minutes."
        raise Unauthenticated("person_token_lifetime", message)
    if "cnf" in claims:
        raise Unauthenticated("person_token_bound", "The token is bound to a key of its holder.")
    name = claims.get("name")
    return VerifiedToken(
        _subject(claims.get(rules.subject)),
        name if isinstance(name, str) else "",
        _groups(claims.get(rules.groups, [])),
        exp,
    )


def _subject(value: JsonValue) -> str:
    # A name that cannot be shown as it is could pass for another one in the log.
    if not isinstance(value, str) or not 1 <= len(value) <= LONGEST or not value.isprintable():
        raise _invalid("it names no subject that can be shown")
    if value != value.strip():
        raise _invalid("its subject has a blank at its ends")
    return value


def _groups(value: JsonValue) -> frozenset[str]:
    listed = [value] if isinstance(value, str) else value
    if not isinstance(listed, list):
        raise _invalid("its groups are no list")
    found = frozenset(one for one in listed if isinstance(one, str))
    if len(found) != len(listed):
        raise _invalid("one of its groups is no text, or there twice")
    return found


def _part(text: str) -> bytes:
    try:
        raw = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
    except ValueError as error:
        raise _invalid("a part is not base64url") from error
    if base64.urlsafe_b64encode(raw).rstrip(b"=").decode() != text:
        raise _invalid("a part is not in its one spelling")
    return raw


def _invalid(problem: str) -> Unauthenticated:
    return Unauthenticated("person_token_invalid", f"The token of the person: {problem}.")


def _no_keys(problem: str) -> Unavailable:
    return Unavailable("people_unavailable", f"The key set of the login service: {problem}.")
