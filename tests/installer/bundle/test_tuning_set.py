"""The tuning set: named by its lock, whole or missing, with nothing that starts by itself."""

from pathlib import Path

import pytest

from installer.bundle import tuning_set
from installer.bundle.locks import LOCKS, read_lock
from installer.bundle.steps import BundleError
from installer.bundle.tuning_set import SETS
from installer.bundle.wheelhouse import TARGETS, Target, select
from installer.host import facts
from installer.host.facts import DRIVERS


def test_the_set_is_named_by_its_lock() -> None:
    assert tuning_set.key(b"a") == tuning_set.key(b"a") != tuning_set.key(b"b")


def test_the_lock_has_torch_for_the_processor_alone() -> None:
    locked = {entry.name: entry.version for entry in read_lock(SETS[""])}
    assert locked["torch"].endswith("+cpu")
    assert not [name for name in locked if name.startswith(("nvidia", "cuda", "triton"))]


@pytest.mark.parametrize("target", TARGETS.values(), ids=str)
def test_the_lock_for_cuda12_has_torch_with_the_libraries_of_cuda_12(target: Target) -> None:
    locked = {entry.name: entry for entry in select(read_lock(SETS["cuda12"]), target)}
    nvidia = {name for name in locked if name.startswith("nvidia")}
    assert {"nvidia-cublas-cu12", "nvidia-cuda-runtime-cu12", "nvidia-cudnn-cu12"} <= nvidia
    assert {name for name in nvidia if not name.endswith("-cu12")} == set()
    assert "+" not in locked["torch"].version


def test_each_set_for_gpus_is_for_a_driver_that_the_host_can_tell() -> None:
    assert set(SETS) - {""} <= set(dict(DRIVERS))
    assert {lock.parent for lock in SETS.values()} == {LOCKS}


@pytest.mark.parametrize(
    ("driver", "said"),
    [
        (None, "no NVIDIA driver is loaded on this host"),
        (470, r"needs the NVIDIA driver 525 or newer; here is 470"),
        (525, "pip install failed"),  # the driver is enough; here the index is not there
    ],
)
def test_a_set_for_gpus_is_refused_before_it_is_fetched_where_no_driver_can_run_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, driver: int | None, said: str
) -> None:
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_CONFIG_FILE", "/dev/null")
    monkeypatch.setattr(facts, "driver", lambda: driver)
    with pytest.raises(BundleError, match=said) as refused:
        tuning_set.obtain(tmp_path / "cache", tmp_path, "cuda12")
    assert ("without GPU=" in str(refused.value)) is (driver != 525)
    assert "TORCH_WHEELS" not in str(refused.value)
    assert not list(tmp_path.rglob("complete"))
    assert (tmp_path / "cache").exists() is (driver == 525)


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
    monkeypatch.setattr("sys.version_info", (3, 14, 0, "final", 0))
    with pytest.raises(BundleError, match="no wheels for cp314, only for cp311, cp312, cp313"):
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
