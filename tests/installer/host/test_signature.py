"""The signature: by openssl, with one key, over one list."""

from pathlib import Path

import pytest

from installer.bundle import media
from installer.host import signature
from installer.host.problems import InstallError
from tests.installer.bench import Bench


@pytest.fixture(scope="module")
def stick(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return Bench(tmp_path_factory.mktemp("signature")).bundle()


def refusal(openssl: str, directory: Path, key: Path) -> str:
    with pytest.raises(InstallError) as refused:
        signature.verify([openssl], directory, key)
    return refused.value.code


def copy(stick: Path, target: Path, **changed: bytes) -> Path:
    target.mkdir()
    for name in ("MANIFEST.sha256", "MANIFEST.sig", "vendor.pub"):
        (target / name).write_bytes((stick / name).read_bytes())
    return target


def test_a_good_signature(stick: Path) -> None:
    signature.verify(["openssl"], stick, stick / "vendor.pub")
    assert (
        signature.fingerprint(stick / "vendor.pub")
        in (stick / "VENDOR-KEY.fingerprint").read_text()
    )


def test_any_flipped_byte_of_list_or_signature(stick: Path, tmp_path: Path) -> None:
    for number, (name, at) in enumerate(
        [("MANIFEST.sha256", 0), ("MANIFEST.sha256", 90), ("MANIFEST.sig", 3), ("MANIFEST.sig", 60)]
    ):
        directory = copy(stick, tmp_path / str(number))
        data = bytearray((directory / name).read_bytes())
        data[at] ^= 1
        (directory / name).write_bytes(data)
        assert refusal("openssl", directory, stick / "vendor.pub") == "signature_invalid"


def test_another_key_an_absent_signature_and_no_openssl(stick: Path, tmp_path: Path) -> None:
    other = Bench(tmp_path)
    media.new_key(other.key)
    other.bundle()
    assert refusal("openssl", stick, other.stick / "vendor.pub") == "signature_invalid"
    directory = copy(stick, tmp_path / "absent")
    (directory / "MANIFEST.sig").unlink()
    assert refusal("openssl", directory, stick / "vendor.pub") == "signature_missing"
    assert refusal("/nowhere/openssl", stick, stick / "vendor.pub") == "openssl_missing"
