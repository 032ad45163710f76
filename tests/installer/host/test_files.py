"""Durable files."""

import ctypes
import errno
from pathlib import Path

import pytest

from installer.host import files
from installer.host.problems import InstallError


def test_a_file_is_replaced_with_its_mode(tmp_path: Path) -> None:
    path = tmp_path / "f"
    files.write_file(path, b"one", 0o600)
    files.write_file(path, b"two", 0o755)
    assert path.read_bytes() == b"two"
    assert path.stat().st_mode & 0o777 == 0o755
    assert list(tmp_path.iterdir()) == [path]


def test_a_leftover_of_a_killed_write_is_no_hindrance(tmp_path: Path) -> None:
    (tmp_path / "f.part").write_text("half")
    files.write_file(tmp_path / "f", b"whole")
    (tmp_path / "l.part").symlink_to("half")
    files.point_link(tmp_path / "l", "f")
    files.point_link(tmp_path / "l", "f")
    assert (tmp_path / "l").read_bytes() == b"whole"


def test_a_write_that_fails_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "f").write_text("as it was")

    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(OSError, match="No space"):
        files.write_file(tmp_path / "f", b"new")
    assert [path.read_text() for path in tmp_path.iterdir()] == ["as it was"]


def test_removing_follows_no_link(tmp_path: Path) -> None:
    (tmp_path / "kept").mkdir()
    (tmp_path / "kept" / "f").touch()
    (tmp_path / "link").symlink_to("kept")
    files.remove(tmp_path / "link")
    files.remove(tmp_path / "absent")
    assert (tmp_path / "kept" / "f").exists()
    files.remove(tmp_path / "kept")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("number", "code"),
    [(errno.ENOSPC, "disk_full"), (errno.EDQUOT, "disk_full"), (errno.EROFS, "mount_readonly")],
)
def test_a_full_disk_is_explained(number: int, code: str) -> None:
    with pytest.raises(InstallError) as refused, files.explained(Path("/x")):
        raise OSError(number, "no")
    assert refused.value.code == code


def test_other_errors_pass(tmp_path: Path) -> None:
    with pytest.raises(PermissionError), files.explained(tmp_path):
        raise PermissionError(errno.EACCES, "no")


def test_hashes_from_cache_and_from_disk_agree(tmp_path: Path) -> None:
    path = tmp_path / "f"
    path.write_bytes(b"abc")
    wanted = ("ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad", 3)
    assert files.hash_file(path) == files.hash_file(path, from_disk=True) == wanted
    files.sync_tree(tmp_path)
    files.sync_directory(tmp_path)


@pytest.mark.parametrize("number", [0, errno.EINVAL])
def test_directories_change_places(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    for name in ("one", "other"):
        (tmp_path / name).mkdir()
        (tmp_path / name / name).touch()
    if number:
        libc = type("L", (), {"renameat2": staticmethod(lambda *_: -1)})
        monkeypatch.setattr(ctypes, "CDLL", lambda *_, **__: libc)
        monkeypatch.setattr(ctypes, "get_errno", lambda: number)
    files.exchange(tmp_path / "one", tmp_path / "other")
    assert (tmp_path / "one" / "other").exists() and (tmp_path / "other" / "one").exists()
    with pytest.raises(OSError, match="absent"):
        files.exchange(tmp_path / "one", tmp_path / "absent")
