"""The environment follows the locks, and costs nothing when they did not change."""

import subprocess
import sys
from importlib import metadata
from pathlib import Path
from typing import NoReturn

import pytest

from installer.bundle import environment
from installer.bundle.environment import LOCK_FILES, STAMP, key, prepare
from installer.bundle.locks import LOCKS, canonical, read_lock


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
