"""Files that are no wheel, or run code at every start, are refused; others are read."""

import zipfile
from pathlib import Path

import pytest

from installer.bundle.cache import sha256_file
from installer.bundle.steps import BundleError
from installer.bundle.wheel_facts import name_and_version, read_wheel
from tests.installer.bundle.wheel_files import write_wheel

FILE = "a-1.0-py3-none-any.whl"


@pytest.mark.parametrize(
    "member", ["a/x.py", "a/sitecustomize.py", "a-1.0.data/scripts/sitecustomize.py", "a/pth.py"]
)
def test_a_plain_wheel_is_read(tmp_path: Path, member: str) -> None:
    path = write_wheel(tmp_path / FILE, member)
    facts = read_wheel(path)
    assert (facts.name, facts.version, facts.licence) == ("a", "1.0", "MIT")
    assert facts.sha256 == sha256_file(path)
    assert facts.part.purl == f"pkg:pypi/a@1.0?file_name={FILE}"


@pytest.mark.parametrize(
    "member",
    [
        "x.pth",
        "a/deep/X.PTH",
        "a-1.0.data/purelib/x.pth",
        "a-1.0.data/data/lib/x.Pth",
        "sitecustomize.py",
        "usercustomize/__init__.py",
        "a-1.0.data/platlib/sitecustomize.cpython-313-x86_64-linux-gnu.so",
    ],
)
def test_what_runs_at_every_start_is_refused(tmp_path: Path, member: str) -> None:
    with pytest.raises(BundleError, match="runs at every start"):
        read_wheel(write_wheel(tmp_path / FILE, member))


@pytest.mark.parametrize("member", ["../x.py", "/etc/x", "a/../../x.py", "..\\x.py"])
def test_a_member_outside_is_refused(tmp_path: Path, member: str) -> None:
    with pytest.raises(BundleError, match="would be outside"):
        read_wheel(write_wheel(tmp_path / FILE, member))


@pytest.mark.parametrize("file", ["a-1.0.tar.gz", "a-1.0.zip"])
def test_an_sdist_is_refused_by_name(file: str) -> None:
    with pytest.raises(BundleError, match="is an sdist, not a wheel"):
        name_and_version(file)


@pytest.mark.parametrize("file", ["a-1.0.whl", "a.whl", "a-1.0-py3-none-any.egg", "a"])
def test_other_files_are_refused(file: str) -> None:
    with pytest.raises(BundleError, match="is not a wheel"):
        name_and_version(file)


def test_an_sdist_under_the_name_of_a_wheel_is_refused(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / FILE, "w") as archive:
        archive.writestr("a-1.0/PKG-INFO", "Name: a\nVersion: 1.0\n")
    with pytest.raises(BundleError, match="0 files METADATA"):
        read_wheel(tmp_path / FILE)


@pytest.mark.parametrize(
    "metadata",
    ["", "Name: b\nVersion: 1.0\n", "Name: a\nVersion: 1.1\n", "\n\nName: a\nVersion: 1.0\n"],
)
def test_metadata_of_another_project_is_refused(tmp_path: Path, metadata: str) -> None:
    with pytest.raises(BundleError, match="its metadata is of"):
        read_wheel(write_wheel(tmp_path / FILE, metadata=metadata))


@pytest.mark.parametrize("data", [b"", b"PK\x03\x04" + b"\0" * 40, b"\x1f\x8b"])
def test_what_is_no_archive_is_refused(tmp_path: Path, data: bytes) -> None:
    (tmp_path / FILE).write_bytes(data)
    with pytest.raises(BundleError, match=FILE):
        read_wheel(tmp_path / FILE)


@pytest.mark.parametrize(
    ("lines", "licence"),
    [
        ("License-Expression: MIT OR Apache-2.0\nLicense: other", "MIT OR Apache-2.0"),
        ("Classifier: License :: OSI Approved :: BSD License\n", "BSD License"),
        ("Classifier: License :: OSI Approved\nLicense: BSD-3-Clause", "BSD-3-Clause"),
        ("License: " + "a whole text " * 20, ""),
        ("Keywords: none", ""),
    ],
)
def test_the_licence_is_what_the_metadata_says(tmp_path: Path, lines: str, licence: str) -> None:
    metadata = f"Metadata-Version: 2.4\nName: a\nVersion: 1.0\n{lines}\n"
    assert read_wheel(write_wheel(tmp_path / FILE, metadata=metadata)).licence == licence
