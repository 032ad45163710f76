"""Attacks on tokens of people, and the code of each refusal."""

import base64
import hmac
import json
from collections.abc import Callable, Mapping
from typing import Any, Final

from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from tests.people.login import AUDIENCE, ISSUER, NOW, Login, b64, other_key

Attack = Callable[[Login], str]
INVALID, FOREIGN = "person_token_invalid", "person_token_foreign"


def _said(**claims: Any) -> dict[str, Any]:
    return {
        "iss": ISSUER, "aud": AUDIENCE, "sub": "ann", "iat": NOW, "exp": NOW + 300,
        "groups": ["Board"], **claims,
    }  # fmt: skip


def _raw(head: str, body: str | None = None) -> Attack:
    text = json.dumps(_said()) if body is None else body
    return lambda login: login.sign(head.encode(), text.encode())


def _unsigned(algorithm: str, signature: str = "") -> Attack:
    def made(login: Login) -> str:
        head = json.dumps({"alg": algorithm, "kid": login.kid})
        return f"{b64(head.encode())}.{b64(json.dumps(_said()).encode())}.{signature}"

    return made


def _confused(form: PublicFormat, algorithm: str = "HS256") -> Attack:
    """The public key as the secret of a symmetric signature."""

    def made(login: Login) -> str:
        public = login.key.public_key.public_bytes(Encoding.PEM, form)
        head = json.dumps({"alg": algorithm, "kid": login.kid})
        signing = f"{b64(head.encode())}.{b64(json.dumps(_said()).encode())}"
        digest = "sha" + algorithm[2:]
        return f"{signing}.{b64(hmac.digest(public, signing.encode(), digest))}"

    return made


def _strangers(**header: Any) -> Attack:
    """Signed by a key of the attacker, which the header brings or names."""

    def made(login: Login) -> str:
        mine = Login(login.file.with_name("attacker.json"), other_key())
        brought = {
            name: mine.key.as_dict(private=False) if value == "KEY" else value
            for name, value in header.items()
        }
        return mine.token(brought)

    return made


def _changed(change: Callable[[str], str]) -> Attack:
    return lambda login: change(login.token())


def _with_claim(token: str) -> str:
    head, body, signature = token.split(".")
    claims = json.loads(base64.urlsafe_b64decode(body + "=" * (-len(body) % 4)))
    return f"{head}.{b64(json.dumps({**claims, 'sub': 'root'}).encode())}.{signature}"


def _claims(life: int = 300, **claims: Any) -> Attack:
    return lambda login: login.token(None, life, **claims)


def _header(**header: Any) -> Attack:
    return lambda login: login.token(header)


def _nested(**header: Any) -> Attack:
    """A good token as the claims of another one."""
    head = json.dumps({"alg": "ES256", "kid": "k1", **header}).encode()
    return lambda login: login.sign(head, login.token().encode())


def _twice(name: str) -> Attack:
    """A claim that is there twice, the second time under this spelling."""
    return _raw('{"alg":"ES256","kid":"k1"}', json.dumps(_said())[:-1] + f', {name}: "root"}}')


ATTACKS: Final[Mapping[str, tuple[Attack, str]]] = {
    # Times.
    "expired": (_claims(exp=NOW), "person_token_expired"),
    "expired long ago": (_claims(iat=1, exp=2), "person_token_expired"),
    "not yet valid": (_claims(nbf=NOW + 60), "person_token_early"),
    "issued in the future": (_claims(iat=NOW + 60, exp=NOW + 90), "person_token_early"),
    "lives for a day": (_claims(86_400), "person_token_lifetime"),
    "lives for a second too long": (_claims(601), "person_token_lifetime"),
    "never ends": (_claims(exp=None), INVALID),
    "never began": (_claims(iat=None), INVALID),
    "ends as a text": (_claims(exp=str(NOW + 300)), INVALID),
    "ends at true": (_claims(exp=True), INVALID),
    "ends at infinity": (
        _raw('{"alg":"ES256","kid":"k1"}', json.dumps(_said(exp=0)).replace(": 0", ": 1e999")),
        INVALID,
    ),
    "ends at no number": (_claims(exp=float("nan")), INVALID),
    "ends half a second later": (_claims(exp=NOW + 0.5), INVALID),
    "ends in 30,000 years": (_claims(exp=10**12), "person_token_lifetime"),
    "ends beyond 64 bits": (_claims(exp=10**19 - 1), "person_token_lifetime"),
    "ends in 30 digits": (_claims(exp=10**30), INVALID),
    "began before all time": (_claims(iat=-(10**17)), "person_token_lifetime"),
    # For or of somebody else.
    "another audience": (_claims(aud="payroll"), FOREIGN),
    "audiences without ours": (_claims(aud=["payroll", "appliance "]), FOREIGN),
    "no audience": (_claims(aud=None), INVALID),
    "an empty list of audiences": (_claims(aud=[]), FOREIGN),
    "ours among what is no text": (_claims(aud=[AUDIENCE, 7]), INVALID),
    "audiences in a list in a list": (_claims(aud=[[AUDIENCE]]), INVALID),
    "audience in capitals": (_claims(aud=AUDIENCE.upper()), FOREIGN),
    "audience as an object": (_claims(aud={"appliance": True}), INVALID),
    "another issuer": (_claims(iss="https://evil.example"), FOREIGN),
    "issuer with a slash more": (_claims(iss=ISSUER + "/"), FOREIGN),
    "issuer that looks alike": (_claims(iss=ISSUER.replace("o", "\u043e")), FOREIGN),
    "no issuer": (_claims(iss=None), FOREIGN),
    "issuer as a list": (_claims(iss=[ISSUER]), FOREIGN),
    # Algorithms and keys.
    "alg none": (_unsigned("none"), INVALID),
    "alg None": (_unsigned("None", "AA"), INVALID),
    "alg nOnE": (_unsigned("nOnE", "AA"), INVALID),
    "alg none with a signature": (_unsigned("none", "AA"), INVALID),
    "alg empty": (_unsigned("", "AA"), INVALID),
    "alg in small letters": (_header(alg="es256"), INVALID),
    "alg with a blank": (_header(alg="ES256 "), INVALID),
    "alg missing": (_raw('{"kid":"k1"}'), INVALID),
    "alg a list": (_raw('{"alg":["ES256"],"kid":"k1"}'), INVALID),
    "HS256 with the public key": (_confused(PublicFormat.SubjectPublicKeyInfo), INVALID),
    "HS512 with the public key": (_confused(PublicFormat.SubjectPublicKeyInfo, "HS512"), INVALID),
    "RS256 with a key of a curve": (_unsigned("RS256", b64(bytes(256))), INVALID),
    "an algorithm that is not pinned": (_unsigned("ES384", b64(bytes(96))), INVALID),
    "signature of zeros": (_unsigned("ES256", b64(bytes(64))), INVALID),
    "signature as DER": (_unsigned("ES256", b64(bytes([48, 6, 2, 1, 1, 2, 1, 1]))), INVALID),
    "signed by a stranger": (_strangers(), INVALID),
    "kid with a path": (_strangers(kid="../../../../dev/null"), INVALID),
    "kid as SQL": (_strangers(kid="' UNION SELECT 'key"), INVALID),
    "kid of 300 characters": (_strangers(kid="k" * 300), INVALID),
    "no kid": (_raw('{"alg":"ES256"}'), INVALID),
    "kid a number": (_raw('{"alg":"ES256","kid":1}'), INVALID),
    "jku": (_strangers(jku="https://evil.example/jwks"), INVALID),
    "x5u": (_strangers(x5u="https://evil.example/x.pem"), INVALID),
    "jwk": (_strangers(jwk="KEY"), INVALID),
    "x5c": (_strangers(x5c=["MIIB"]), INVALID),
    "crit": (_strangers(crit=["exp"]), INVALID),
    "jku of the service itself": (_header(jku=ISSUER + "/jwks"), INVALID),
    "nothing critical": (_header(crit=[]), INVALID),
    "compressed": (_header(zip="DEF"), INVALID),
    "a token in a token": (_nested(), INVALID),
    "a token in a token that says so": (_nested(cty="JWT"), INVALID),
    "a logout of the service": (
        _claims(events={"http://schemas.openid.net/event/backchannel-logout": {}}), INVALID,
    ),
    "bound to a key of its holder": (_claims(cnf={"jkt": "A" * 43}), "person_token_bound"),
    "bound to a certificate": (_claims(cnf={"x5t#S256": "A" * 43}), "person_token_bound"),
    "bound to nothing that is known": (_claims(cnf="no"), "person_token_bound"),
    "a security event": (_header(typ="secevent+jwt"), INVALID),
    "b64 false": (_raw('{"alg":"ES256","kid":"k1","b64":false,"crit":["b64"]}'), INVALID),
    "another type": (_raw('{"alg":"ES256","kid":"k1","typ":"logout+jwt"}'), INVALID),
    # Two readings of one token.
    "duplicate claim": (_twice('"sub"'), INVALID),
    "duplicate claim in another spelling": (_twice('"\\u0073ub"'), INVALID),
    "duplicate claim inside of a claim": (_twice('"more": {"a": 1, "a": 2}, "other"'), INVALID),
    "duplicate header": (_raw('{"alg":"none","alg":"ES256","kid":"k1"}'), INVALID),
    "another person in a signed token": (_changed(_with_claim), INVALID),
    "a byte of the signature": (_changed(lambda t: t[:-2] + ("A" if t[-2] != "A" else "B") + t[-1]),
                                INVALID),
    "padding": (_changed(lambda t: t + "=="), INVALID),
    "a fourth part": (_changed(lambda t: t + ".AAAA"), INVALID),
    "two parts": (_changed(lambda t: t.rpartition(".")[0]), INVALID),
    "encrypted": (_changed(lambda t: ".".join([*t.split("."), "AA", "AA"])), INVALID),
    "blanks inside": (_changed(lambda t: t.replace(".", ". ")), INVALID),
    # Shapes and sizes.
    "header no object": (_raw("[1]"), INVALID),
    "claims no object": (_raw('{"alg":"ES256","kid":"k1"}', "7"), INVALID),
    "claims no JSON": (_raw('{"alg":"ES256","kid":"k1"}', "{"), INVALID),
    "claims after a byte-order mark": (
        _raw('{"alg":"ES256","kid":"k1"}', "\ufeff" + json.dumps(_said())), INVALID,
    ),
    "claims not UTF-8": (lambda login: login.sign(b'{"alg":"ES256","kid":"k1"}', b"\xff"), INVALID),
    "claims nested deeply": (_claims(deep=json.loads("[" * 50 + "]" * 50)), INVALID),
    "16 KiB": (_claims(pad="x" * (16 << 10)), INVALID),
    "10,000 groups": (_claims(groups=[f"g{n}" for n in range(10_000)]), INVALID),
    "groups an object": (_claims(groups={"Board": True}), INVALID),
    "group no text": (_claims(groups=["Board", 7]), INVALID),
    "group twice": (_claims(groups=["Board", "Board"]), INVALID),
    # Names.
    "no subject": (_claims(sub=None), INVALID),
    "subject empty": (_claims(sub=""), INVALID),
    "subject a number": (_claims(sub=7), INVALID),
    "subject a list": (_claims(sub=["ann"]), INVALID),
    "subject an object": (_claims(sub={"ann": True}), INVALID),
    "subject true": (_claims(sub=True), INVALID),
    "subject with a sign of no width": (_claims(sub="ann\u200b"), INVALID),
    "subject with a zero": (_claims(sub="ann\0"), INVALID),
    "subject that turns the line": (_claims(sub="ann\u202etoor"), INVALID),
    "subject with a new line": (_claims(sub="ann\nroot"), INVALID),
    "subject that ends in a blank": (_claims(sub="ann "), INVALID),
    "subject of 257 characters": (_claims(sub="a" * 257), INVALID),
    "empty": (lambda login: "", INVALID),
}  # fmt: skip
