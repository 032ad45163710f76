"""The printed record has all that a later comparison needs."""

import hashlib
from pathlib import Path

from appliance.trust.bytes import key_file
from appliance.trust.ceremony import officer
from tests.cli.test_ceremony import ROOT, WORDS, ceremony, prepared


def test_the_record_of_a_ceremony(tmp_path: Path) -> None:
    words = tmp_path / "words"
    words.write_text(WORDS)
    path, out = prepared(tmp_path, words), tmp_path / "stick"
    assert ceremony("record", path, "--json").code == (1, "ceremony_step")
    for key in sorted((path / "keys").glob("*.pem")):
        if "root-Bea" not in key.name:
            assert ceremony("sign", path, "--key", key, "--passphrase-file", words).status == 0
    done = ceremony("publish", path, out, "--json").document
    printed = tmp_path / "record.md"
    shown = ceremony("record", path, "--out", printed).out
    text = printed.read_text()
    assert text == shown
    squeezed = text.replace(" ", "").replace("\n", "")
    assert done["first_root"] in squeezed
    assert all(f"{name:<30} ____" in text for name in (*ROOT, "Dan"))
    assert max(map(len, text.splitlines())) <= 80 and text.isascii()
    for needed in (  # all that somebody needs who compares it in years
        "Record of the trust ceremony of Example",
        "Date: 20",
        "Valid until 20",
        "root 1, timestamp 1, snapshot 1, targets 1, policy 7",
        "Signed by, root: Ada, Cid",
        "Signed by, targets: Dan",
        "Signed by, timestamp: Dan",
        "Paula may publish",
        "Alice may approve",
        "approvals needed: 2",
        "model free: without approvals",
    ):
        assert needed in text
    policy = (out / "targets" / "policy.json").read_bytes()
    assert hashlib.sha256(policy).hexdigest() in squeezed
    for path_ in (path / "keys").glob("*.pem"):
        keyid = officer.OfficerSigner(key_file.read(path_, lambda: WORDS)).public_key.keyid
        assert keyid[:32] in text


def test_a_record_after_a_rotation_has_every_root(tmp_path: Path) -> None:
    words = tmp_path / "words"
    words.write_text(WORDS)
    path, out = prepared(tmp_path, words), tmp_path / "stick"
    passphrase = ("--passphrase-file", words)

    def publish() -> None:
        for key in sorted((path / "keys").glob("*.pem")):
            ceremony("sign", path, "--key", key, *passphrase)
        assert ceremony("publish", path, out).status == 0

    publish()
    ceremony("rotate", path, "--role", "root", "--old", "Bea", "--new", "Eve")
    ceremony("key", path, "--role", "root", "--holder", "Eve", *passphrase)
    publish()
    text = ceremony("record", path).out
    squeezed = text.replace(" ", "").replace("\n", "")
    for number in (1, 2):
        root = (out / "metadata" / f"{number}.root.json").read_bytes()
        assert hashlib.sha256(root).hexdigest() in squeezed
    assert "SHA-256 of 2.root.json:" in text and "root 2, " in text
    assert f"{'Eve':<30} ____" in text and f"{'Bea':<30} ____" not in text
