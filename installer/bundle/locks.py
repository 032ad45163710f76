"""Reads the locks in `offline-wheels/`, and the names of wheels.

Rules: every requirement has one version and at least one SHA-256; any other line is refused.
Formats: the requirements file of pip as `uv pip compile --generate-hashes` writes it, and "File
name convention" of the binary distribution format.
"""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from installer.bundle.steps import BundleError

LOCKS: Final = Path(__file__).parents[2] / "offline-wheels"
_REQUIREMENT: Final = re.compile(
    r"(?P<name>[A-Za-z0-9._-]+)==(?P<version>[^\s;]+)(?: *; *(?P<marker>[^\\]+?))?"
    r"(?P<hashes>(?:\s+--hash=sha256:[0-9a-f]{64})+)"
)


@dataclass(frozen=True)
class Locked:
    """One requirement of a lock."""

    name: str
    version: str
    marker: str
    hashes: frozenset[str]


@dataclass(frozen=True)
class WheelName:
    """The parts of a wheel's file name."""

    name: str
    version: str
    python: str
    abi: str
    platform: str


def canonical(name: str) -> str:
    """A project name in comparable form (PyPA, "Names and normalization")."""
    return re.sub(r"[-_.]+", "-", name).lower()


def read_lock(path: Path) -> list[Locked]:
    """The requirements of a lock file, in its order; one name may occur once per marker."""
    text = re.sub(r"\\\n", " ", re.sub(r"(?m)^\s*#.*\n", "", path.read_text()))
    found = []
    for line in filter(str.strip, text.splitlines()):
        match = _REQUIREMENT.fullmatch(line.strip())
        if match is None:
            raise BundleError(f"{path.name}: not one version with hashes: {line[:80]}")
        hashes = frozenset(re.findall(r"sha256:([0-9a-f]{64})", match["hashes"]))
        found.append(
            Locked(canonical(match["name"]), match["version"], match["marker"] or "", hashes)
        )
    return found


def wheel_name(path: Path) -> WheelName:
    """Split the file name of a wheel."""
    parts = path.name.removesuffix(".whl").split("-")
    if path.suffix != ".whl" or len(parts) not in (5, 6):
        raise BundleError(f"{path.name} is not a wheel")
    return WheelName(canonical(parts[0]), parts[1], *parts[-3:])
