"""Reading the trust metadata on a medium: what is there goes to the verifier, unbelieved.

Rules: only plain files with one name are opened, each is read up to one byte more than it may have,
and so many that the verifier can refuse what does not end; nothing is judged here.
"""

import os
import re
from pathlib import Path
from typing import Final

from appliance.errors import SignatureRefused
from appliance.trust import directory as directories
from appliance.trust.metadata import LIMITS, POLICY
from appliance.trust.root import MAX_ROOTS

METADATA: Final = "metadata"
TARGETS: Final = "targets"
_ROOT: Final = re.compile(r"([1-9]\d{0,6})\.root\.json")
_MOST_NAMES: Final = 10_000


def read_offer(path: Path, root_version: int) -> dict[str, bytes]:
    """The files of `metadata/` and `targets/` that may matter.

    Args:
        root_version: the root in force; older ones are left out.

    Raises:
        SignatureRefused: `artifact_not_directory`, and what `sealed.open_regular` raises.
    """
    offer: dict[str, bytes] = {}
    for below, names in ((METADATA, list(LIMITS)[1:4]), (TARGETS, [POLICY])):
        try:
            fd = os.open(path / below, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        except OSError as error:
            raise SignatureRefused(
                "artifact_not_directory", f"{path / below} cannot be opened: {error.strerror}."
            ) from error
        try:
            if below == METADATA:
                names += _roots(fd, root_version)
            for name in names:
                limit = LIMITS["root.json" if _ROOT.fullmatch(name) else name]
                try:
                    offer[name] = directories.read_prefix(fd, name, limit + 1)
                except SignatureRefused as error:
                    if error.code != "file_missing":  # the verifier says what is missing
                        raise
        finally:
            os.close(fd)
    return offer


def _roots(fd: int, root_version: int) -> list[str]:
    with os.scandir(fd) as entries:
        found = [m for entry, _ in zip(entries, range(_MOST_NAMES), strict=False)
                 if (m := _ROOT.fullmatch(entry.name))]  # fmt: skip
    wanted = sorted(found, key=lambda match: int(match[1]))
    return [m[0] for m in wanted if int(m[1]) >= root_version][: MAX_ROOTS + 1]
