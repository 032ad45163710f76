"""Small files: whole at any instant; test_trusted_file.py kills at each step."""

import stat
from pathlib import Path

import pytest

from appliance.trust.bytes import durable
from tests.trust.forge import watch_syncs

pytestmark = pytest.mark.durable


def test_the_bytes_are_on_the_disk_before_the_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced = watch_syncs(monkeypatch)
    durable.replace(tmp_path / "a", b"1")
    durable.replace(tmp_path / "a", b"2", 0o644)
    assert synced == ["a.part", tmp_path.name] * 2
    assert (tmp_path / "a").read_bytes() == b"2"
    assert stat.S_IMODE((tmp_path / "a").stat().st_mode) == 0o644


def test_nothing_is_written_through_a_link(tmp_path: Path) -> None:
    (tmp_path / "other").write_bytes(b"x")
    for name in ("a", "a.part"):
        (tmp_path / name).symlink_to("other")
    durable.replace(tmp_path / "a", b"1")
    assert (tmp_path / "other").read_bytes() == b"x"
    assert not (tmp_path / "a").is_symlink()
    assert [p.name for p in sorted(tmp_path.iterdir())] == ["a", "other"]


def test_a_new_file_takes_nobodys_name(tmp_path: Path) -> None:
    durable.create(tmp_path / "a", b"1")
    (tmp_path / "b").symlink_to("nowhere")
    for name in ("a", "b"):
        with pytest.raises(FileExistsError):
            durable.create(tmp_path / name, b"2")
    assert (tmp_path / "a").read_bytes() == b"1"


def test_a_disk_that_refuses_leaves_the_old_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    durable.replace(tmp_path / "a", b"1")
    with monkeypatch.context() as patched:
        patched.setattr("os.fsync", lambda fd: (_ for _ in ()).throw(OSError("full")))
        with pytest.raises(OSError, match="full"):
            durable.replace(tmp_path / "a", b"2")
    assert [(p.name, p.read_bytes()) for p in tmp_path.iterdir()] == [("a", b"1")]
