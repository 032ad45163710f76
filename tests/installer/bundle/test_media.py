"""Writing a bundle: reproducible, for FAT, checkable with every host's tools."""

import subprocess
from pathlib import Path

import pytest

from installer.bundle import media
from installer.bundle.media import Source
from installer.bundle.steps import BundleError
from tests.installer.bench import Bench


def contents(directory: Path) -> dict[str, bytes]:
    return {
        str(p.relative_to(directory)): p.read_bytes() for p in directory.rglob("*") if p.is_file()
    }


def test_two_builds_are_bit_identical(bench: Bench) -> None:
    first = contents(bench.bundle(out=bench.place / "a"))
    assert contents(bench.bundle(out=bench.place / "b")) == first
    assert "MANIFEST.sig" in first
    assert contents(bench.bundle("1.1", 2, out=bench.place / "c")) != first


def test_what_an_admin_types_first(bench: Bench) -> None:
    stick = bench.bundle()
    command = (
        "openssl dgst -sha384 -verify vendor.pub -signature MANIFEST.sig MANIFEST.sha256"
        " && sha256sum -c --strict --quiet MANIFEST.sha256"
    )
    assert subprocess.run(["sh", "-c", command], cwd=stick, capture_output=True).returncode == 0
    (stick / "install.sh").write_text("#!/bin/sh\n")
    assert subprocess.run(["sh", "-c", command], cwd=stick, capture_output=True).returncode != 0


def test_files_are_small_plain_and_without_links(bench: Bench) -> None:
    body = bench.place / "body"
    body.write_bytes(b"0123456789" * 1000)
    stick = bench.bundle(extra=(Source("m/x", "model", body),), chunk=3000)
    chunks = sorted((stick / "blobs").glob("*"))
    assert max(path.stat().st_size for path in chunks) <= 3000
    for path in stick.rglob("*"):
        assert not path.is_symlink()
        assert path.is_dir() or path.stat().st_mode & 0o111 == 0


def test_an_earlier_bundle_is_replaced_whole(bench: Bench) -> None:
    stick = bench.bundle()
    (stick / "stale").touch()
    bench.bundle("2.0", 2)
    assert not (stick / "stale").exists()


def test_a_key_that_does_not_sign(bench: Bench) -> None:
    bench.key.write_text("no key")
    with pytest.raises(BundleError, match="openssl"):
        bench.bundle()
    assert not bench.stick.exists()


def test_new_keys_are_private(tmp_path: Path) -> None:
    media.new_key(tmp_path / "k" / "vendor.pem")
    assert (tmp_path / "k" / "vendor.pem").stat().st_mode & 0o777 == 0o600
