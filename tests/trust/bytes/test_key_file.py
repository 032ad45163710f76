"""Private keys in files."""

import stat
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from appliance.errors import Refused, SignatureRefused
from appliance.trust.bytes import ecdsa, key_file

WORDS = "correct horse battery"


def test_a_key_is_private_and_opens_with_its_passphrase(tmp_path: Path) -> None:
    path = tmp_path / "k.pem"
    public = key_file.new(path, WORDS)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert ecdsa.is_encrypted(path.read_bytes())
    assert ecdsa.public_pem(key_file.read(path, lambda: WORDS).public_key()) == public
    with pytest.raises(FileExistsError):
        key_file.new(path, WORDS)


def test_passphrases(tmp_path: Path) -> None:
    path = tmp_path / "k.pem"
    with pytest.raises(Refused) as caught:
        key_file.new(path, "short")
    assert caught.value.code == "passphrase_refused" and not path.exists()
    key_file.new(path, WORDS)
    with pytest.raises(Refused) as caught:
        key_file.read(path, lambda: WORDS + "!")
    assert caught.value.code == "passphrase_refused"
    with pytest.raises(SignatureRefused):
        ecdsa.load_private(path.read_bytes())


def test_a_key_that_is_encrypted_leaves_no_plain_bytes(tmp_path: Path) -> None:
    path, kept = tmp_path / "k.pem", tmp_path / "kept"
    key = ec.generate_private_key(ec.SECP384R1())
    path.write_bytes(ecdsa.private_pem(key))
    kept.hardlink_to(path)  # the old blocks
    with pytest.raises(Refused):
        key_file.encrypt(path, key, "short")
    assert path.read_bytes() == ecdsa.private_pem(key)
    key_file.encrypt(path, key_file.read(path, lambda: "never asked"), WORDS)
    assert not kept.read_bytes().strip(b"\0")
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert key_file.read(path, lambda: WORDS).private_numbers() == key.private_numbers()
