"""Checking a bundle on the connected side."""

import pytest

from installer.bundle import media
from installer.bundle.steps import BundleError
from installer.bundle.verify import verify
from tests.installer.bench import Bench


def test_a_whole_bundle(bench: Bench) -> None:
    document, key = verify(bench.bundle())
    assert document.release == "1.0" and key == bench.fingerprint()


@pytest.mark.parametrize("name", ["manifest.json", "install.sh", "LICENSES/ours", "vendor.pub"])
def test_a_changed_file_is_named(bench: Bench, name: str) -> None:
    path = bench.bundle() / name
    data = bytearray(path.read_bytes())
    data[max(at for at, byte in enumerate(data) if chr(byte).islower())] ^= 0x20  # its case
    path.write_bytes(data)
    with pytest.raises(BundleError, match=rf"{name}|signature_invalid"):
        verify(bench.stick)


def test_another_key_and_an_extra_file(bench: Bench) -> None:
    bench.bundle()
    media.new_key(bench.place / "other.pem")
    other = bench.bundle(out=bench.place / "other", key=bench.place / "other.pem")
    with pytest.raises(BundleError, match="signature_invalid"):
        verify(bench.stick, other / "vendor.pub")
    (bench.stick / "extra").touch()
    with pytest.raises(BundleError, match="file_unlisted"):
        verify(bench.stick)
