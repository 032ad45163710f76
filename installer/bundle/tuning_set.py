"""Installs the tuning packages next to the product, from their own lock; never into the core.

Rules: the set is a directory of packages in the cache, complete or missing, with a link to it in
the environment; no file in it runs at the start of Python. pip finds torch for the processor alone
by its configuration or `--wheels`: it is not on the package index.
"""

import argparse
import hashlib
import shutil
import sys
from pathlib import Path
from typing import Final

from installer.bundle.cache import cache_root, exclusive
from installer.bundle.locks import LOCKS, read_lock
from installer.bundle.steps import BundleError, command_line, run_pip, say
from installer.bundle.wheelhouse import running
from installer.host import facts
from installer.host.problems import InstallError
from installer.host.tuning import check_driver

SETS: Final = {"": LOCKS / "lock-tune.txt", "cuda12": LOCKS / "lock-tune-cuda12.txt"}
"""Locks by the kind of GPU, as `installer.host.facts.DRIVERS` names them; "" for the processor."""
TORCH: Final = "torch"
_COMPLETE: Final = "complete"
_MISSING: Final = """\
The tuning set was not installed. torch's build for the processor is not on the package index:
put the wheel torch-{version} for this Python into a directory and run
`make tune-setup TORCH_WHEELS=DIRECTORY`. If lock-tune.txt has not its hash,
`make lock-torch TORCH_WHEELS=DIRECTORY` adds it first (docs/tuning-guide.md)."""


def key(lock: bytes) -> str:
    """Names a set: its lock and the Python that it is for."""
    return hashlib.sha256(lock + sys.version.encode()).hexdigest()[:16]


def obtain(root: Path, wheels: Path | None = None, gpu: str = "") -> Path:
    """The directory of the set, installed if it is missing; a GPU's needs its driver.

    Args:
        wheels: a directory with the wheel of torch.
    """
    lock = SETS[gpu]
    running()
    if gpu:
        _check_host(gpu, facts.driver())
    made = root / key(lock.read_bytes())
    with exclusive(made.with_suffix(".lock")):
        if not (made / _COMPLETE).is_file():
            shutil.rmtree(made, ignore_errors=True)
            say(f"Installing {len(read_lock(lock))} locked packages for tuning")
            _install(made, lock, wheels, missing="" if gpu else _MISSING)
            without_starters(made)
            (made / _COMPLETE).touch()
    return made


def _check_host(gpu: str, driver: int | None) -> None:
    """Before gigabytes are fetched."""
    try:
        check_driver(gpu, driver)
    except InstallError as error:
        raise BundleError(
            f"{error.message} The set for the processor needs none: `make tune-setup` without GPU=."
        ) from error


def _install(made: Path, lock: Path, wheels: Path | None, *, missing: str) -> None:
    options = ["--require-hashes", "--only-binary", ":all:", "--no-compile", "-r", str(lock)]
    if wheels is not None:
        options += ["--find-links", str(wheels)]
    log = made.with_suffix(".log")
    try:
        run_pip("install", "--target", str(made), *options, what="pip install", log=log)
    except BundleError as error:
        torch = next(entry.version for entry in read_lock(lock) if entry.name == TORCH)
        raise BundleError(f"{error}\n\n{missing.format(version=torch)}".rstrip()) from error


def without_starters(made: Path) -> list[str]:
    """Remove the files that run at Python's start in a directory of its own; their names."""
    found = [*made.glob("*.pth"), *made.glob("sitecustomize.py"), *made.glob("usercustomize.py")]
    for path in found:
        path.unlink()
    return sorted(path.name for path in found)


def link(path: Path, made: Path) -> None:
    """Let the environment find the set."""
    part = path.with_name(f"{path.name}.part")
    part.unlink(missing_ok=True)
    part.symlink_to(made)
    part.replace(path)


def main() -> None:
    """Command line: install the set and link it at PATH."""
    parser = argparse.ArgumentParser(prog="python -m installer.bundle.tuning_set")
    parser.add_argument("path", type=Path)
    parser.add_argument("--wheels", type=Path)
    parser.add_argument("--gpu", choices=sorted(SETS), default="")
    given = parser.parse_args()
    try:
        made = obtain(cache_root() / "tuning", given.wheels, given.gpu)
        link(given.path.absolute(), made)
    except OSError as error:
        raise BundleError(f"cannot install the tuning set: {error}") from error


if __name__ == "__main__":
    command_line(main)
