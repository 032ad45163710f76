"""The default model with another value in its header."""

import shutil
from pathlib import Path

from appliance.trust.bytes.sealed import SealedFile
from tests.tuning.runs import sealed

_HEAD = 2 << 20  # all of the header


def changed(path: Path, target: Path, key: str, old: bytes, new: bytes) -> SealedFile:
    """With another first value of the same length after its key."""
    shutil.copyfile(path, target)
    with target.open("r+b") as file:
        head = file.read(_HEAD)
        at = head.index(old, head.index(key.encode()) + len(key))
        assert len(old) == len(new)
        file.seek(at)
        file.write(new)
    return sealed(target)
