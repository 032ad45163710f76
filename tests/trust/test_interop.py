"""Both ways with the reference implementation, and bundles that only it accepts.

docs/oms-interop.md is the table that this module makes; `WRITE_INTEROP=1` writes it.
"""

import datetime
import json
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from appliance.errors import Refused
from appliance.trust.artifacts import signing
from appliance.trust.bytes import ecdsa
from tests.conftest import CHECKOUT
from tests.oracle import Oracle
from tests.trust import certs, forge
from tests.trust.forge import Lab, as_json, quiet, sha256

pytestmark = pytest.mark.slow
DOCUMENT = CHECKOUT / "docs" / "oms-interop.md"
CURVES = {"P-256": ec.SECP256R1(), "P-384": ec.SECP384R1(), "P-521": ec.SECP521R1()}
SHARD = 700
NOW_US = int(datetime.datetime.now(datetime.UTC).timestamp() * 1e6)
YEAR = datetime.timedelta(days=365)
NOW = datetime.datetime.now(datetime.UTC)


@pytest.fixture(scope="module")
def oracle() -> Iterator[Oracle]:
    made = Oracle("oms.py")
    yield made
    made.close()


class Bench:
    """A model directory with a key and a chain on one curve."""

    def __init__(self, root: Path, curve: ec.EllipticCurve) -> None:
        self.model = root / "tiny"
        forge.make_artifact(self.model)
        (self.model / "docs" / "grüße.txt").write_text("ä" * 500)
        (self.model / "docs.txt").write_text("x")  # sorts on the other side of docs/ by path parts
        dates = {"start": NOW - YEAR, "end": NOW + YEAR}
        self.chain = certs.chain(
            certs.LEAF.but(**dates), certs.ISSUER.but(**dates), certs.ROOT.but(**dates), curve
        )
        self.signature = self.model / "model.sig"
        self.private = ecdsa.private_pem(self.chain.leaf.key)
        self.public = ecdsa.public_pem(self.chain.leaf.key.public_key())
        self.files = {
            "key": self.private,
            "pub": self.public,
            "leaf": self.chain.leaf.pem,
            "issuer": self.chain.issuer.pem,
            "root": self.chain.root.pem,
        }
        for name, data in self.files.items():
            (root / name).write_bytes(data)
        self.root = root

    def path(self, name: str) -> str:
        return str(self.root / name)

    def ours_signs(self, by_certificate: bool, shard_size: int | None) -> None:
        chain = self.chain.pem if by_certificate else None
        signing.sign_directory(
            self.model, self.private, quiet, chain_pem=chain, shard_size=shard_size
        )

    def ours_verifies(self, by_certificate: bool) -> bool:
        try:
            signing.verify_directory(
                self.model,
                [] if by_certificate else [self.public],
                quiet,
                roots_pem=self.chain.root.pem if by_certificate else None,
                at_us=NOW_US,
            )
        except Refused:
            return False
        return True

    def question(self, do: str, by_certificate: bool, shard_size: int | None) -> dict[str, Any]:
        asked: dict[str, Any] = {
            "do": do,
            "model": str(self.model),
            "signature": str(self.signature),
            "key": self.path("key" if do == "sign" else "pub"),
            "shard_size": shard_size,
        }
        if by_certificate:
            asked["certificate"] = self.path("leaf")
            asked["chain"] = [self.path("issuer" if do == "sign" else "root")]
        return asked


def row(oracle: Oracle, bench: Bench, by_certificate: bool, shard_size: int | None) -> list[bool]:
    """Ours by theirs, theirs by ours, and both again after a byte was flipped (the control)."""
    bench.ours_signs(by_certificate, shard_size)
    verify = bench.question("verify", by_certificate, shard_size)
    ours_by_theirs = oracle.ask(**verify)["ok"]
    bench.signature.unlink()
    assert oracle.ask(**bench.question("sign", by_certificate, shard_size))["ok"]
    theirs_by_ours = bench.ours_verifies(by_certificate)
    data = (bench.model / "tiny.gguf").read_bytes()
    (bench.model / "tiny.gguf").write_bytes(data[:-1] + b"\xff")
    flipped = [oracle.ask(**verify)["ok"], bench.ours_verifies(by_certificate)]
    (bench.model / "tiny.gguf").write_bytes(data)
    return [ours_by_theirs, theirs_by_ours, *flipped]


def table(rows: dict[tuple[str, str, str], list[bool]], negatives: dict[str, str]) -> str:
    lines = [
        "# OMS interoperability",
        "",
        "<!-- Made by tests/trust/test_interop.py with WRITE_INTEROP=1; do not edit. -->",
        "",
        "Measured against `model-signing` 1.1.1 with pyOpenSSL, over files in subdirectories, with",
        "non-ASCII names and names that the two orders sort differently. Each pair is signed on",
        "one side and verified on the other; the control is one flipped byte.",
        "",
        "| curves | method | serialisation | ours, verified by theirs | theirs, verified by ours |"
        " flipped byte, theirs | flipped byte, ours |",
        "|---|---|---|---|---|---|---|",
    ]
    word = {True: "yes", False: "no"}
    curves: dict[tuple[str, ...], list[str]] = {}
    for (curve, *way), (ours, theirs, *flipped) in rows.items():
        control = ["accepted" if ok else "refused" for ok in flipped]
        curves.setdefault((*way, word[ours], word[theirs], *control), []).append(curve)
    for told, alike in curves.items():
        lines.append("| " + " | ".join([", ".join(alike), *told]) + " |")
    lines += [
        "",
        "Sharded: `model-signing` 1.1.1 writes `shard_size` as a float and then cannot verify its",
        "own signature without being told the size again; the table tells it.",
        "",
        "## Accepted by the reference, refused by this product",
        "",
        "| bundle or directory | code here |",
        "|---|---|",
        *(f"| {what} | `{code}` |" for what, code in negatives.items()),
        "",
    ]
    return "\n".join(lines)


def test_the_matrix_is_as_documented(oracle: Oracle, tmp_path: Path) -> None:
    rows = {}
    for curve, kind in CURVES.items():
        bench = Bench(tmp_path / curve, kind)
        for method in ("key", "certificate"):
            for serialisation, size in (("files", None), ("shards", SHARD)):
                found = row(oracle, bench, method == "certificate", size)
                rows[curve, method, serialisation] = found
    assert all(found == [True, True, False, False] for found in rows.values()), rows
    negatives = {what: code for what, (_, code) in NEGATIVES.items()}
    made = table(rows, negatives)
    if os.environ.get("WRITE_INTEROP"):
        DOCUMENT.write_text(made, encoding="utf-8")
    assert DOCUMENT.read_text(encoding="utf-8") == made


# Its accepted negatives

Change = Callable[[Bench], dict[str, Any] | None]


def resources(bench: Bench) -> dict[str, str]:
    return forge.digests_below(bench.model)


def write(bench: Bench, statement: dict[str, Any], **material: Any) -> None:
    document = forge.bundle(as_json(statement), bench.chain.leaf.key)
    document["verificationMaterial"] = {"tlogEntries": [], **document["verificationMaterial"]}
    document["verificationMaterial"].update(material)
    bench.signature.write_bytes(as_json(document))


def expired(bench: Bench) -> None:
    by_dates(bench, NOW - YEAR / 2, NOW - YEAR / 12)


def not_yet(bench: Bench) -> None:
    by_dates(bench, NOW + YEAR / 12, NOW + YEAR / 2)


def by_dates(bench: Bench, start: datetime.datetime, end: datetime.datetime) -> None:
    leaf = certs.make(certs.LEAF.but(start=start, end=end), bench.chain.issuer)
    chain = leaf.pem + bench.chain.issuer.pem
    signing.sign_directory(bench.model, ecdsa.private_pem(leaf.key), quiet, chain_pem=chain)


def planted(bench: Bench) -> None:
    bench.ours_signs(False, None)
    (bench.model / ".github").mkdir()
    (bench.model / ".github" / "evil.gguf").write_bytes(b"GGUF")


def duplicate(bench: Bench) -> None:
    files = resources(bench)
    statement = forge.statement(files)
    first = dict(statement["predicate"]["resources"][0], digest="00" * 32)
    statement["predicate"]["resources"].insert(0, first)
    root = b"".join(bytes.fromhex(r["digest"]) for r in statement["predicate"]["resources"])
    statement["subject"][0]["digest"]["sha256"] = sha256(root)
    write(bench, statement)


def downgraded(bench: Bench) -> None:
    subjects = [{"name": n, "digest": {"sha256": d}} for n, d in sorted(resources(bench).items())]
    write(
        bench,
        {
            "_type": "https://in-toto.io/Statement/v1",
            "predicateType": "https://model_signing/Digests/v0.1",
            "subject": subjects,
        },
    )


def outside(bench: Bench) -> dict[str, Any]:
    (bench.root / "secret").write_text("s")
    write(bench, forge.statement({**resources(bench), "../secret": sha256(b"s")}))
    return {"ignore_unsigned": True}


def raw_bytes(bench: Bench) -> None:
    key = {"rawBytes": "AAAA", "keyDetails": "PKIX_ECDSA_P384_SHA_384"}
    write(bench, forge.statement(resources(bench)), publicKey=key)


def second_signature(bench: Bench) -> None:
    write(bench, forge.statement(resources(bench)))
    document = json.loads(bench.signature.read_bytes())
    document["dsseEnvelope"]["signatures"].append({"sig": "AAAA", "keyid": ""})
    bench.signature.write_bytes(as_json(document))


def duplicate_key(bench: Bench) -> None:
    payload = as_json(forge.statement(resources(bench)))
    payload = payload[:-1] + b',"predicateType":"https://model_signing/signature/v1.0"}'
    bench.signature.write_bytes(as_json(forge.bundle(payload, bench.chain.leaf.key)))


def empty(bench: Bench) -> None:
    shutil.rmtree(bench.model)
    bench.model.mkdir()
    write(bench, forge.statement({}))


def everything_ignored(bench: Bench) -> dict[str, Any]:
    statement = forge.statement({})
    statement["predicate"]["serialization"]["ignore_paths"] = ["."]
    write(bench, statement)
    return {"guess": True}  # its command line takes the serialisation from the bundle


def hard_link(bench: Bench) -> None:
    bench.ours_signs(False, None)
    os.link(bench.model / "tiny.gguf", bench.root / "twin")


NEGATIVES: dict[str, tuple[Change, str]] = {
    "an expired certificate": (expired, "certificate_validity"),
    "a certificate that is not valid yet": (not_yet, "certificate_validity"),
    "a file planted under an ignored path": (planted, "file_ignored_path"),
    "a file listed twice, the last one counts": (duplicate, "manifest_name_refused"),
    "a v0.2 predicate, without root digest": (downgraded, "manifest_malformed"),
    "`../secret`, when unsigned files are ignored": (outside, "manifest_name_refused"),
    "key material in place of the hint": (raw_bytes, "signature_method_unsupported"),
    "a garbage signature after the good one": (second_signature, "signature_malformed"),
    "a duplicate JSON key in the payload": (duplicate_key, "manifest_malformed"),
    "an empty manifest over an empty directory": (empty, "manifest_malformed"),
    '`ignore_paths: ["."]`': (everything_ignored, "manifest_ignore_refused"),
    "a file with a second hard link": (hard_link, "file_hardlink"),
}


@pytest.mark.parametrize(("change", "code"), NEGATIVES.values(), ids=NEGATIVES)
def test_what_the_reference_accepts_we_refuse(
    oracle: Oracle, tmp_path: Path, change: Change, code: str
) -> None:
    bench = Bench(tmp_path, ec.SECP384R1())
    by_certificate = code == "certificate_validity"
    more = change(bench) or {}
    told = oracle.ask(**bench.question("verify", by_certificate, None), **more)
    assert told["ok"], told["error"]  # the control: it is acceptable to somebody
    with pytest.raises(Refused) as caught:
        signing.verify_directory(
            bench.model,
            [] if by_certificate else [bench.public],
            quiet,
            roots_pem=bench.chain.root.pem if by_certificate else None,
            at_us=NOW_US,
        )
    assert caught.value.code == code


def test_the_lab_s_artifacts_verify_with_the_reference(oracle: Oracle, lab: Lab) -> None:
    (lab.data / "pub").write_bytes(ecdsa.public_pem(lab.key("publisher").public_key()))
    signing.sign_directory(lab.artifact, lab.pem("publisher"), quiet)
    signature = str(lab.artifact / "model.sig")
    told = oracle.ask(
        do="verify", model=str(lab.artifact), signature=signature, key=str(lab.data / "pub")
    )
    assert told["ok"], told["error"]
