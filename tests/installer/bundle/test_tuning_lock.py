"""Hashes of torch's wheels for the processor: added to the lock, of the right wheels only."""

import os
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from installer.bundle import tuning_lock, tuning_set
from installer.bundle.cache import sha256_file
from installer.bundle.locks import read_lock
from installer.bundle.steps import BundleError
from installer.bundle.tuning_lock import add, with_hashes
from installer.bundle.tuning_set import SETS
from tests.conftest import CHECKOUT, need_tool
from tests.guide_blocks import block
from tests.installer.bundle.wheel_files import write_wheel

KNOWN = "a" * 64
LOCK = f"""\
# made by hand
sympy==1.14.0 \\
    --hash=sha256:{"b" * 64}
    # via torch
torch==2.0+cpu \\
    --hash=sha256:{KNOWN}
    # via appliance
typing-extensions==4.0 \\
    --hash=sha256:{"c" * 64}
    # via torch
"""


def torch(place: Path, tag: str, version: str = "2.0+cpu", body: str = "torch/a.py") -> Path:
    name = f"torch-{version}-{tag}.whl"
    return write_wheel(place / name, body, name="torch", version=version)


@pytest.fixture
def lock(tmp_path: Path) -> Path:
    path = tmp_path / "lock-tune.txt"
    path.write_text(LOCK)
    return path


def test_the_hashes_of_each_python_are_added_and_all_else_stays(tmp_path: Path, lock: Path) -> None:
    taken = [
        torch(tmp_path, "cp312-cp312-manylinux_2_28_x86_64", body="torch/b.py"),
        torch(tmp_path, "cp313-cp313-linux_x86_64", body="torch/c.py"),
    ]
    for tag in ("cp314-cp314-linux_x86_64", "cp313-cp313t-linux_x86_64", "cp313-cp313-win_amd64",
                "cp313-cp313-manylinux_2_28_aarch64"):  # fmt: skip
        torch(tmp_path, tag)
    torch(tmp_path, "cp313-cp313-linux_x86_64", version="2.1+cpu")
    write_wheel(tmp_path / "sympy-2.0-py3-none-any.whl", name="sympy", version="2.0")
    assert [wheel.file for wheel in add(tmp_path, lock)] == [path.name for path in taken]
    hashes = {entry.name: entry.hashes for entry in read_lock(lock)}
    assert hashes["torch"] == {KNOWN, *map(sha256_file, taken)}
    before, after = LOCK.splitlines(), lock.read_text().splitlines()
    assert [line for line in after if line in before] == before or len(after) == len(before) + 2
    again = lock.read_text()
    add(tmp_path, lock)
    assert lock.read_text() == again


def test_nothing_that_fits_is_a_refusal_and_changes_nothing(tmp_path: Path, lock: Path) -> None:
    torch(tmp_path, "cp313-cp313-linux_x86_64", version="2.1+cpu")
    with pytest.raises(BundleError, match=r"no wheel of torch 2\.0\+cpu for cp311, cp312, cp313"):
        add(tmp_path, lock)
    assert lock.read_text() == LOCK


def test_a_wheel_whose_metadata_is_of_another_version_is_refused(
    tmp_path: Path, lock: Path
) -> None:
    write_wheel(
        tmp_path / "torch-2.0+cpu-cp313-cp313-linux_x86_64.whl", name="torch", version="1.9"
    )
    with pytest.raises(BundleError, match=r"its metadata is of torch 1\.9"):
        add(tmp_path, lock)
    assert lock.read_text() == LOCK


def test_a_lock_that_names_torch_not_once_is_refused() -> None:
    for text in ("", LOCK + LOCK):
        with pytest.raises(BundleError, match="not once"):
            with_hashes(text, [KNOWN])


def test_the_guide_locks_the_wheels_of_a_directory_and_installs_from_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (lock := tmp_path / "lock-tune.txt").write_text(SETS[""].read_text())
    version = next(entry.version for entry in read_lock(lock) if entry.name == "torch")
    wheel = torch(tmp_path, "cp313-cp313-linux_x86_64", version)
    monkeypatch.setitem(SETS, "", lock)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    asked: list[str] = []

    def run_pip(*given: str, **_: object) -> None:
        asked.extend(given)
        Path(given[2]).mkdir(parents=True)

    monkeypatch.setattr(tuning_set, "run_pip", run_pip)
    for line in block("tuning-guide", "make lock-torch").splitlines():
        typed = shlex.split(line.replace("DIRECTORY", str(tmp_path)), comments=True)
        recipe = subprocess.run(
            [need_tool("make"), "-n", "--no-print-directory", "-C", CHECKOUT, *typed[1:]],
            env={"PATH": os.environ["PATH"]}, capture_output=True, text=True, check=True,
        ).stdout.splitlines()[-1]  # fmt: skip
        program = shlex.split(recipe.replace(".venv/tuning", str(tmp_path / "tuning")))
        module = {f"installer.bundle.{one.__name__.rpartition('.')[2]}": one
                  for one in (tuning_lock, tuning_set)}[program[2]]  # fmt: skip
        monkeypatch.setattr(sys, "argv", program[2:])
        module.main()
    hashes = {entry.name: entry.hashes for entry in read_lock(lock)}
    assert sha256_file(wheel) in hashes["torch"]
    assert asked[-4:] == ["-r", str(lock), "--find-links", str(tmp_path)]
    assert (tmp_path / "tuning" / "complete").is_file()


def test_the_lock_of_the_repository_has_the_form_that_is_written() -> None:
    text = SETS[""].read_text()
    assert with_hashes(text, []) == text
