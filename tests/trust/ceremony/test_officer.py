"""The officer's keys and signatures."""

import stat
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from appliance.errors import Refused
from appliance.trust.bytes import ecdsa
from appliance.trust.ceremony import officer
from appliance.trust.policy import lab

WORDS = "correct horse battery"


def code_of(action: object) -> str:
    with pytest.raises(Refused) as caught:
        action()  # type: ignore[operator]
    return caught.value.code


def test_a_key_is_private_and_opens_with_its_passphrase(tmp_path: Path) -> None:
    path = tmp_path / "k.pem"
    public = officer.new_key(path, WORDS)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert b"ENCRYPTED PRIVATE KEY" in path.read_bytes()
    key = officer.public_key(public, "Ada")
    assert officer.open_key(path, WORDS).public_key.keyid == key.keyid
    assert key.unrecognized_fields == {"x-holder": "Ada"}
    with pytest.raises(FileExistsError):
        officer.new_key(path, WORDS)


def test_passphrases(tmp_path: Path) -> None:
    path = tmp_path / "k.pem"
    assert code_of(lambda: officer.new_key(path, "short")) == "passphrase_refused"
    assert not path.exists()
    officer.new_key(path, WORDS)
    assert code_of(lambda: officer.open_key(path, WORDS + "!")) == "passphrase_refused"
    bare = tmp_path / "bare.pem"
    bare.write_bytes(ecdsa.private_pem(ec.generate_private_key(ec.SECP384R1())))
    assert code_of(lambda: officer.open_key(bare, WORDS)) == "key_unreadable"


def test_a_labs_key_is_refused() -> None:
    public = ecdsa.public_pem(ec.generate_private_key(ec.SECP384R1()).public_key())
    officer.public_key(public, "Ada")
    assert code_of(lambda: officer.public_key(lab.MARK + public, "Ada")) == "trust_profile"
