"""The listing of a tree."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from installer.host import tree
from installer.host.problems import InstallError


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "t" / "d").mkdir(parents=True)
    (tmp_path / "t" / "d" / "f").write_text("x")
    (tmp_path / "t" / "l").symlink_to("d/f")
    for path in (tmp_path / "t" / "d", tmp_path / "t" / "d" / "f"):
        path.chmod(0o755)
    return tmp_path / "t"


def test_the_format(root: Path) -> None:
    digest = "2d711642b726b04401627ca9fbac32f5c8530fb1903cc4db02258717921a4881"
    assert tree.listing(root) == f"d 755 d\nf 755 1 {digest} d/f\nl d/f l\n"


CHANGES: list[Callable[[Path], object]] = [
    lambda r: (r / "d" / "f").write_text("y"),
    lambda r: (r / "d" / "f").chmod(0o644),
    lambda r: (r / "d").chmod(0o700),
    lambda r: (r / "new").touch(),
    lambda r: (r / "d" / "f").unlink(),
    lambda r: (r / "l").rename(r / "m"),
    lambda r: (r / "a\nb").touch(),
    lambda r: os.mkfifo(r / "pipe"),
]


@pytest.mark.parametrize("change", CHANGES)
def test_every_change_is_noticed(root: Path, change: Callable[[Path], object]) -> None:
    wanted = tree.listing(root)
    tree.check(root, wanted)
    change(root)
    with pytest.raises(InstallError) as refused:
        tree.check(root, wanted, "release_changed")
    assert refused.value.code in ("release_changed", "tree_differs")


def test_times_are_not_part_of_it(root: Path) -> None:
    wanted = tree.listing(root)
    os.utime(root / "d" / "f", (1, 1))
    tree.check(root, wanted)


def test_a_name_cannot_imitate_another_line(root: Path) -> None:
    (root / "b\nd 755 c").mkdir()
    assert "d 755 c\n" not in tree.listing(root)
    assert len(tree.listing(root).splitlines()) == 4


def test_what_systemd_mounts_onto_may_be_there_and_must_be_empty(tmp_path: Path) -> None:
    (tmp_path / "f").write_text("signed")
    wanted = tree.listing(tmp_path)
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc" / "passwd").touch()
    with pytest.raises(InstallError, match="etc, etc/passwd"):
        tree.check(tmp_path, wanted)
    empty = {"etc", "etc/passwd", "f"}
    tree.check(tmp_path, wanted, empty=empty)
    for name in ("etc/passwd", "etc/more"):
        (tmp_path / name).write_text("root::0:0")
        with pytest.raises(InstallError, match=name):
            tree.check(tmp_path, wanted, empty=empty)
        (tmp_path / name).write_text("")
        (tmp_path / "etc" / "more").unlink(missing_ok=True)
    (tmp_path / "f").write_text("")  # what is listed has its bytes
    with pytest.raises(InstallError, match="f"):
        tree.check(tmp_path, wanted, empty=empty)
    (tmp_path / "f").unlink()
    with pytest.raises(InstallError, match="f"):
        tree.check(tmp_path, wanted, empty=empty)
