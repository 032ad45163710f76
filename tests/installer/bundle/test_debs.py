"""The lock of Debian packages."""

from pathlib import Path

import pytest

from installer.bundle import debs
from installer.bundle.steps import BundleError


def test_the_lock_names_every_package_once() -> None:
    packages = debs.read()
    assert [package.name for package in packages] == list(debs.PACKAGES)
    assert all(package.purl.startswith("pkg:deb/debian/") for package in packages)


def test_versions_with_epochs_and_pluses_have_purls() -> None:
    package = debs.Package("libstdc++6", "1:1.3+x", "0" * 64)
    assert package.purl == "pkg:deb/debian/libstdc%2B%2B6@1%3A1.3%2Bx?arch=amd64"


@pytest.mark.parametrize("line", ["libc6", "libc6=1", "libc6=1 --hash=sha256:12", "; rm -rf /"])
def test_a_line_without_hash_is_refused(tmp_path: Path, line: str) -> None:
    (tmp_path / "lock").write_text(f"# comment\n{line}\n")
    with pytest.raises(BundleError, match="not a package"):
        debs.read(tmp_path / "lock")


def test_a_package_too_few_is_refused(tmp_path: Path) -> None:
    lines = debs.LOCK.read_text().splitlines()[:-1]
    (tmp_path / "lock").write_text("\n".join(lines))
    with pytest.raises(BundleError, match="does not lock"):
        debs.read(tmp_path / "lock")


def test_what_is_cached_is_hashed_again(tmp_path: Path) -> None:
    package = debs.Package("libc6", "0.0-nowhere", "0" * 64)
    (tmp_path / f"{package.sha256}.deb").write_bytes(b"planted")
    assert not debs._is(tmp_path / f"{package.sha256}.deb", package)
