"""`appliance signer`: keys in files and on a token."""

from pathlib import Path

import pytest

from appliance.trust.bytes import ecdsa, key_file
from tests.cli.conftest import run_command
from tests.tokens.softhsm import PIN, needs_softhsm, soft_token

WORDS = "correct horse battery"


@pytest.fixture
def words(tmp_path: Path) -> Path:
    path = tmp_path / "words"
    path.write_text(WORDS + "\n")
    return path


def test_a_key_in_a_file(tmp_path: Path, words: Path) -> None:
    path, secret = tmp_path / "paula.pem", ("--passphrase-file", words)
    made = run_command("signer", "new", path, *secret, "--json").document
    assert made["file"] == str(tmp_path / "paula.pub") and made["algorithm"] == "ecdsa-p384-sha384"
    assert ecdsa.hint(ecdsa.load_public((tmp_path / "paula.pub").read_bytes())) == made["key"]
    assert run_command("signer", "show", path, *secret, "--json").document["key"] == made["key"]
    assert run_command("signer", "new", path, *secret, "--json").code == (2, "data_exists")
    words.write_text("short\n")
    other = run_command("signer", "new", tmp_path / "b.pem", *secret, "--json")
    assert other.code == (1, "passphrase_refused") and not (tmp_path / "b.pem").exists()


def test_the_passphrase_is_changed(tmp_path: Path, words: Path) -> None:
    path = tmp_path / "paula.pem"
    key_file.new(path, WORDS)
    words.write_text(f"{WORDS}\nanother good passphrase\n")
    assert run_command("signer", "encrypt", path, "--passphrase-file", words).status == 0
    key_file.read(path, lambda: "another good passphrase")
    before = path.read_bytes()
    again = run_command("signer", "encrypt", path, "--passphrase-file", words, "--json")
    assert again.code == (1, "passphrase_refused") and path.read_bytes() == before
    words.write_text("another good passphrase\n")  # which is no new one
    same = run_command("signer", "encrypt", path, "--passphrase-file", words, "--json")
    assert same.code == (2, "passphrase_missing") and path.read_bytes() == before
    bad = run_command("signer", "encrypt", "pkcs11:object=a", "--passphrase-file", words)
    assert bad.status == 2 and "vendor's program" in bad.err


@needs_softhsm
def test_a_key_on_a_token(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    token = soft_token(tmp_path / "hsm", monkeypatch)
    (pin := tmp_path / "pin").write_text(PIN)
    uri, secret = token.uri("paula"), ("--passphrase-file", pin)
    assert run_command("signer", "new", uri, *secret).status == 2  # where is its public half
    public = ("--public", tmp_path / "paula.pub")
    made = run_command("signer", "new", uri, *secret, *public, "--json").document
    assert run_command("signer", "new", uri, *secret, *public, "--json").code == (2, "data_exists")
    other = ("--public", tmp_path / "b.pub")
    twice = run_command("signer", "new", uri, *secret, *other, "--json")
    assert twice.code == (1, "token_key_ambiguous")
    shown = run_command("signer", "show", uri, *secret, *other, "--json").document
    assert shown["key"] == made["key"]
    assert (tmp_path / "b.pub").read_bytes() == (tmp_path / "paula.pub").read_bytes()
    pin.write_text("0000")
    assert run_command("signer", "show", uri, *secret, "--json").code == (1, "token_pin_wrong")
