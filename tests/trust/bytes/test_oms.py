"""OMS v1.0: every hostile bundle has its code, every good one is read."""

import copy
from collections.abc import Callable
from typing import Any

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from hypothesis import given, settings
from hypothesis import strategies as st

from appliance.errors import SignatureRefused
from appliance.trust.bytes import ecdsa, manifest, oms
from tests.trust.forge import (
    IN_TOTO,
    as_json,
    b64,
    bundle,
    der_signature,
    new_key,
    pae,
    sha256,
    statement,
)

KEY = new_key(ec.SECP384R1())
OTHER = new_key(ec.SECP384R1())
KEYS = {ecdsa.hint(KEY.public_key()): KEY.public_key()}
FILES = {"a.txt": sha256(b"1"), "a/b": sha256(b"2"), "model.gguf": sha256(b"3")}
PAYLOAD = as_json(statement(FILES))

Change = Callable[[dict[str, Any]], object]


def verify(data: bytes) -> manifest.Manifest:
    return oms.verify(oms.parse_bundle(data), KEYS)


def code_of(data: bytes) -> str:
    with pytest.raises(SignatureRefused) as caught:
        verify(data)
    return caught.value.code


def assign(path: str, value: object) -> Change:
    """Sets a member deep inside a document; numbers index lists."""

    def change(document: dict[str, Any]) -> None:
        node: Any = document
        *parents, last = (int(part) if part.isdigit() else part for part in path.split("/"))
        for part in parents:
            node = node[part]
        if value is REMOVE:
            del node[last]
        else:
            node[last] = value

    return change


REMOVE = object()
SIG = "dsseEnvelope/signatures/0/sig"

BUNDLES: dict[str, tuple[Change, str]] = {
    "media type": (assign("mediaType", "application/x-evil"), "signature_malformed"),
    "no media type": (assign("mediaType", REMOVE), "signature_malformed"),
    "payload type": (assign("dsseEnvelope/payloadType", "text/plain"), "signature_malformed"),
    "payload not base64": (assign("dsseEnvelope/payload", "!!"), "signature_malformed"),
    "signature not base64": (assign(SIG, "!!"), "signature_malformed"),
    "signature not DER": (assign(SIG, b64(bytes(96))), "signature_malformed"),
    "no signatures": (assign("dsseEnvelope/signatures", []), "signature_malformed"),
    "a garbage signature after": (
        lambda b: b["dsseEnvelope"]["signatures"].append({"sig": "AAAA"}),
        "signature_malformed",
    ),
    "a garbage signature before": (
        lambda b: b["dsseEnvelope"]["signatures"].insert(0, {"sig": "AAAA"}),
        "signature_malformed",
    ),
    "the good signature twice": (
        lambda b: b["dsseEnvelope"]["signatures"].append(b["dsseEnvelope"]["signatures"][0]),
        "signature_malformed",
    ),
    "no envelope": (assign("dsseEnvelope", REMOVE), "signature_malformed"),
    "no key": (assign("verificationMaterial/publicKey", REMOVE), "signature_malformed"),
    "hint in upper case": (
        assign("verificationMaterial/publicKey/hint", "AB" * 32),
        "signature_malformed",
    ),
    "hint of another key": (
        assign("verificationMaterial/publicKey/hint", ecdsa.hint(OTHER.public_key())),
        "signature_key_unknown",
    ),
    "key material beside the hint": (
        assign("verificationMaterial/publicKey/rawBytes", "AAAA"),
        "signature_method_unsupported",
    ),
    "key material instead of a hint": (
        assign("verificationMaterial/publicKey", {"rawBytes": "AAAA"}),
        "signature_method_unsupported",
    ),
    "a certificate": (
        assign("verificationMaterial/certificate", {"rawBytes": "AAAA"}),
        "signature_method_unsupported",
    ),
    "a key and a certificate chain": (
        assign("verificationMaterial/x509CertificateChain", {"certificates": []}),
        "signature_malformed",
    ),
    "another key's signature": (
        assign(SIG, b64(der_signature(OTHER, pae(IN_TOTO, PAYLOAD)))),
        "signature_wrong",
    ),
    "the hash of another curve": (
        assign(SIG, b64(KEY.sign(pae(IN_TOTO, PAYLOAD), ec.ECDSA(hashes.SHA256())))),
        "signature_wrong",
    ),
    "legacy encoding": (
        assign(SIG, b64(der_signature(KEY, pae(IN_TOTO, PAYLOAD).replace(b"v1", b"V1")))),
        "signature_wrong",
    ),
    "signed without its type": (assign(SIG, b64(der_signature(KEY, PAYLOAD))), "signature_wrong"),
    "another payload": (
        assign("dsseEnvelope/payload", b64(as_json(statement({"x": sha256(b"")})))),
        "signature_wrong",
    ),
}


@pytest.mark.parametrize(("change", "code"), BUNDLES.values(), ids=BUNDLES)
def test_hostile_bundle(change: Change, code: str) -> None:
    document = bundle(PAYLOAD, KEY)
    assert verify(as_json(document)).files == FILES
    change(document)
    assert code_of(as_json(document)) == code


GOOD_JSON = as_json(bundle(PAYLOAD, KEY))
TEXTS = {
    "not JSON": b"model.sig",
    "empty": b"",
    "a list": b"[]",
    "duplicate key": GOOD_JSON[:-1] + b',"mediaType":"' + oms.MEDIA_TYPE.encode() + b'"}',
    "NaN": GOOD_JSON[:-1] + b',"x":NaN}',
    "overflowing number": GOOD_JSON[:-1] + b',"x":1e999}',
    "depth bomb": b"[" * 50_000,
    "deep but closed": GOOD_JSON[:-1] + b',"x":' + b"[" * 20 + b"]" * 20 + b"}",
    "too large": GOOD_JSON + b" " * oms.MAX_BUNDLE,
}


@pytest.mark.parametrize("data", TEXTS.values(), ids=TEXTS)
def test_bundle_that_is_not_strict_json(data: bytes) -> None:
    expected = "signature_malformed" if data == b"[]" else "signature_json_invalid"
    assert code_of(data) == expected


SER = "predicate/serialization/"
RES = "predicate/resources"


def listed(*pairs: tuple[str, str]) -> Change:
    def change(document: dict[str, Any]) -> None:
        document["predicate"]["resources"] = [
            {"name": name, "algorithm": "sha256", "digest": digest} for name, digest in pairs
        ]
        root = manifest.root_digest(digest for _, digest in pairs)
        document["subject"][0]["digest"]["sha256"] = root

    return change


def renamed(name: str) -> Change:
    return listed((name, sha256(b"1")))


NAMES = {
    "parent": "../secret",
    "absolute": "/etc/passwd",
    "backslash": "a\\b",
    "drive": "C:x",
    "NUL": "a\0b",
    "double slash": "a//b",
    "here": "./a",
    "not NFC": "a\u0308",
    "the signature": "model.sig",
}

ONE, TWO = sha256(b"1"), sha256(b"2")
MANIFESTS: dict[str, tuple[Change, str]] = {
    "statement type": (assign("_type", "https://in-toto.io/Statement/v0.1"), "manifest_malformed"),
    "v0.2 predicate": (
        assign("predicateType", "https://model_signing/Digests/v0.1"),
        "manifest_malformed",
    ),
    "two subjects": (lambda s: s["subject"].append(s["subject"][0]), "manifest_malformed"),
    "no subject": (assign("subject", []), "manifest_malformed"),
    "no root digest": (assign("subject/0/digest", {"sha512": "00"}), "manifest_malformed"),
    "wrong root digest": (assign("subject/0/digest/sha256", "ab" * 32), "manifest_root_mismatch"),
    "no files": (listed(), "manifest_malformed"),
    "too many files": (
        listed(*((f"{n:06}", ONE) for n in range(manifest.MAX_FILES + 1))),
        "manifest_malformed",
    ),
    "a name twice": (listed(("a", ONE), ("a", ONE)), "manifest_name_refused"),
    "a name twice, first one bogus": (listed(("a", TWO), ("a", ONE)), "manifest_name_refused"),
    "names that differ in case": (listed(("A", ONE), ("a", ONE)), "manifest_name_refused"),
    "names in no order": (listed(("b", ONE), ("a", ONE)), "manifest_malformed"),
    "digest in upper case": (assign(RES + "/0/digest", ONE.upper()), "manifest_malformed"),
    "digest too short": (assign(RES + "/0/digest", ONE[:-2]), "manifest_malformed"),
    "digest not hex": (assign(RES + "/0/digest", "g" * 64), "manifest_malformed"),
    "algorithm sha1": (assign(RES + "/0/algorithm", "sha1"), "signature_method_unsupported"),
    "mixed algorithms": (assign(RES + "/1/algorithm", "blake2b"), "signature_method_unsupported"),
    "hash type": (assign(SER + "hash_type", "blake3"), "signature_method_unsupported"),
    "shards without a size": (assign(SER + "method", "shards"), "manifest_malformed"),
    "an unknown method": (assign(SER + "method", "blocks"), "signature_method_unsupported"),
    "no method": (assign(SER + "method", REMOVE), "manifest_malformed"),
    "symlinks allowed": (assign(SER + "allow_symlinks", True), "manifest_ignore_refused"),
    "everything ignored": (assign(SER + "ignore_paths", ["."]), "manifest_ignore_refused"),
    "a pattern ignored": (assign(SER + "ignore_paths", ["*.bin"]), "manifest_ignore_refused"),
    "a file ignored": (assign(SER + "ignore_paths", ["a.txt"]), "manifest_ignore_refused"),
    "ignored not a list": (assign(SER + "ignore_paths", "."), "manifest_malformed"),
    "resource a string": (assign(RES, ["a"]), "manifest_malformed"),
    **{f"name: {what}": (renamed(name), "manifest_name_refused") for what, name in NAMES.items()},
}


@pytest.mark.parametrize(("change", "code"), MANIFESTS.values(), ids=MANIFESTS)
def test_hostile_manifest_with_a_valid_signature(change: Change, code: str) -> None:
    document = statement(FILES)
    change(document)
    assert code_of(as_json(bundle(as_json(document), KEY))) == code


def test_duplicate_key_in_a_signed_payload() -> None:
    payload = PAYLOAD[:-1] + b',"predicateType":"https://model_signing/signature/v1.0"}'
    assert code_of(as_json(bundle(payload, KEY))) == "manifest_malformed"


def test_a_key_that_stands_under_a_false_hint_is_not_used() -> None:
    hint = ecdsa.hint(OTHER.public_key())
    data = as_json(bundle(PAYLOAD, OTHER))
    assert oms.verify(oms.parse_bundle(data), {hint: OTHER.public_key()}).signer == hint
    document = bundle(PAYLOAD, KEY)
    document["verificationMaterial"]["publicKey"]["hint"] = hint
    with pytest.raises(SignatureRefused) as caught:
        oms.verify(oms.parse_bundle(as_json(document)), {hint: KEY.public_key()})
    assert caught.value.code == "signature_key_unknown"


LENIENT: dict[str, Change] = {
    "no key id": assign("dsseEnvelope/signatures/0/keyid", REMOVE),
    "key id null": assign("dsseEnvelope/signatures/0/keyid", None),
    "log entries empty": assign("verificationMaterial/tlogEntries", []),
    "unknown field": assign("future", {"x": 1.5}),
}


@pytest.mark.parametrize("change", LENIENT.values(), ids=LENIENT)
def test_what_the_specification_leaves_open_is_read(change: Change) -> None:
    document = bundle(PAYLOAD, KEY)
    change(document)
    assert verify(as_json(document)).files == FILES


OPEN_MANIFESTS: dict[str, Change] = {
    "annotations of a file": assign(RES + "/0/annotations", {"a": 1}),
    "fields of the predicate": assign("predicate/x", 1),
    "nothing ignored": assign(SER + "ignore_paths", REMOVE),
    "the signature ignored": assign(SER + "ignore_paths", ["model.sig", ".git"]),
}


@pytest.mark.parametrize("change", OPEN_MANIFESTS.values(), ids=OPEN_MANIFESTS)
def test_unknown_fields_of_a_manifest_are_ignored(change: Change) -> None:
    document = statement(FILES)
    change(document)
    assert verify(as_json(bundle(as_json(document), KEY))).files == FILES


def test_both_orders_are_read_and_give_their_own_root() -> None:
    by_code_point, by_parts = ["a.txt", "a/b", "model.gguf"], ["a/b", "a.txt", "model.gguf"]
    roots = {
        verify(as_json(bundle(as_json(statement(FILES, order)), KEY))).root
        for order in (by_code_point, by_parts)
    }
    assert len(roots) == 2


@pytest.mark.parametrize("curve", [ec.SECP256R1(), ec.SECP384R1(), ec.SECP521R1()])
def test_what_we_sign_verifies_and_is_in_the_order_of_the_specification(
    curve: ec.EllipticCurve,
) -> None:
    key = new_key(curve)
    hint = ecdsa.hint(key.public_key())
    data = oms.sign(sorted(FILES.items()), key, "m")
    read = oms.verify(oms.parse_bundle(data), {hint: key.public_key()})
    assert list(read.files) == ["a.txt", "a/b", "model.gguf"]
    assert (read.signer, read.root) == (hint, manifest.root_digest(read.files.values()))


@pytest.mark.parametrize("files", [{}, {"../x": ONE}, {"a": ONE, "A": ONE}])
def test_nothing_is_signed_that_could_not_be_verified(files: dict[str, str]) -> None:
    with pytest.raises(SignatureRefused):
        oms.sign(sorted(files.items()), KEY, "m")


COMPARISONS: dict[str, tuple[dict[str, str], str]] = {
    "missing": ({"a.txt": FILES["a.txt"], "a/b": FILES["a/b"]}, "file_missing"),
    "extra": ({**FILES, "evil.bin": ONE}, "file_extra"),
    "changed": ({**FILES, "a/b": ONE}, "file_changed"),
    "swapped": ({**FILES, "a.txt": FILES["a/b"], "a/b": FILES["a.txt"]}, "file_changed"),
    "renamed": (
        {"b.txt" if name == "a.txt" else name: digest for name, digest in FILES.items()},
        "file_missing",
    ),
}


@pytest.mark.parametrize(("found", "code"), COMPARISONS.values(), ids=COMPARISONS)
def test_files_are_held_against_the_manifest(found: dict[str, str], code: str) -> None:
    read = verify(GOOD_JSON)
    manifest.compare(read, FILES)
    with pytest.raises(SignatureRefused) as caught:
        manifest.compare(read, found)
    assert caught.value.code == code


@settings(max_examples=300, deadline=None)
@given(
    st.lists(
        st.tuples(st.integers(0, len(GOOD_JSON) - 1), st.integers(0, 255)), min_size=1, max_size=4
    )
)
def test_a_mutated_bundle_is_refused_or_means_the_same(edits: list[tuple[int, int]]) -> None:
    data = bytearray(GOOD_JSON)
    for place, value in edits:
        data[place] = value
    try:
        read = verify(bytes(data))
    except SignatureRefused:
        return
    assert read == verify(GOOD_JSON)


@settings(max_examples=200, deadline=None)
@given(
    path=st.sampled_from(
        [
            "_type",
            "subject",
            "subject/0",
            "subject/0/digest",
            "predicateType",
            "predicate",
            "predicate/resources",
            "predicate/resources/0",
            "predicate/resources/0/name",
            "predicate/resources/0/algorithm",
            "predicate/resources/0/digest",
            "predicate/serialization/method",
            "predicate/serialization/hash_type",
            "predicate/serialization/allow_symlinks",
            "predicate/serialization/ignore_paths",
        ]
    ),
    value=st.sampled_from([None, True, 0, -1, 1.5, "", "x", [], {}, [None], {"sha256": 1}, [[]]]),
)
def test_any_wrong_type_in_a_signed_manifest_is_refused_or_harmless(
    path: str, value: object
) -> None:
    document = statement(copy.deepcopy(FILES))
    assign(path, value)(document)
    try:
        read = verify(as_json(bundle(as_json(document), KEY)))
    except SignatureRefused:
        return
    assert read.files == FILES
