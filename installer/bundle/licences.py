"""The licence texts that a wheel brings, as one text."""

import zipfile
from pathlib import Path, PurePosixPath

from installer.bundle.wheel_facts import WheelFacts

_NAMES = ("LICENSE", "LICENCE", "COPYING", "NOTICE", "AUTHORS")


def of_wheel(path: Path, wheel: WheelFacts) -> bytes:
    """A wheel's statement of its licence, then every licence text in it."""
    lines = [f"{wheel.name} {wheel.version}\nLicence by its metadata: {wheel.licence or '-'}\n"]
    with zipfile.ZipFile(path) as archive:
        for name in sorted(archive.namelist()):
            member = PurePosixPath(name)
            below = any(part.endswith(".dist-info") for part in member.parts)
            if below and not name.endswith("/") and member.name.upper().startswith(_NAMES):
                text = archive.read(name).decode("utf-8", "replace")
                lines.append(f"\n==== {member.name}\n{text}")
    return "".join(lines).encode()
