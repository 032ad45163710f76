"""The wheels that a bundle carries: those of the lists in `offline-wheels/`, and two of ours.

Rules: the lists are the one source of hashes: they must agree with `lock-runtime.txt`, and the
directory must hold exactly these bytes and the wheels that were built here.
"""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Final

from installer.bundle.locks import LOCKS, read_lock
from installer.bundle.steps import BundleError
from installer.bundle.wheel_facts import name_and_version
from installer.bundle.wheelhouse import (
    BUNDLED,
    Target,
    check_directory,
    check_lists,
    read_lists,
    read_sums,
)

LISTS: Final = tuple(f"{BUNDLED.name}.{suffix}" for suffix in ("lock", "sha256", "cdx.json"))
ON_STICK: Final = "offline-wheels"
BUILT: Final = frozenset({"appliance", "llama-cpp-python"})
"""The projects whose wheels are built here and in no list."""
_BESIDE: Final = frozenset({"requirements.txt", "sbom.cdx.json", "SHA256SUMS"})


def carried(
    directory: Path, built: Mapping[str, str], target: Target = BUNDLED, lists_at: Path = LOCKS
) -> list[Path]:
    """The wheels of a directory, after comparison with all lists.

    Args:
        built: SHA-256 by file name of the wheels that were built here.
    """
    lists = read_lists(target.name, lists_at)
    check_lists(lists, read_lock(lists_at / "lock-runtime.txt"), target)
    _check_built(built)
    check_directory(directory, lists, more=built, beside=_BESIDE)
    return sorted(directory.glob("*.whl"))


def texts() -> dict[str, bytes]:
    """The lists by their paths on the stick."""
    return {f"{ON_STICK}/{name}": (LOCKS / name).read_bytes() for name in LISTS}


def check_stick(bundle: Path, wheels: Mapping[str, str]) -> None:
    """Compare a manifest's wheels (SHA-256 by file name) with the lists on the same stick."""
    listed = read_sums(bundle / ON_STICK / f"{BUNDLED.name}.sha256")
    differ = sorted(f for f in listed if wheels.get(f) != listed[f])
    if differ:
        raise BundleError(f"{ON_STICK} and manifest.json differ: {', '.join(differ[:4])}")
    _check_built(wheels.keys() - listed.keys())


def _check_built(files: Iterable[str]) -> None:
    projects = sorted(name_and_version(file)[0] for file in files)
    if projects != sorted(BUILT):
        raise BundleError(f"wheels beyond the lists: {projects}, not {sorted(BUILT)}")
