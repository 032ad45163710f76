"""The environment follows the locks, at no cost when they did not change."""

import subprocess
import sys
from importlib import metadata
from pathlib import Path
from typing import NoReturn

import pytest

from installer.bundle import environment
from installer.bundle.environment import LOCK_FILES, STAMP, key, prepare
from installer.bundle.locks import LOCKS, canonical, read_lock
from installer.bundle.steps import BundleError
from tests.conftest import CHECKOUT


@pytest.fixture
def no_pip(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> NoReturn:
        pytest.fail("a program was started")

    monkeypatch.setattr(environment, "run_step", refuse)


def test_nothing_to_do(no_pip: None, tmp_path: Path) -> None:
    (tmp_path / STAMP).write_text(key(LOCKS.parent))
    (tmp_path / "bin").mkdir()
    python = tmp_path / "bin" / "python"
    python.write_text(f'#!/bin/sh\nexec {sys.executable} "$@"\n')
    python.chmod(0o755)
    prepare(tmp_path, LOCKS.parent)


@pytest.mark.parametrize("changed", [*LOCK_FILES, "pyproject.toml"])
def test_each_file_changes_the_key(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, changed: str
) -> None:
    for name in LOCK_FILES:
        (tmp_path / name).write_bytes((LOCKS / name).read_bytes())
    (tmp_path / "pyproject.toml").write_text("x")
    monkeypatch.setattr(environment, "LOCKS", tmp_path)
    before = key(tmp_path)
    assert key(tmp_path) == before
    (tmp_path / changed).write_text("y")
    assert key(tmp_path) != before


def test_this_environment_is_the_locked_one() -> None:
    installed = {canonical(d.metadata["Name"]): d.version for d in metadata.distributions()}
    for name in LOCK_FILES:
        for locked in read_lock(LOCKS / name):
            if not locked.marker:
                assert installed[locked.name] == locked.version


@pytest.mark.slow
def test_made_from_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    started: list[tuple[str, ...]] = []
    pip = environment._pip

    def record(directory: Path, *arguments: str) -> None:
        started.append(arguments)
        pip(directory, *arguments)

    monkeypatch.setattr(environment, "_pip", record)
    prepare(tmp_path / "venv", LOCKS.parent)
    assert "--require-hashes" in started[0]
    python = tmp_path / "venv" / "bin" / "python"
    subprocess.run([python, "-m", "pip", "check"], check=True)
    subprocess.run([python, "-c", "import appliance, pytest, fastapi"], check=True, cwd=tmp_path)
    prepare(tmp_path / "venv", LOCKS.parent)
    assert len(started) == 2


def of_another_python(directory: Path) -> Path:
    """An environment of an older Python, and a file that somebody uses."""
    (directory / "bin").mkdir(parents=True)
    python = directory / "bin" / "python"
    python.write_text("#!/bin/sh\necho '3.11.1 (main, Dec 6 2022) [GCC 12]'\n")
    python.chmod(0o755)
    (directory / "in-use").touch()
    return directory


def test_an_environment_of_another_python_is_left_as_it_is(no_pip: None, tmp_path: Path) -> None:
    directory = of_another_python(tmp_path / ".venv")
    with pytest.raises(BundleError, match=r"\.venv has Python 3\.11\.1, not .*make clean"):
        prepare(directory, LOCKS.parent)
    assert (directory / "in-use").exists()


def test_what_it_says_to_do_is_possible(tmp_path: Path) -> None:
    """`make PYTHON=.venv/bin/python` passes the first look of every target."""
    done = subprocess.run(
        ["make", "-C", CHECKOUT, "preflight", f"PYTHON={sys.executable}"],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout


def test_an_environment_that_does_not_run_is_made_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    directory = of_another_python(tmp_path / ".venv")
    (directory / "bin" / "python").write_text("#!/nowhere/python\n")
    monkeypatch.setattr(environment, "_pip", lambda *_: None)
    prepare(directory, LOCKS.parent)
    assert not (directory / "in-use").exists()
