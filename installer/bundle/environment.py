"""Makes the virtual environment of the checkout from the locks, with `--require-hashes`.

A stamp makes a second run cost nothing; an environment of another Python is left as it is.
"""

import argparse
import hashlib
import subprocess
import sys
import venv
from pathlib import Path
from typing import Final

from installer.bundle.locks import LOCKS, read_lock
from installer.bundle.steps import BundleError, command_line, run_step, say

LOCK_FILES: Final = ("lock-build.txt", "lock-runtime.txt", "lock-dev.txt")
STAMP: Final = "locks.sha256"


def key(checkout: Path) -> str:
    """SHA-256 over everything that decides the environment's contents."""
    digest = hashlib.sha256(sys.version.encode())
    for path in (*(LOCKS / name for name in LOCK_FILES), checkout / "pyproject.toml"):
        digest.update(path.read_bytes())
    return digest.hexdigest()


def prepare(directory: Path, checkout: Path) -> None:
    """Bring the environment in `directory` to the state of the locks."""
    found = _python_of(directory)
    if found and found != sys.version:
        raise BundleError(
            f"{directory.name} has Python {found.split()[0]}, not {sys.version.split()[0]}, and"
            f" other programs may use it. `make PYTHON={directory.name}/bin/python` uses it, too;"
            " `make clean` removes it, and then another Python can take its place."
        )
    wanted = key(checkout)
    stamp = directory / STAMP
    if stamp.is_file() and stamp.read_text() == wanted and found:
        return
    stamp.unlink(missing_ok=True)
    if not found:
        say(f"Making {directory.name} with Python {sys.version.split()[0]}")
        venv.create(directory, clear=True, with_pip=True, symlinks=True)
    packages = {locked.name for name in LOCK_FILES for locked in read_lock(LOCKS / name)}
    say(f"Installing {len(packages)} locked packages into {directory.name}")
    locks = [part for name in LOCK_FILES for part in ("-r", str(LOCKS / name))]
    _pip(directory, "install", "--only-binary", ":all:", "--require-hashes", *locks)
    _pip(directory, "install", "--no-deps", "--no-build-isolation", "--editable", str(checkout))
    stamp.write_text(wanted)


def _python_of(directory: Path) -> str | None:
    """The version of the environment's python; None where none runs, with pip."""
    try:
        done = subprocess.run(
            [directory / "bin" / "python", "-c", "import sys, pip; print(sys.version)"],
            capture_output=True,
            text=True,
            check=True,
        )
    except (OSError, subprocess.CalledProcessError):
        return None
    return done.stdout.strip()


def _pip(directory: Path, *arguments: str) -> None:
    run_step(
        [str(directory / "bin" / "python"), "-m", "pip", "--disable-pip-version-check", *arguments],
        what="pip install",
        log=directory / "pip.log",
    )


def main() -> None:
    """Command line: make or complete the environment in DIRECTORY."""
    parser = argparse.ArgumentParser(prog="python -m installer.bundle.environment")
    parser.add_argument("directory", type=Path)
    directory = parser.parse_args().directory.absolute()
    try:
        prepare(directory, LOCKS.parent)
    except (OSError, subprocess.CalledProcessError) as error:
        raise BundleError(f"cannot make {directory}: {error}") from error


if __name__ == "__main__":
    command_line(main)
