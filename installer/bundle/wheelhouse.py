"""The wheels for one Python: which ones the lock means there, and the three lists of them.

Rules: `NAME.lock` (every project in one version with the hash of one wheel), `NAME.sha256` (for
`sha256sum -c`) and `NAME.cdx.json` (the bill of materials) must agree with each other and with
`lock-runtime.txt` for that Python on Linux x86-64; every wheel runs on `GLIBC` and newer.
"""

import re
import sys
from collections.abc import Iterable, Mapping, Sequence, Set
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from packaging.markers import Marker, default_environment
from packaging.tags import Tag, compatible_tags, cpython_tags
from packaging.utils import parse_wheel_filename

from installer.bundle import sbom
from installer.bundle.locks import LOCKS, Locked, read_lock
from installer.bundle.steps import BundleError, run_pip
from installer.bundle.wheel_facts import WheelFacts, name_and_version, read_wheel

GLIBC: Final = (2, 31)
"""The oldest glibc that the wheels may ask for: Debian 11, Ubuntu 20.04, RHEL 9. The runtime that
the bundle brings has a newer one, so its Python takes the same wheels as a user's own."""

_SUM: Final = re.compile(r"([0-9a-f]{64})  ([A-Za-z0-9._+-]+)")


@dataclass(frozen=True)
class Target:
    """One Python on Linux x86-64."""

    name: str
    python: tuple[int, int]

    @property
    def platforms(self) -> list[str]:
        """Platform tags, the best first."""
        old = {17: "manylinux2014", 12: "manylinux2010", 5: "manylinux1"}
        tags = []
        for minor in range(GLIBC[1], 4, -1):
            tags.append(f"manylinux_{GLIBC[0]}_{minor}_x86_64")
            tags += [f"{old[minor]}_x86_64"] if minor in old else []
        return tags

    @property
    def tags(self) -> frozenset[Tag]:
        interpreter = f"cp{self.python[0]}{self.python[1]}"
        exact = cpython_tags(self.python, abis=[interpreter], platforms=self.platforms)
        plain = compatible_tags(self.python, interpreter, self.platforms)
        return frozenset(exact) | frozenset(plain)

    @property
    def environment(self) -> dict[str, str]:
        """For the evaluation of markers."""
        version = f"{self.python[0]}.{self.python[1]}"
        return {name: str(value) for name, value in default_environment().items()} | {
            "implementation_name": "cpython",
            "os_name": "posix",
            "platform_machine": "x86_64",
            "platform_python_implementation": "CPython",
            "platform_system": "Linux",
            "python_full_version": f"{version}.0",
            "python_version": version,
            "sys_platform": "linux",
        }


TARGETS: Final = {
    name: Target(name, python)
    for name, python in (("cp311", (3, 11)), ("cp312", (3, 12)), ("cp313", (3, 13)))
}
BUNDLED: Final = TARGETS["cp313"]
"""The Python that the bundle brings: Debian 13's 3.13."""


def running() -> Target:
    """The target of this Python."""
    name = f"cp{sys.version_info[0]}{sys.version_info[1]}"
    if name not in TARGETS:
        raise BundleError(f"there are no wheels for {name}, only for {', '.join(TARGETS)}")
    return TARGETS[name]


@dataclass(frozen=True)
class Lists:
    """The three lists of a wheelhouse."""

    lock: Sequence[Locked]
    sums: Mapping[str, str]
    parts: Sequence[sbom.Part]


def select(lock: Iterable[Locked], target: Target) -> list[Locked]:
    """The requirements of a universal lock that hold for a target."""
    environment = target.environment
    return [e for e in lock if not e.marker or Marker(e.marker).evaluate(environment)]


def collect(lock: Sequence[Locked], target: Target, directory: Path, log: Path) -> list[WheelFacts]:
    """Fetch the wheels of a lock for a target, which need not be the running Python.

    Wheels in the directory are taken if their hash is in the lock.
    """
    wanted = directory / "wanted.txt"
    wanted.write_text(
        "".join(
            f"{e.name}=={e.version} {' '.join(f'--hash=sha256:{h}' for h in sorted(e.hashes))}\n"
            for e in select(lock, target)
        )
    )
    arguments = ["download", "--only-binary", ":all:", "--no-deps", "--require-hashes"]
    arguments += ["--find-links", str(directory), "-d", str(directory), "-r", str(wanted)]
    arguments += ["--implementation", "cp", "--python-version", "{}.{}".format(*target.python)]
    arguments += [part for abi in (target.name, "abi3", "none") for part in ("--abi", abi)]
    arguments += [part for platform in target.platforms for part in ("--platform", platform)]
    try:
        try:
            run_pip(*arguments, "--no-index", what=f"{target.name} wheels at hand", log=log)
        except BundleError:
            run_pip(*arguments, what=f"{target.name} wheels", log=log)
    finally:
        wanted.unlink()
    return [read_wheel(path) for path in sorted(directory.iterdir())]


def write_lists(name: str, version: str, wheels: Sequence[WheelFacts], parent: Path) -> None:
    """Write the three lists of `wheels` as `parent/NAME.*`; `version` is the product's."""
    ordered = sorted(wheels, key=lambda wheel: wheel.name)
    (parent / f"{name}.lock").write_text(
        "".join(f"{w.name}=={w.version} --hash=sha256:{w.sha256}\n" for w in ordered)
    )
    (parent / f"{name}.sha256").write_text(
        "".join(f"{w.sha256}  {w.file}\n" for w in sorted(wheels, key=lambda w: w.file))
    )
    document = sbom.write(f"appliance-{name}", version, [wheel.part for wheel in wheels])
    (parent / f"{name}.cdx.json").write_bytes(document)


def read_lists(name: str, parent: Path = LOCKS) -> Lists:
    """From the disk."""
    try:
        return Lists(
            lock=read_lock(parent / f"{name}.lock"),
            sums=read_sums(parent / f"{name}.sha256"),
            parts=sbom.read((parent / f"{name}.cdx.json").read_bytes()),
        )
    except OSError as error:
        raise BundleError(f"no readable lists of {name}: {error}; make lock") from error


def read_sums(path: Path) -> dict[str, str]:
    """SHA-256 by file name, strictly as `sha256sum` writes them."""
    sums: dict[str, str] = {}
    for line in path.read_text().splitlines():
        match = _SUM.fullmatch(line)
        if match is None or match[2] in sums:
            raise BundleError(f"{path.name}: not one sum of one file: {line[:120]}")
        sums[match[2]] = match[1]
    return sums


def check_lists(lists: Lists, runtime: Sequence[Locked], target: Target) -> None:
    """Refuse lists that differ from each other or from the lock."""
    pinned = {(e.name, e.version): e.hashes for e in lists.lock}
    allowed = {(e.name, e.version): e.hashes for e in select(runtime, target)}
    _same("the runtime lock", allowed, f"{target.name}.lock", pinned)
    for project, hashes in pinned.items():
        if len(hashes) != 1 or not hashes <= allowed[project]:
            raise BundleError(f"{target.name}.lock: {project[0]} is not one wheel of the lock")
    if len(pinned) != len(lists.lock):
        raise BundleError(f"{target.name}.lock: a project occurs twice")
    for file in lists.sums:
        if not parse_tags(file) & target.tags:
            raise BundleError(f"{file} does not run on {target.name} with glibc {GLIBC}")
    locked = {(*project, next(iter(hashes))) for project, hashes in pinned.items()}
    summed = {(*name_and_version(file), digest) for file, digest in lists.sums.items()}
    _same(f"{target.name}.lock", locked, f"{target.name}.sha256", summed)
    listed = {(part.purl, part.sha256) for part in lists.parts}
    wanted = {
        (sbom.wheel_purl(*name_and_version(file), file), digest)
        for file, digest in lists.sums.items()
    }
    _same(f"{target.name}.sha256", wanted, f"{target.name}.cdx.json", listed)


def check_directory(
    directory: Path,
    lists: Lists,
    *,
    more: Mapping[str, str] = {},
    beside: Set[str] = frozenset(),
) -> None:
    """Refuse a directory of wheels that differs from the checked lists.

    Args:
        more: SHA-256 by file name of wheels that were built here, besides those of the lists.
    """
    wanted = {**lists.sums, **more}
    present = {path.name for path in directory.iterdir()} - beside
    for name in sorted(present):
        name_and_version(name)
    _same("the sums", set(wanted), directory.name, present)
    for name, digest in wanted.items():
        found = read_wheel(directory / name).sha256
        if found != digest:
            raise BundleError(f"{name}: sha256 {found} is not the one in the sums")


def parse_tags(file: str) -> frozenset[Tag]:
    """The tags in the name of a wheel."""
    name_and_version(file)
    return parse_wheel_filename(file)[3]


def _same(left: str, wanted: Iterable[object], right: str, found: Iterable[object]) -> None:
    only_left, only_right = set(wanted) - set(found), set(found) - set(wanted)
    if only_left or only_right:
        differ = ", ".join(sorted(map(str, only_left | only_right))[:4])
        raise BundleError(f"{left} and {right} differ: {differ}; make lock")
