"""Packs the installer into `install.pyz`: the standard library's zipapp, but reproducible."""

import zipfile
from pathlib import Path
from typing import Final

_PACKAGE: Final = Path(__file__).parents[1]
MAIN: Final = b"from installer.host.cli import forbid_dumps, main\n\nforbid_dumps()\nmain()\n"
_TIME: Final = (2026, 1, 1, 0, 0, 0)


def pack(target: Path, main: bytes = MAIN) -> None:
    """Write the archive: the package `installer.host` and the lines that start it."""
    members = {"__main__.py": main}
    for path in (_PACKAGE / "__init__.py", *sorted((_PACKAGE / "host").glob("*.py"))):
        members[f"installer/{path.relative_to(_PACKAGE)}"] = path.read_bytes()
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in sorted(members.items()):
            info = zipfile.ZipInfo(name, _TIME)
            info.compress_type = zipfile.ZIP_DEFLATED
            info.external_attr = 0o644 << 16
            archive.writestr(info, data)
