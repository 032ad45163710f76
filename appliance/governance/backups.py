"""The backups of this data directory, as the installer noted them in `DATA/backups.json`.

The file is only read here; an unreadable one has no backups.
"""

import datetime
from pathlib import Path
from typing import Final

import msgspec

FILE: Final = "backups.json"


class StoredBackup(msgspec.Struct, frozen=True):
    """One backup.

    Attributes:
        time: ISO 8601 in UTC.
        file: name of the archive, wherever it is now.
    """

    time: datetime.datetime
    file: str = ""
    release: str = ""
    bytes: int = 0

    @property
    def made_us(self) -> int:
        return int(self.time.timestamp() * 1e6)


class _BackupFile(msgspec.Struct, frozen=True):
    backups: list[StoredBackup]


def known(data: Path) -> list[StoredBackup]:
    """The backups, the oldest first."""
    try:
        found = msgspec.json.decode((data / FILE).read_bytes(), type=_BackupFile).backups
    except (OSError, msgspec.MsgspecError):
        return []
    return sorted(found, key=lambda backup: backup.made_us)
