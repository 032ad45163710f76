"""Models that a worker may load, and files it mapped."""

import fcntl
import mmap
import os
from pathlib import Path

import pytest

from appliance.engine import binding
from appliance.errors import StateRefused

SEALS = fcntl.F_SEAL_SEAL | fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_WRITE
STRANGER = 54_321


def refusal(fd: int, *, on_disk: bool) -> str:
    with pytest.raises(StateRefused) as caught:
        binding.check_descriptor(fd, on_disk=on_disk)
    return caught.value.code


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "model"
    path.write_bytes(b"GGUF" * 2048)
    path.chmod(0o444)
    return path


def test_sealed_memory_is_taken_and_anything_less_is_not(file: Path) -> None:
    fd = os.memfd_create("model", os.MFD_ALLOW_SEALING)
    assert refusal(fd, on_disk=False) == "not_sealed"
    fcntl.fcntl(fd, fcntl.F_ADD_SEALS, SEALS)
    binding.check_descriptor(fd, on_disk=False)
    os.close(fd)
    plain = os.open(file, os.O_RDONLY)
    assert refusal(plain, on_disk=False) == "not_sealed"
    os.close(plain)


def test_a_file_is_taken_only_if_this_process_could_not_write_it(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fd = os.open(file, os.O_RDONLY)
    monkeypatch.setattr(os, "geteuid", lambda: STRANGER)
    binding.check_descriptor(fd, on_disk=True)
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    assert refusal(fd, on_disk=True) == "store_not_separated"
    monkeypatch.setattr(os, "geteuid", lambda: file.stat().st_uid)
    assert refusal(fd, on_disk=True) == "store_not_separated"
    monkeypatch.setattr(os, "geteuid", lambda: STRANGER)
    file.chmod(0o644)
    assert refusal(fd, on_disk=True) == "store_not_separated"
    writing = os.open(file, os.O_RDWR)
    file.chmod(0o444)
    assert refusal(writing, on_disk=True) == "store_not_separated"
    os.close(fd)
    os.close(writing)


def test_files_that_are_mapped_meanwhile_are_seen(file: Path) -> None:
    mappings = binding.Mappings()
    with file.open("rb") as opened, mmap.mmap(opened.fileno(), 0, access=mmap.ACCESS_READ):
        assert mappings.added() == {file.stat().st_ino}
    assert binding.Mappings().added() == frozenset()


def test_the_lines_of_the_kernel() -> None:
    maps = (
        "7f0000000000-7f0000001000 r--s 00000000 00:01 4711    /memfd:model (deleted)\n"
        "7f0000002000-7f0000003000 rw-p 00000000 00:00 0 \n"
        "7f0000004000-7f0000005000 r-xp 00000000 08:01 12      /usr/lib/a name with blanks.so\n"
    )
    assert binding.mapped_inodes(maps) == {4711, 12}
    assert binding.mapped_inodes("") == frozenset()
