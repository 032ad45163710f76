"""Tokens: only the login service's own, for this appliance, now."""

import json
from pathlib import Path
from typing import Any

import pytest
from joserfc import jwk

from appliance.errors import Unauthenticated, Unavailable
from appliance.people import tokens
from appliance.people.tokens import LONGEST_TOKEN, TokenRules, VerifiedToken
from tests.people.attacks import ATTACKS
from tests.people.login import AUDIENCE, ISSUER, NOW, Login

RULES = TokenRules(ISSUER, AUDIENCE, frozenset({"ES256", "RS256"}), "sub", "groups", 600_000_000)
US = 1_000_000


@pytest.fixture(scope="module")
def login(tmp_path_factory: pytest.TempPathFactory) -> Login:
    return Login(tmp_path_factory.mktemp("login") / "keys.json")


def verified(login: Login, token: str, now: int = NOW, rules: TokenRules = RULES) -> VerifiedToken:
    found = tokens.read(token)
    if found.issuer != rules.issuer:
        raise Unauthenticated("person_token_foreign", "of nobody")
    tokens.check_algorithm(found, rules)
    keys = tokens.key_set(login.file.read_bytes(), 1 << 20)
    if found.kid not in keys:
        raise Unauthenticated("person_token_invalid", "no such key")
    return tokens.verify(found, keys[found.kid], rules, now * US)


def outcome(login: Login, token: str) -> str:
    try:
        return verified(login, token).subject
    except Unauthenticated as refused:
        return refused.code


def test_attacks_are_refused_with_their_code(login: Login) -> None:
    found = {name: outcome(login, attack(login)) for name, (attack, _) in ATTACKS.items()}
    assert found == {name: code for name, (_, code) in ATTACKS.items()}


def test_there_are_forty_attacks_and_the_control_passes(login: Login) -> None:
    assert len(ATTACKS) >= 40
    found = verified(login, login.token())
    assert found == VerifiedToken(
        "ann", "Ann Example", frozenset({"Radiology", "Unknown here"}), (NOW + 300) * US
    )


def test_the_bounds_themselves_hold(login: Login) -> None:
    assert verified(login, login.token(None, 600)).until_us == (NOW + 600) * US
    verified(login, login.token(), NOW + 299)
    verified(login, login.token(nbf=NOW + 30))  # clocks differ a little
    verified(login, login.token(aud=["payroll", AUDIENCE]))
    verified(login, login.token({"typ": "at+JWT"}))
    assert verified(login, login.token(groups=None)).groups == frozenset()
    assert verified(login, login.token(groups="Radiology")).groups == {"Radiology"}
    with pytest.raises(Unauthenticated, match="longer than"):
        tokens.read("a" * (LONGEST_TOKEN + 1))


@pytest.mark.parametrize(
    ("algorithm", "kind", "size"),
    [
        ("ES256", "EC", "P-256"), ("ES384", "EC", "P-384"), ("ES512", "EC", "P-521"),
        ("RS256", "RSA", 2048), ("PS256", "RSA", 2048), ("Ed25519", "OKP", "Ed25519"),
    ],
)  # fmt: skip
def test_each_algorithm_verifies_under_its_own_key_alone(
    tmp_path: Path, algorithm: str, kind: Any, size: Any
) -> None:
    from joserfc import jws

    key = jwk.generate_key(kind, size, {"kid": "k1"})
    rules = TokenRules(ISSUER, AUDIENCE, frozenset({algorithm}), "sub", "groups", 600_000_000)
    claims = {"iss": ISSUER, "aud": AUDIENCE, "sub": "ann", "iat": NOW, "exp": NOW + 60}
    token = jws.serialize_compact(
        {"alg": algorithm, "kid": "k1"}, json.dumps(claims), key, algorithms=[algorithm]
    )
    keys = tokens.key_set(json.dumps({"keys": [key.as_dict(private=False)]}).encode(), 1 << 20)
    found = tokens.verify(tokens.read(token), keys["k1"], rules, NOW * US)
    assert found.subject == "ann"
    other: Any = jwk.generate_key("EC", "P-256" if algorithm != "ES256" else "P-384")
    with pytest.raises(Unauthenticated, match="not that of the key"):
        tokens.verify(tokens.read(token), other, rules, NOW * US)


def test_keys_that_cannot_vouch_are_left_out(login: Login) -> None:
    public = login.key.as_dict(private=False)
    weak = {"kty": "RSA", "n": "1" * 170, "e": "AQAB"}
    signs = {**public, "kid": "k1", "alg": "ES384"}  # for another algorithm
    table: list[object] = [signs]
    keys = tokens.key_set(json.dumps({"keys": table}).encode(), 1 << 20)
    with pytest.raises(Unauthenticated, match="signature"):
        tokens.verify(tokens.read(login.token()), keys["k1"], RULES, NOW * US)
    table = [
        {**public, "kid": "good"}, {**login.key.as_dict(private=True), "kid": "private"},
        {**public, "kid": "encrypts", "use": "enc"}, {**public, "kid": "seven", "key_ops": 7},
        {**public, "kid": "wraps", "key_ops": ["wrapKey"]},
        {"kty": "oct", "k": "AAAA", "kid": "secret"},
        {**weak, "kid": "weak"}, {**public, "kid": "curve", "crv": "secp256k1"}, 7,
        {**public, "kid": ["list"]}, {"kid": "empty"}, {**public, "kid": "off", "x": "AAAA"},
    ]  # fmt: skip
    assert set(tokens.key_set(json.dumps({"keys": table}).encode(), 1 << 20)) == {"good"}


def test_two_keys_of_one_name_are_no_key_set(login: Login) -> None:
    public = {**login.key.as_dict(private=False), "kid": "k1"}
    with pytest.raises(Unavailable, match="alike"):
        tokens.key_set(json.dumps({"keys": [public, public]}).encode(), 1 << 20)
