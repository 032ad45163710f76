"""The Makefile says what a machine lacks before it does anything."""

import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import CHECKOUT, need_tool
from tests.guide_blocks import block

PACKAGES = "apt-get install -y git make g++ python3-venv\n"


def make(*arguments: str, path: Path) -> subprocess.CompletedProcess[str]:
    env = {"PATH": str(path), "HOME": str(path)}
    command = [need_tool("make"), "-C", str(CHECKOUT), "--no-print-directory", *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False, env=env)


@pytest.fixture
def tools(tmp_path: Path) -> Path:
    """A directory for PATH that holds the tools of the set-up and nothing else."""
    for name in ("make", "git", "g++", "sh"):
        (tmp_path / name).symlink_to(need_tool(name))
    python(tmp_path, f'exec {sys.executable} "$@"')
    return tmp_path


def python(tools: Path, program: str) -> None:
    """Behaves like `program`, a shell script."""
    (tools / "python3").write_text(f"#!/bin/sh\n{program}\n")
    (tools / "python3").chmod(0o755)


def test_nothing_missing(tools: Path) -> None:
    done = make("preflight", path=tools)
    assert (done.returncode, done.stdout) == (0, ""), done.stderr


@pytest.mark.parametrize("name", ["git", "g++", "python3"])
def test_a_missing_tool(tools: Path, name: str) -> None:
    (tools / name).unlink()
    done = make("preflight", path=tools)
    assert (done.returncode, done.stdout) == (2, PACKAGES)


def test_python_without_venv(tools: Path) -> None:
    python(tools, f'case "$2" in *ensurepip*) exit 1;; esac; exec {sys.executable} "$@"')
    done = make("preflight", path=tools)
    assert (done.returncode, done.stdout) == (2, PACKAGES)


def test_python_out_of_range(tools: Path) -> None:
    python(tools, '[ "$1" != -V ] || echo Python 3.14.0; case "$2" in *version*) exit 1;; esac')
    done = make("preflight", path=tools)
    assert done.returncode == 2
    assert (
        done.stdout == "Python 3.11, 3.12 or 3.13 is needed, not Python 3.14.0: make PYTHON=...\n"
    )


@pytest.mark.parametrize(
    "target",
    ["demo", "serve", "check", "test", "test-swept", "test-all", "wheels", "lock", "wheel-cuda13"],
)
def test_every_target_looks_first(tools: Path, target: str) -> None:
    (tools / "git").unlink()
    done = make(target, path=tools)
    assert (done.returncode, done.stdout) == (2, PACKAGES)


def test_the_first_block_of_contributing_is_a_part_of_what_ci_runs(tools: Path) -> None:
    typed = [
        shlex.split(line, comments=True)
        for line in block("CONTRIBUTING", "make setup").splitlines()
    ]
    assert [program for program, *_ in typed] == ["make"] * len(typed)
    ran = (CHECKOUT / ".ci" / "run").read_text().splitlines()
    assert ".ci/environment make test" in ran
    recipes = {target: make("-n", target, path=tools).stdout for _, target in typed}
    assert list(recipes) == ["setup", "test-fast", "test"]
    for line in recipes["setup"].splitlines():
        assert line in recipes["test"] and line in recipes["test-fast"]
    assert "-m pytest" in recipes["test"] and "-m pytest" in recipes["test-fast"]
