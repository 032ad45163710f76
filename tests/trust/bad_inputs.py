"""Every bad artifact by name, with the code of its refusal.

The numbers are those of the design's list of bad inputs (content 1 to 14, manifest 15 to 35, crypto
36 to 51, policy 52 to 69, GGUF 70 to 91); the rest are our own. `make` builds each from nothing.
"""

import json
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric import ec

from appliance.trust.artifacts import signing
from appliance.trust.bytes import ecdsa
from tests.trust import certs, forge
from tests.trust.bytes import test_oms
from tests.trust.forge import Gguf, as_json, quiet, sha256
from tests.trust.gguf import test_gguf, test_reader, test_tensors

Change = Callable[["Bad"], object]


@dataclass
class Bad:
    """An artifact about to be spoiled: signed by the publisher's key."""

    path: Path
    key: ec.EllipticCurvePrivateKey
    chain: certs.Chain

    @property
    def gguf(self) -> Path:
        return self.path / "tiny.gguf"

    @property
    def signature(self) -> Path:
        return self.path / "model.sig"

    def resign(self, change: Callable[[dict[str, Any]], object] = lambda _: None) -> None:
        forge.resign(self.path, self.key, change)

    def model(self, change: Callable[[Gguf], object]) -> None:
        """Another model file, properly signed."""
        gguf = Gguf()
        change(gguf)
        self.gguf.write_bytes(gguf.build())
        self.resign()

    def bundle(self, change: Callable[[dict[str, Any]], object]) -> None:
        """Change the bundle around a good statement."""
        document = json.loads(self.signature.read_bytes())
        change(document)
        self.signature.write_bytes(as_json(document))

    def listed(self, files: Mapping[str, str]) -> None:
        """A validly signed manifest over these files, whatever the directory has."""
        self.signature.write_bytes(forge.model_sig(files, self.key))

    def certified(self, leaf: certs.Wanted, issuer: certs.Made | None = None) -> None:
        above = issuer or self.chain.issuer
        made = certs.make(leaf, above)
        self.by(made, above)

    def by(self, made: certs.Made, *above: certs.Made) -> None:
        pem = b"".join(m.pem for m in (made, *above))
        signing.sign_directory(self.path, ecdsa.private_pem(made.key), quiet, chain_pem=pem)


def flip(path: Path, place: int) -> None:
    data = bytearray(path.read_bytes())
    data[place] ^= 0x40
    path.write_bytes(data)


def swap(bad: Bad) -> None:
    data = bad.gguf.read_bytes()
    bad.gguf.write_bytes(data[:-1056] + data[-1024:-992] + data[-1056:-1024] + data[-992:])


def linked_directory(bad: Bad) -> None:
    (bad.path / "docs").rename(bad.path.parent / (bad.path.name + "-docs"))
    (bad.path / "docs").symlink_to(bad.path.parent / (bad.path.name + "-docs"))


CONTENT: dict[str, tuple[Change, str]] = {
    "1 a flipped bit in a tensor": (
        lambda b: b.gguf.write_bytes(b.gguf.read_bytes()[:-1] + b"\x03"),
        "file_changed",
    ),
    "2 truncated": (lambda b: os.truncate(b.gguf, 200), "gguf_truncated"),
    "2 truncated to nothing": (lambda b: os.truncate(b.gguf, 0), "gguf_magic"),
    "3 appended": (lambda b: b.gguf.write_bytes(b.gguf.read_bytes() + b"x"), "gguf_trailing"),
    "3 appended beside the model": (
        lambda b: (b.path / "LICENSE").write_text("Apache-2.0 "),
        "file_changed",
    ),
    "4 two blocks of tensors swapped": (swap, "file_changed"),
    "5 a file missing": (lambda b: (b.path / "LICENSE").unlink(), "file_missing"),
    "5 the model missing": (lambda b: b.gguf.unlink(), "model_file_count"),
    "5 the signature missing": (lambda b: b.signature.unlink(), "signature_missing"),
    "6 a file more": (lambda b: (b.path / "evil.bin").touch(), "file_extra"),
    "6 a model more": (lambda b: (b.path / "b.GGUF").write_bytes(b"GGUF"), "model_file_count"),
    "7 a file under .github": (lambda b: (b.path / ".github").mkdir(), "file_ignored_path"),
    "8 a link": (lambda b: (b.path / "l").symlink_to("LICENSE"), "file_symlink"),
    "8 a link out": (lambda b: (b.path / "l").symlink_to("/etc/passwd"), "file_symlink"),
    "9 a directory that is a link": (linked_directory, "file_symlink"),
    "10 a hard link": (
        lambda b: os.link(b.gguf, b.path.parent / (b.path.name + "-twin")),
        "file_hardlink",
    ),
    "11 a FIFO": (lambda b: os.mkfifo(b.path / "fifo"), "file_special"),
    "14 a name that differs in case": (
        lambda b: (b.path / "license").touch(),
        "file_name_refused",
    ),
    "21 a name that is not NFC": (lambda b: (b.path / "a\u0308").touch(), "file_name_refused"),
    "own: a name with a backslash": (lambda b: (b.path / "a\\b").touch(), "file_name_refused"),
    "own: a name with a newline": (lambda b: (b.path / "a\nb").touch(), "file_name_refused"),
}


def in_manifest(change: Callable[[dict[str, Any]], object]) -> Change:
    return lambda bad: bad.resign(change)


def in_bundle(change: Callable[[dict[str, Any]], object]) -> Change:
    return lambda bad: bad.bundle(change)


def in_text(data: bytes) -> Change:
    return lambda bad: bad.signature.write_bytes(data)


def named(name: str) -> Change:
    return lambda b: b.listed({**forge.digests_below(b.path), name: sha256(b"s")})


_ELSEWHERE = {  # under a policy, who may publish is asked before whose signature it is
    "hint of another key": "publisher_not_allowed",
}
MANIFEST: dict[str, tuple[Change, str]] = {
    **{
        f"16 to 20 a name: {what}": (named(name), "manifest_name_refused")
        for what, name in test_oms.NAMES.items()
    },
    **{
        f"15 to 33 manifest: {what}": (in_manifest(change), code)
        for what, (change, code) in test_oms.MANIFESTS.items()
        if not what.startswith("name: ") and "a.txt" not in what
    },
    **{
        f"28 to 38 bundle: {what}": (in_bundle(change), _ELSEWHERE.get(what, code))
        for what, (change, code) in test_oms.BUNDLES.items()
    },
    **{
        f"28 to 30 text: {what}": (
            in_text(data),
            "signature_malformed" if data == b"[]" else "signature_json_invalid",
        )
        for what, data in test_oms.TEXTS.items()
    },
}


def stranger(bad: Bad) -> None:
    forge.resign(bad.path, forge.new_key())


PAST = {"start": certs.NOW - 9 * certs.DAY, "end": certs.NOW - certs.DAY}
FUTURE = {"start": certs.NOW + certs.DAY, "end": certs.NOW + 9 * certs.DAY}


def old_issuer(bad: Bad) -> None:
    bad.certified(certs.LEAF, certs.make(certs.ISSUER.but(**PAST), bad.chain.root))


def no_ca(bad: Bad) -> None:
    bad.certified(certs.LEAF, certs.make(certs.ISSUER.but(ca=False), bad.chain.root))


def too_long(bad: Bad) -> None:
    """The issuer may have no CA below it."""
    short = certs.make(certs.ISSUER.but(path_length=0), bad.chain.root)
    below = certs.make(certs.ISSUER.but(name="Below"), short)
    bad.by(certs.make(certs.LEAF, below), below, short)


def other_root(bad: Bad) -> None:
    other = certs.chain()
    bad.by(other.leaf, other.issuer, other.root)


CRYPTO: dict[str, tuple[Change, str]] = {
    "36 another key": (stranger, "publisher_not_allowed"),
    "39 secp256k1": (
        lambda b: forge.resign(b.path, forge.new_key(ec.SECP256K1())),
        "publisher_not_allowed",
    ),
    "45 an expired certificate": (
        lambda b: b.certified(certs.LEAF.but(**PAST)),
        "certificate_validity",
    ),
    "46 a certificate not yet valid": (
        lambda b: b.certified(certs.LEAF.but(**FUTURE)),
        "certificate_validity",
    ),
    "47 an expired intermediate": (old_issuer, "certificate_validity"),
    "48 an issuer that is no CA": (no_ca, "certificate_untrusted"),
    "49 a path that is too long": (too_long, "certificate_untrusted"),
    "50 another root": (other_root, "certificate_untrusted"),
    "51 no digitalSignature": (
        lambda b: b.certified(certs.LEAF.but(digital_signature=False)),
        "certificate_usage",
    ),
    "53 a revoked serial number": (
        lambda b: b.certified(certs.LEAF.but(serial=0xBAD)),
        "certificate_revoked",
    ),
    "own: a subject that is not listed": (
        lambda b: b.certified(certs.LEAF.but(name="Mallory")),
        "publisher_not_allowed",
    ),
}
"""Of 53, `tests/trust/test_bad_input.py` puts the serial number into the policy."""


def in_model(change: Callable[[Gguf], object]) -> Change:
    return lambda bad: bad.model(change)


GGUF: dict[str, tuple[Change, str]] = {
    f"70 to 91 {what}": (in_model(change), code)
    for table in (
        test_reader.CASES,
        test_tensors.CASES,
        test_gguf.MODEL,
        {what: (change, "gguf_tokenizer") for what, change in test_gguf.TOKENIZER.items()},
    )
    for what, (change, code) in table.items()
}


def with_roles(roles: Mapping[str, object], **files: bytes) -> Change:
    """Files and their roles, all of it signed; `_` in a name stands for the dot."""

    def change(bad: Bad) -> None:
        for name, data in files.items():
            (bad.path / name.replace("_", ".")).write_bytes(data)
        (bad.path / "artifact.json").write_bytes(as_json({"version": 1, "roles": roles}))
        bad.resign()

    return change


def grammar(data: bytes) -> Change:
    return with_roles({"a.json": "grammar"}, a_json=data)


def changed_grammar(bad: Bad) -> None:
    grammar(b"{}")(bad)
    (bad.path / "a.json").write_bytes(b"[]")


ROLES: dict[str, tuple[Change, str]] = {
    "own: a grammar that is no object": (grammar(b"[]"), "grammar_invalid"),
    "own: a grammar with a key twice": (grammar(b'{"a":1,"a":2}'), "grammar_invalid"),
    "own: a grammar that is a bomb of brackets": (grammar(b"[" * 60_000), "grammar_invalid"),
    "own: a grammar that is no text": (grammar(b"\xff"), "grammar_invalid"),
    "own: a grammar that is too large": (
        grammar(b'{"a":"%s"}' % (b"x" * 65_536)), "description_invalid",
    ),
    "own: a grammar changed after signing": (changed_grammar, "file_changed"),
    "own: the model as a grammar": (with_roles({"tiny.gguf": "grammar"}), "description_invalid"),
    "own: a grammar of another kind": (
        with_roles({"a.gbnf": "grammar"}, a_gbnf=b'root ::= "a"'), "description_invalid",
    ),
    "own: two grammars of one name": (
        with_roles({"a.json": "grammar", "a.lark": "grammar"}, a_json=b"{}", a_lark=b"x"),
        "description_invalid",
    ),
    "own: a grammar that is not there": (with_roles({"a.json": "grammar"}), "description_invalid"),
    "own: a role that is not known": (with_roles({"LICENSE": "system"}), "description_invalid"),
    "own: a template that is no text": (
        with_roles({"a.jinja": "template"}, a_jinja=b"\xff"), "description_invalid",
    ),
}  # fmt: skip

ALL: dict[str, tuple[Change, str]] = {**CONTENT, **MANIFEST, **CRYPTO, **GGUF, **ROLES}
