"""The runtime: its archive depends on its contents; a library from outside is refused."""

import os
import shutil
from pathlib import Path

import pytest

from installer.bundle import runtime
from installer.bundle.steps import BundleError


def test_the_archive_depends_on_contents_only(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / name / "d").mkdir(parents=True)
        (tmp_path / name / "d" / "f").write_text("x")
        (tmp_path / name / "l").symlink_to("d")
        runtime.pack(tmp_path / name, tmp_path / f"{name}.tar.gz")
        os.utime(tmp_path / name / "d" / "f", (1, 1))
    assert (tmp_path / "a.tar.gz").read_bytes() == (tmp_path / "b.tar.gz").read_bytes()


def test_a_binary_that_needs_the_hosts_library_is_refused(tmp_path: Path) -> None:
    (tmp_path / runtime.LIBRARIES).mkdir(parents=True)
    (tmp_path / "usr/lib64").mkdir(parents=True)
    runtime.check(tmp_path)
    (tmp_path / "usr/bin").mkdir()
    shutil.copy("/bin/sh", tmp_path / "usr/bin/sh")
    with pytest.raises(BundleError, match=r"usr/bin/sh needs .*libc\.so\.6"):
        runtime.check(tmp_path)
