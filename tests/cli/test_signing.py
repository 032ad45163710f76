"""`--key` of the commands that sign: files, passphrases, tokens; warnings and refusals."""

import ast
import os
import subprocess
import sys
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from appliance.cli.signing import KeyRing
from appliance.trust.bytes import ecdsa, key_file
from tests.api.admin.lab import LabData
from tests.cli.conftest import Run, run_command
from tests.conftest import CHECKOUT

WORDS = "correct horse battery"


@pytest.fixture
def plain(tmp_path: Path) -> Path:
    path = tmp_path / "plain.pem"
    path.write_bytes(ecdsa.private_pem(ec.generate_private_key(ec.SECP384R1())))
    return path


def test_a_plain_key_is_warned_of_with_the_command_that_encrypts_it(
    lab: LabData, plain: Path, tmp_path: Path
) -> None:
    artifact = lab.artifact()
    signed = run_command("artifact", "sign", artifact, "--key", plain)
    assert signed.status == 0 and f"appliance signer encrypt {plain}" in signed.err
    (words := tmp_path / "words").write_text(WORDS)
    secret = ("--passphrase-file", words)
    assert run_command("signer", "encrypt", plain, *secret).status == 0
    signed = run_command("artifact", "sign", artifact, "--key", plain, *secret)
    assert signed.status == 0 and "signer encrypt" not in signed.err
    quiet = run_command("artifact", "sign", artifact, "--key", lab.key("publisher"))
    assert quiet.status == 0 and "signer encrypt" not in quiet.err  # a lab stays as it is


def test_a_new_site_refuses_a_plain_key(lab: LabData, run: Run, plain: Path) -> None:
    approve = ("artifact", "approve", "tiny", "--as", "Bob", "--meaning", "fit", "--key", plain)
    assert run(*approve, "--json").code == (1, "unknown_model_id")  # an older directory
    with (lab.data / "appliance.toml").open("a") as file:
        file.write('[trust]\nunencrypted = "refuse"\n')
    assert run(*approve, "--json").code == (1, "key_unencrypted")
    of_the_lab = (*approve[:-1], lab.key("approver-1"))
    assert run(*of_the_lab, "--json").code == (1, "unknown_model_id")


def test_a_ceremony_takes_no_plain_key(plain: Path, tmp_path: Path) -> None:
    path = tmp_path / "officer"
    roots = [word for name in ("Ada", "Bea", "Cid") for word in ("--root", name)]
    plan: tuple[str | Path, ...] = ("start", path, "--org", "Example", *roots, "--targets", "Dan")
    assert run_command("trust", "ceremony", *plan).status == 0
    own: tuple[str | Path, ...] = ("--role", "root", "--holder", "Ada", "--out", plain)
    words: tuple[str | Path, ...]
    for step, words in (("sign", ("--key", plain)), ("key", own)):
        done = run_command("trust", "ceremony", step, path, *words, "--json")
        assert done.code == (1, "key_unencrypted")


def test_secrets_are_lines_or_one_for_all(tmp_path: Path) -> None:
    (file := tmp_path / "words").write_text("one\n")
    ring = KeyRing(file)
    assert [ring.secret("a"), ring.secret("b")] == ["one", "one"]
    file.write_text("one\ntwo\n")
    ring = KeyRing(file)
    assert [ring.secret("a"), ring.secret("b")] == ["one", "two"]
    with pytest.raises(Exception, match="no line for: c"):
        ring.secret("c")


def test_a_descriptor_brings_the_passphrase(lab: LabData, tmp_path: Path) -> None:
    path = tmp_path / "paula.pem"
    key_file.new(path, WORDS)
    reads, writes = os.pipe()
    os.write(writes, WORDS.encode())
    os.close(writes)
    command = [sys.executable, "-m", "appliance", "artifact", "sign", str(lab.artifact())]
    secret = ["--key", str(path), "--passphrase-file", f"/dev/fd/{reads}"]
    done = subprocess.run([*command, *secret], pass_fds=[reads], capture_output=True, check=False)
    os.close(reads)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("text", ["pkcs11:token=a", "pkcs11:object=a?pin-value=1"])
def test_a_uri_is_read_before_anything_is_asked(lab: LabData, text: str) -> None:
    done = run_command("artifact", "sign", lab.artifact(), "--key", text, "--json")
    assert done.code == (2, "token_uri_invalid")


def test_every_command_that_signs_takes_keys_of_all_places() -> None:
    """No option of the command line reads a private key by itself."""
    for path in (CHECKOUT / "appliance" / "cli").glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            text = node.value if isinstance(node, ast.Constant) else ""
            assert "private key, PEM" not in str(text), path


def test_who_has_a_file_loads_nothing_for_tokens() -> None:
    names = ["appliance.tokens.key", "appliance.tokens.cryptoki", "appliance.workers.child"]
    code = "import sys; from appliance.cli import artifact, signer, release;"
    code += f"print([name for name in {names} if name in sys.modules])"
    run = [sys.executable, "-c", code]
    done = subprocess.run(run, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
