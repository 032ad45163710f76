"""Fills `offline-wheels/<platform>/`: all that an installation without a network needs.

Rules
- Wheels only, for the running Python; each is in the runtime lock with its hash, or is our
  llama.cpp wheel with its recorded digest, or is our own package.
- No wheel may bring a `.pth` file: it would run code at every start of Python.
- `requirements.txt` pins every wheel by hash (`pip install --no-index --find-links DIR
  --require-hashes -r DIR/requirements.txt`), `SHA256SUMS` lists every file; a directory that
  holds anything else, or not all of it, is refused.
- The directory appears by one rename when it is complete.
"""

import argparse
import os
import re
import shutil
import sys
import tempfile
import zipfile
from collections.abc import Sequence
from pathlib import Path, PurePosixPath
from typing import Final

from installer.bundle.cache import cache_root, sha256_file
from installer.bundle.llama_recipe import SOURCE_DATE_EPOCH, recipe
from installer.bundle.llama_wheel import Wheel, obtain
from installer.bundle.locks import LOCKS, Locked, read_lock, wheel_name
from installer.bundle.steps import BundleError, command_line, run_pip, say

SUMS: Final = "SHA256SUMS"
REQUIREMENTS: Final = "requirements.txt"
OWN: Final = "appliance"


def fill(parent: Path, checkout: Path, llama: Wheel) -> Path:
    """Collect and check the wheels for this Python; the directory that holds them.

    Wheels of an earlier directory are taken over where the lock still names their hash.

    Raises:
        BundleError: a wheel is missing or refused.
    """
    lock = read_lock(LOCKS / "lock-runtime.txt")
    with tempfile.TemporaryDirectory(dir=parent, prefix="part-") as work:
        directory = Path(work) / "wheels"
        directory.mkdir()
        _keep(parent, lock, directory)
        _download(directory, Path(work) / "download.log")
        shutil.copyfile(llama.path, directory / llama.path.name)
        run_pip(
            *("wheel", "--no-deps", "--no-build-isolation", "-w", str(directory), str(checkout)),
            what="own wheel",
            log=Path(work) / "own.log",
            env=os.environ | {"SOURCE_DATE_EPOCH": str(SOURCE_DATE_EPOCH)},
        )
        wheels = sorted(directory.iterdir())
        write_lists(directory, wheels)
        check(directory, lock, llama.sha256)
        target = parent / platform_name(wheels, llama)
        shutil.rmtree(target, ignore_errors=True)
        directory.rename(target)
    return target


def _download(directory: Path, log: Path) -> None:
    """The locked wheels for this Python; the index is asked only if one is missing."""
    arguments = (
        *("download", "--only-binary", ":all:", "--no-deps", "--require-hashes"),
        *("--find-links", str(directory), "-d", str(directory)),
        *("-r", str(LOCKS / "lock-runtime.txt")),
    )
    try:
        run_pip(*arguments, "--no-index", what="wheels at hand", log=log)
    except BundleError:
        say("Fetching the locked wheels")
        run_pip(*arguments, what="download", log=log)


def platform_name(wheels: Sequence[Path], llama: Wheel) -> str:
    """Python and the oldest glibc that all wheels run on, e.g. `cp311-manylinux_2_38_x86_64`."""
    major, minor = llama.facts["glibc"].split(".")
    needs = [(int(major), int(minor))]
    for wheel in wheels:
        tags = re.findall(r"manylinux_(\d+)_(\d+)_", wheel_name(wheel).platform)
        needs += sorted((int(major), int(minor)) for major, minor in tags)[:1]
    python = f"cp{sys.version_info[0]}{sys.version_info[1]}"
    return "{}-manylinux_{}_{}_{}".format(python, *max(needs), llama.facts["machine"])


def check(directory: Path, lock: Sequence[Locked], llama_sha256: str) -> None:
    """Refuse a directory that is not exactly what the lock and its SHA256SUMS say.

    Raises:
        BundleError: naming the file and what is wrong with it.
    """
    listed = _read_sums(directory / SUMS)
    present = {path.name for path in directory.iterdir()} - {SUMS}
    if present != set(listed):
        raise BundleError(f"{directory.name}: {SUMS} and the files differ: {present ^ set(listed)}")
    hashes = {(entry.name, entry.version): entry.hashes for entry in lock}
    for name, wanted in listed.items():
        path = directory / name
        digest = sha256_file(path)
        if digest != wanted:
            raise BundleError(f"{name}: sha256 {digest} is not the one in {SUMS}")
        if name != REQUIREMENTS:
            _check_wheel(path, digest, hashes, llama_sha256)


def _check_wheel(
    path: Path, digest: str, lock: dict[tuple[str, str], frozenset[str]], llama_sha256: str
) -> None:
    wheel = wheel_name(path)
    allowed = lock.get((wheel.name, wheel.version), frozenset())
    if wheel.name == "llama-cpp-python":
        allowed = frozenset({llama_sha256})
    if wheel.name != OWN and digest not in allowed:
        raise BundleError(f"{path.name}: sha256 {digest} is not in the lock")
    try:
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
    except zipfile.BadZipFile as error:
        raise BundleError(f"{path.name}: {error}") from error
    start_up = [name for name in names if PurePosixPath(name).suffix.lower() == ".pth"]
    if start_up:
        raise BundleError(f"{path.name}: brings {', '.join(start_up)}, which runs at every start")


def _keep(parent: Path, lock: Sequence[Locked], directory: Path) -> None:
    """Copy wheels that an earlier directory holds and the lock still names."""
    hashes = frozenset().union(*(entry.hashes for entry in lock))
    for wheel in parent.glob(f"cp{sys.version_info[0]}{sys.version_info[1]}-*/*.whl"):
        if sha256_file(wheel) in hashes:
            shutil.copyfile(wheel, directory / wheel.name)


def write_lists(directory: Path, wheels: Sequence[Path]) -> None:
    """Write `requirements.txt` and `SHA256SUMS` for the wheels in the directory."""
    lines = []
    for path in wheels:
        wheel = wheel_name(path)
        lines.append(f"{wheel.name}=={wheel.version} --hash=sha256:{sha256_file(path)}\n")
    requirements = directory / REQUIREMENTS
    requirements.write_text("".join(lines))
    sums = [f"{sha256_file(path)}  {path.name}\n" for path in (*wheels, requirements)]
    (directory / SUMS).write_text("".join(sums))


def _read_sums(path: Path) -> dict[str, str]:
    try:
        pairs = [line.split("  ", 1) for line in path.read_text().splitlines()]
        return {name: digest for digest, name in pairs}
    except (OSError, ValueError) as error:
        raise BundleError(f"{path.parent.name}: no readable {SUMS}: {error}") from error


def main() -> None:
    """Command line: fill `offline-wheels/<platform>/` and print its path."""
    parser = argparse.ArgumentParser(prog="python -m installer.bundle.wheels")
    parser.add_argument("--parent", type=Path, default=LOCKS, help="where the directory is made")
    parent = parser.parse_args().parent
    llama = obtain(cache_root() / "llama-wheels", recipe())
    directory = fill(parent, LOCKS.parent, llama)
    wheels = list(directory.glob("*.whl"))
    size = sum(path.stat().st_size for path in wheels)
    print(f"{directory}: {len(wheels)} wheels, {size / 1e6:.0f} MB, checked against the lock")


if __name__ == "__main__":
    command_line(main)
