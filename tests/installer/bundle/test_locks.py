"""Locks pin every requirement by version and hash, or are refused."""

from pathlib import Path

import pytest

from installer.bundle.locks import LOCKS, canonical, read_lock, wheel_name
from installer.bundle.steps import BundleError

HASH = f"--hash=sha256:{'0' * 64}"


@pytest.mark.parametrize("path", sorted(LOCKS.glob("lock-*.txt")), ids=lambda path: path.name)
def test_ours_are_read_whole(path: Path) -> None:
    locked = read_lock(path)
    assert sum(len(entry.hashes) for entry in locked) == path.read_text().count("--hash=sha256:")
    assert len({(entry.name, entry.marker) for entry in locked}) == len(locked)


def test_markers_and_names(tmp_path: Path) -> None:
    path = tmp_path / "lock.txt"
    path.write_text(f"# one\nA_b.c==1.0 ; python_version < '3.12' \\\n    {HASH}\n    # via x\n")
    (entry,) = read_lock(path)
    assert (entry.name, entry.version, entry.marker) == ("a-b-c", "1.0", "python_version < '3.12'")
    assert entry.hashes == {"0" * 64}


@pytest.mark.parametrize(
    "line",
    [
        "a==1.0",
        f"a>=1.0 {HASH}",
        "a==1.0 --hash=md5:00",
        f"a @ https://example.org/a.whl {HASH}",
        "--index-url https://example.org/",
        f"a==1.0 {HASH} --no-deps",
    ],
)
def test_anything_else_is_refused(tmp_path: Path, line: str) -> None:
    (tmp_path / "lock.txt").write_text(f"b==2 {HASH}\n{line}\n")
    with pytest.raises(BundleError, match="not one version with hashes"):
        read_lock(tmp_path / "lock.txt")


def test_wheel_names() -> None:
    name = wheel_name(Path("Typing_Ext-4.1-1-py3-none-any.whl"))
    assert (name.name, name.version, name.python, name.platform) == (
        *("typing-ext", "4.1", "py3", "any"),
    )
    assert canonical("A.-_b") == "a-b"
    for other in ("a-1.0.tar.gz", "a-1.0.whl", "a.whl"):
        with pytest.raises(BundleError, match="not a wheel"):
            wheel_name(Path(other))
