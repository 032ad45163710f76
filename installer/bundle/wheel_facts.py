"""Facts that a wheel states about itself, and contents that none may have.

Rules: never an sdist (which runs code to be installed); nothing that runs at every start of Python;
members stay inside the directory; metadata and file name agree.
"""

import re
import zipfile
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Final

from packaging.metadata import RawMetadata, parse_email
from packaging.utils import InvalidWheelFilename, canonicalize_name, parse_wheel_filename

from installer.bundle.cache import sha256_file
from installer.bundle.sbom import Part, wheel_purl
from installer.bundle.steps import BundleError

_AT_START: Final = frozenset({"sitecustomize", "usercustomize"})
_LONGEST_LICENCE: Final = 80
_MOST_METADATA: Final = 4 << 20


@dataclass(frozen=True)
class WheelFacts:
    """A wheel that broke no rule."""

    file: str
    name: str
    version: str
    sha256: str
    licence: str

    @property
    def part(self) -> Part:
        purl = wheel_purl(self.name, self.version, self.file)
        return Part(self.name, self.version, purl, self.sha256, self.licence)


def name_and_version(file: str) -> tuple[str, str]:
    """Project, in comparable form, and version in the name of a wheel."""
    try:
        name, version, _, _ = parse_wheel_filename(file)
    except InvalidWheelFilename as error:
        kind = "an sdist, not a wheel" if file.endswith((".tar.gz", ".zip")) else "not a wheel"
        raise BundleError(f"{file} is {kind}") from error
    return name, str(version)


def read_wheel(path: Path) -> WheelFacts:
    """The facts of a wheel; a broken rule is refused with the file's name."""
    name, version = name_and_version(path.name)
    try:
        with zipfile.ZipFile(path) as archive:
            members = archive.namelist()
            _check_members(path.name, members)
            metadata = _metadata(path.name, archive, members)
    except (zipfile.BadZipFile, OSError, NotImplementedError, RuntimeError) as error:
        raise BundleError(f"{path.name}: {error}") from error
    said = (canonicalize_name(metadata.get("name", "")), metadata.get("version", ""))
    if said != (name, version):
        raise BundleError(f"{path.name}: its metadata is of {said[0]} {said[1]}")
    return WheelFacts(path.name, name, version, sha256_file(path), _licence(metadata))


def _check_members(wheel: str, members: list[str]) -> None:
    for member in members:
        path = PurePosixPath(member)
        if path.is_absolute() or ".." in path.parts or "\\" in member:
            raise BundleError(f"{wheel}: {member!r} would be outside")
        if path.suffix.lower() == ".pth" or _imported(path) in _AT_START:
            raise BundleError(f"{wheel}: brings {member}, which runs at every start of Python")


def _imported(path: PurePosixPath) -> str:
    """The top-level module or package that a member belongs to."""
    parts = path.parts
    if len(parts) > 2 and parts[0].endswith(".data") and parts[1] in ("purelib", "platlib"):
        parts = parts[2:]
    return parts[0].split(".")[0]


def _metadata(wheel: str, archive: zipfile.ZipFile, members: list[str]) -> RawMetadata:
    found = [m for m in members if re.fullmatch(r"[^/]+\.dist-info/METADATA", m)]
    if len(found) != 1:
        raise BundleError(f"{wheel}: {len(found)} files METADATA, not one")
    with archive.open(found[0]) as file:
        return parse_email(file.read(_MOST_METADATA))[0]


def _licence(metadata: RawMetadata) -> str:
    """An SPDX expression, else the words of the metadata."""
    expression = metadata.get("license_expression", "")
    if expression:
        return expression
    named = sorted(
        value.split(" :: ")[-1]
        for value in metadata.get("classifiers", [])
        if value.startswith("License :: ") and not value.endswith("OSI Approved")
    )
    words = " ".join(metadata.get("license", "").split())
    return " or ".join(named) or (words if len(words) <= _LONGEST_LICENCE else "")
