"""DSSE envelopes: only what was signed is read."""

import json
from typing import Any

import pytest

from appliance.errors import PolicyRefused
from appliance.trust.bytes import dsse, ecdsa
from tests.trust.forge import as_json, b64, der_signature, new_key, pae

KIND = "application/x-test"


def refuse(problem: str) -> PolicyRefused:
    return PolicyRefused("policy_invalid", problem)


def check(data: bytes, *keys: ecdsa.PrivateKey) -> tuple[bytes, tuple[str, ...]]:
    envelope = dsse.parse(data, KIND, refuse)
    known = {ecdsa.hint(key.public_key()): key.public_key() for key in keys}
    return envelope.payload, dsse.signers(envelope, known, refuse)


def test_the_encoding_is_that_of_the_specification() -> None:
    assert dsse.pae("http://example.com/HelloWorld", b"hello world") == (
        b"DSSEv1 29 http://example.com/HelloWorld 11 hello world"
    )


def test_one_and_two_signers() -> None:
    one, two = new_key(), new_key()
    hints = tuple(ecdsa.hint(key.public_key()) for key in (one, two))
    assert check(dsse.sign(b"x", KIND, [one]), one, two) == (b"x", hints[:1])
    assert check(dsse.sign(b"x", KIND, [one, two]), one, two) == (b"x", hints)


KEY = new_key()


def envelope(**changes: Any) -> dict[str, Any]:
    document: dict[str, Any] = json.loads(dsse.sign(b"payload", KIND, [KEY]))
    document.update(changes)
    return document


def signature(data: bytes, **more: Any) -> list[dict[str, Any]]:
    return [{"keyid": ecdsa.hint(KEY.public_key()), "sig": b64(data), **more}]


GOOD = der_signature(KEY, pae(KIND, b"payload"))
BAD: dict[str, dict[str, Any]] = {
    "another type": envelope(payloadType="application/x-other"),
    "another payload": envelope(payload=b64(b"other")),
    "bad base64": envelope(payload="a*b="),
    "base64 with spare bits": envelope(payload="cGF5bG9hZB=="),
    "base64 with a newline": envelope(payload=b64(b"payload") + "\n"),
    "no signature": envelope(signatures=[]),
    "the same key twice": envelope(signatures=signature(GOOD) * 2),
    "a garbage signature beside": envelope(signatures=[*signature(GOOD), *signature(b"AAAA")]),
    "another key's signature": envelope(
        signatures=signature(der_signature(new_key(), pae(KIND, b"payload")))
    ),
    "an unknown key id": envelope(signatures=signature(GOOD, keyid="ab" * 32)),
    "a key id that is a number": envelope(signatures=signature(GOOD, keyid=1)),
    "signature not DER": envelope(signatures=signature(bytes(64))),
    "signature a string": envelope(signatures=["AAAA"]),
    "legacy encoding": envelope(
        signatures=signature(der_signature(KEY, pae(KIND, b"payload").replace(b"v1", b"V1")))
    ),
    "signed without its type": envelope(signatures=signature(der_signature(KEY, b"payload"))),
}


def test_the_number_of_signatures_is_bounded() -> None:
    keys = [new_key() for _ in range(dsse.MAX_SIGNATURES + 1)]
    assert len(check(dsse.sign(b"x", KIND, keys[1:]), *keys)[1]) == dsse.MAX_SIGNATURES
    with pytest.raises(PolicyRefused):
        check(dsse.sign(b"x", KIND, keys), *keys)


@pytest.mark.parametrize("document", BAD.values(), ids=BAD)
def test_refused(document: dict[str, Any]) -> None:
    assert check(as_json(envelope(signatures=signature(GOOD))), KEY)[0] == b"payload"
    with pytest.raises(PolicyRefused):
        check(as_json(document), KEY)
