"""Small wheels."""

import zipfile
from pathlib import Path


def write_wheel(
    path: Path, *members: str, metadata: str | None = None, name: str = "a", version: str = "1.0"
) -> Path:
    """A wheel with `members` and one module; `metadata` replaces the whole file."""
    said = f"Metadata-Version: 2.4\nName: {name}\nVersion: {version}\nLicense-Expression: MIT\n"
    with zipfile.ZipFile(path, "w") as archive:
        for member in (f"{name}/__init__.py", *members):
            archive.writestr(zipfile.ZipInfo(member), "x = 1\n")
        text = said if metadata is None else metadata
        info = f"{name}-{version}.dist-info/METADATA"
        archive.writestr(zipfile.ZipInfo(info), text)
    return path
