"""Binding of the mapped bytes to the verified ones.

Rules: a model is read from sealed memory, or from a file that this process cannot write and that
the server announced as such. Every file that is mapped meanwhile must be the model itself.
"""

import fcntl
import os

from appliance.errors import StateRefused
from appliance.trust.bytes.sealed import not_separated

_F_GET_SEALS, _FOUR_SEALS = 1034, 0x1 | 0x2 | 0x4 | 0x8  # SEAL, SHRINK, GROW, WRITE


def check_descriptor(fd: int, *, on_disk: bool) -> None:
    """Refuse a model that could still change (`not_sealed`, `store_not_separated`)."""
    if on_disk:
        if problem := not_separated(os.fstat(fd)):
            raise StateRefused("store_not_separated", f"The model {problem}.")
        if fcntl.fcntl(fd, fcntl.F_GETFL) & os.O_ACCMODE != os.O_RDONLY:
            raise StateRefused("store_not_separated", "The model's descriptor is for writing.")
        return
    try:
        seals = fcntl.fcntl(fd, _F_GET_SEALS)
    except OSError:  # no memory file at all
        seals = 0
    if seals & _FOUR_SEALS != _FOUR_SEALS:
        raise StateRefused("not_sealed", "The model's descriptor does not carry all four seals.")


def mapped_inodes(maps: str) -> frozenset[int]:
    """Inodes of the files in the text of a /proc/PID/maps."""
    inodes = (int(line.split()[4]) for line in maps.splitlines())
    return frozenset(inode for inode in inodes if inode)


class Mappings:
    """The mappings of this process, read now and after the model was loaded."""

    def __init__(self) -> None:
        self.fd = os.open("/proc/self/maps", os.O_RDONLY | os.O_CLOEXEC)
        self._before = self._read()

    def _read(self) -> frozenset[int]:
        os.lseek(self.fd, 0, os.SEEK_SET)
        data = b""
        while block := os.read(self.fd, 1 << 16):
            data += block
        return mapped_inodes(data.decode("utf-8", "replace"))

    def added(self) -> frozenset[int]:
        """Inodes of the files that were mapped since; closes the descriptor."""
        added = self._read() - self._before
        os.close(self.fd)
        return added
