"""Reading the trust metadata on a medium, unverified, for the verifier.

Rules: only plain files with one name are opened, below directories that are no links; number and
size read are just above the limits, so that the verifier can refuse what is too much.
"""

import errno
import os
from pathlib import Path
from typing import Final

from appliance.errors import SignatureRefused
from appliance.trust.bytes import directory as directories
from appliance.trust.bytes import sealed
from appliance.trust.policy.metadata import LIMITS, POLICY
from appliance.trust.policy.root import MAX_ROOTS, version_of

METADATA: Final = "metadata"
TARGETS: Final = "targets"
_PLACES: Final = {METADATA: ("timestamp.json", "snapshot.json", "targets.json"), TARGETS: (POLICY,)}
_MOST_NAMES: Final = 10_000


def read_offer(path: Path, root_version: int) -> dict[str, bytes]:
    """The files of `metadata/` and `targets/` that may matter; roots before `root_version` are left
    out.
    """
    offer: dict[str, bytes] = {}
    for below, names in _PLACES.items():
        fd = _open(path, below)
        try:
            roots = _roots(fd, root_version) if below == METADATA else []
            for name in (*names, *roots):
                limit = LIMITS.get(name, LIMITS["root.json"])
                try:
                    offer[name] = directories.read_prefix(fd, name, limit + 1)
                except SignatureRefused as error:
                    if error.code != "file_missing":  # the verifier says what is missing
                        raise
        except OSError as error:
            raise SignatureRefused(
                "artifact_unreadable", f"{path / below} cannot be read: {error.strerror}."
            ) from error
        finally:
            os.close(fd)
    return offer


def _open(path: Path, below: str) -> int:
    try:
        fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            return sealed.open_beneath(fd, below, os.O_RDONLY | os.O_DIRECTORY)
        finally:
            os.close(fd)
    except OSError as error:
        code = "file_symlink" if error.errno == errno.ELOOP else "artifact_not_directory"
        raise SignatureRefused(
            code, f"{path / below} cannot be opened as a directory: {error.strerror}."
        ) from error


def _roots(fd: int, root_version: int) -> list[str]:
    with os.scandir(fd) as entries:
        names = [entry.name for entry, _ in zip(entries, range(_MOST_NAMES), strict=False)]
    found = sorted((version, name) for name in names if (version := version_of(name)) is not None)
    return [name for version, name in found if version >= root_version][: MAX_ROOTS + 1]
