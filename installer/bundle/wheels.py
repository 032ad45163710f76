"""Fills `offline-wheels/<platform>/`: all that an installation without a network needs.

Rules: wheels only, the same for every machine with this Python: those of `cp3NN.lock`, our
llama.cpp wheel with its recorded digest, and our own package. `requirements.txt` pins every wheel
by hash (`pip install --no-index --find-links DIR --require-hashes -r DIR/requirements.txt`). A
directory that holds more or less is refused.
"""

import argparse
import os
import re
import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from installer.bundle import pages, sbom
from installer.bundle.cache import cache_root, sha256_file
from installer.bundle.llama_recipe import SOURCE_DATE_EPOCH, recipe
from installer.bundle.llama_wheel import obtain
from installer.bundle.locks import LOCKS, Locked, wheel_name
from installer.bundle.steps import BundleError, command_line, run_pip
from installer.bundle.wheel_cache import Wheel
from installer.bundle.wheel_facts import WheelFacts, read_wheel
from installer.bundle.wheel_lists import product_version
from installer.bundle.wheelhouse import TARGETS, Target, collect, read_lists, read_sums, running

SUMS: Final = "SHA256SUMS"
REQUIREMENTS: Final = "requirements.txt"
SBOM: Final = "sbom.cdx.json"
OWN: Final = "appliance"


def fill(parent: Path, checkout: Path, llama: Wheel, target: Target) -> Path:
    """Collect and check the wheels for a Python; the directory that holds them.

    Wheels of an earlier directory are reused where the lock still names their hash.
    """
    lock = read_lists(target.name).lock
    with tempfile.TemporaryDirectory(dir=parent, prefix="part-") as work:
        directory = Path(work) / "wheels"
        directory.mkdir()
        _keep(parent, lock, target, directory)
        collect(lock, target, directory, Path(work) / "download.log")
        shutil.copyfile(llama.path, directory / llama.path.name)
        pages.build(pages.PLACE)
        run_pip(
            *("wheel", "--no-deps", "--no-build-isolation", "-w", str(directory), str(checkout)),
            what="own wheel",
            log=Path(work) / "own.log",
            env=os.environ | {"SOURCE_DATE_EPOCH": str(SOURCE_DATE_EPOCH)},
        )
        wheels = sorted(directory.iterdir())
        write_lists(directory, wheels)
        check(directory, lock, llama.sha256)
        place = parent / platform_name(wheels, llama, target)
        shutil.rmtree(place, ignore_errors=True)
        directory.rename(place)
    return place


def platform_name(wheels: Sequence[Path], llama: Wheel, target: Target) -> str:
    """Python and the oldest glibc that all wheels run on, e.g. `cp311-manylinux_2_38_x86_64`."""
    major, minor = llama.facts["glibc"].split(".")
    needs = [(int(major), int(minor))]
    for wheel in wheels:
        tags = re.findall(r"manylinux_(\d+)_(\d+)_", wheel_name(wheel).platform)
        needs += sorted((int(major), int(minor)) for major, minor in tags)[:1]
    return "{}-manylinux_{}_{}_{}".format(target.name, *max(needs), llama.facts["machine"])


def check(directory: Path, lock: Sequence[Locked], llama_sha256: str) -> None:
    """Refuse another directory than lock and lists name."""
    try:
        listed = read_sums(directory / SUMS)
    except OSError as error:
        raise BundleError(f"{directory.name}: no readable {SUMS}: {error}") from error
    present = {path.name for path in directory.iterdir()} - {SUMS}
    if present != set(listed):
        raise BundleError(f"{directory.name}: {SUMS} and the files differ: {present ^ set(listed)}")
    hashes = {(entry.name, entry.version): entry.hashes for entry in lock}
    wheels = []
    for name, wanted in listed.items():
        digest = sha256_file(directory / name)
        if digest != wanted:
            raise BundleError(f"{name}: sha256 {digest} is not the one in {SUMS}")
        if name not in (REQUIREMENTS, SBOM):
            wheels.append(_check_wheel(directory / name, hashes, llama_sha256))
    parts = sbom.read((directory / SBOM).read_bytes())
    if sorted(parts) != sorted(wheel.part for wheel in wheels):
        raise BundleError(f"{directory.name}: {SBOM} does not list the wheels")


def _check_wheel(
    path: Path, lock: dict[tuple[str, str], frozenset[str]], llama_sha256: str
) -> WheelFacts:
    wheel = read_wheel(path)
    allowed = lock.get((wheel.name, wheel.version), frozenset())
    if wheel.name == "llama-cpp-python":
        allowed = frozenset({llama_sha256})
    if wheel.name != OWN and wheel.sha256 not in allowed:
        raise BundleError(f"{path.name}: sha256 {wheel.sha256} is not in the lock")
    return wheel


def _keep(parent: Path, lock: Sequence[Locked], target: Target, directory: Path) -> None:
    hashes = frozenset().union(*(entry.hashes for entry in lock))
    for wheel in parent.glob(f"{target.name}-*/*.whl"):
        if sha256_file(wheel) in hashes:
            shutil.copyfile(wheel, directory / wheel.name)


def write_lists(directory: Path, wheels: Sequence[Path]) -> None:
    """Write `requirements.txt`, `sbom.cdx.json` and `SHA256SUMS`."""
    facts = [read_wheel(path) for path in wheels]
    lines = [f"{w.name}=={w.version} --hash=sha256:{w.sha256}\n" for w in facts]
    (directory / REQUIREMENTS).write_text("".join(lines))
    document = sbom.write("appliance-wheels", product_version(), [w.part for w in facts])
    (directory / SBOM).write_bytes(document)
    listed = (*wheels, directory / REQUIREMENTS, directory / SBOM)
    sums = [f"{sha256_file(path)}  {path.name}\n" for path in listed]
    (directory / SUMS).write_text("".join(sums))


def main() -> None:
    """Command line: fill `offline-wheels/<platform>/` and print its path."""
    parser = argparse.ArgumentParser(prog="python -m installer.bundle.wheels")
    parser.add_argument("--parent", type=Path, default=LOCKS, help="where the directory is made")
    parser.add_argument("--python", choices=sorted(TARGETS), help="not this one, e.g. cp313")
    options = parser.parse_args()
    target = TARGETS[options.python] if options.python else running()
    llama = obtain(cache_root() / "llama-wheels", recipe())
    directory = fill(options.parent, LOCKS.parent, llama, target)
    wheels = list(directory.glob("*.whl"))
    size = sum(path.stat().st_size for path in wheels)
    print(f"{directory}: {len(wheels)} wheels, {size / 1e6:.0f} MB, checked against the lock")


if __name__ == "__main__":
    command_line(main)
