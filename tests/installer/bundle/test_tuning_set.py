"""The tuning set: named by its lock, whole or not there, with nothing that starts by itself."""

from pathlib import Path

import pytest

from installer.bundle import tuning_set
from installer.bundle.locks import read_lock
from installer.bundle.steps import BundleError


def test_the_set_is_named_by_its_lock() -> None:
    assert tuning_set.key(b"a") == tuning_set.key(b"a") != tuning_set.key(b"b")


def test_the_lock_has_torch_for_the_processor_alone() -> None:
    locked = {entry.name: entry.version for entry in read_lock(tuning_set.LOCK)}
    assert locked["torch"].endswith("+cpu")
    assert not [name for name in locked if name.startswith(("nvidia", "cuda", "triton"))]


@pytest.mark.skipif("sys.version_info[:2] != (3, 11)")
def test_a_refusal_of_pip_says_what_to_carry_in_and_leaves_no_set(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_CONFIG_FILE", "/dev/null")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path))
    with pytest.raises(BundleError, match="TORCH_WHEELS=DIRECTORY"):
        tuning_set.obtain(tmp_path / "cache", tmp_path)
    assert not list(tmp_path.rglob("complete"))


def test_another_python_is_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(tuning_set, "PYTHON", (3, 9))
    with pytest.raises(BundleError, match=r"Python 3\.9"):
        tuning_set.obtain(tmp_path)


def test_what_python_would_run_at_its_start_is_removed(tmp_path: Path) -> None:
    for name in ("a.pth", "sitecustomize.py", "torch.py"):
        (tmp_path / name).touch()
    assert tuning_set.without_starters(tmp_path) == ["a.pth", "sitecustomize.py"]
    assert [path.name for path in tmp_path.iterdir()] == ["torch.py"]


def test_the_link_is_replaced_whole(tmp_path: Path) -> None:
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        tuning_set.link(tmp_path / "tuning", tmp_path / name)
        assert (tmp_path / "tuning").resolve() == tmp_path / name
