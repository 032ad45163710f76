"""The tree of a release depends on its inputs only."""

import io
import os
import tarfile
from pathlib import Path

import pytest

from installer.host import assemble, tree
from installer.host.problems import InstallError
from tests.installer.bench import pack_runtime, pack_wheel


def made(tmp_path: Path, name: str) -> str:
    assemble.assemble(
        tmp_path / "runtime.tar.gz",
        [("appliance-1.0-py3-none-any.whl", tmp_path / "w")],
        tmp_path / name / "root",
        lambda _: None,
    )
    return tree.listing(tmp_path / name / "root")


@pytest.fixture
def inputs(tmp_path: Path) -> Path:
    pack_runtime(tmp_path / "runtime.tar.gz", tmp_path / "runtime")
    pack_wheel(tmp_path / "w", "1.0", 1, False)
    return tmp_path


def test_two_places_give_one_tree_with_byte_code(inputs: Path) -> None:
    first = made(inputs, "a")
    assert first == made(inputs, "another-longer-name")
    assert "__main__.cpython-" in first
    code = next((inputs / "a").rglob("__main__.*.pyc")).read_bytes()
    assert code[4:8] == b"\x01\0\0\0"  # hash-based, never checked (PEP 552)
    assert str(inputs).encode() not in code


def test_the_mask_of_the_admin_does_not_matter(inputs: Path) -> None:
    first = made(inputs, "a")
    before = os.umask(0o077)
    try:
        assert made(inputs, "b") == first
    finally:
        os.umask(before)


@pytest.mark.parametrize("name", ["../evil", "dev"])
def test_an_archive_that_leads_out_is_refused(tmp_path: Path, name: str) -> None:
    archive = tmp_path / "r.tar.gz"
    with tarfile.open(archive, "w:gz") as members:
        info = tarfile.TarInfo(name)
        info.size = 1
        if name == "dev":
            info.type, info.size = tarfile.CHRTYPE, 0
        members.addfile(info, io.BytesIO(b"x") if info.size else None)
    with pytest.raises(InstallError) as refused:
        assemble.unpack_runtime(archive, tmp_path / "deep" / "root")
    assert refused.value.code == "manifest_invalid"
    assert not list(tmp_path.rglob("evil"))


def test_a_cut_archive_is_refused(inputs: Path) -> None:
    data = (inputs / "runtime.tar.gz").read_bytes()
    (inputs / "cut").write_bytes(data[: len(data) // 2])
    with pytest.raises(InstallError):
        assemble.unpack_runtime(inputs / "cut", inputs / "root")


def test_a_python_that_does_not_run_is_told(tmp_path: Path) -> None:
    with pytest.raises(InstallError) as refused:
        assemble.run_python(tmp_path, "-V")
    assert refused.value.code == "step_failed"
