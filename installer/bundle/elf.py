"""The dynamic section of a 64-bit little-endian ELF file. Pure.

Source: System V ABI, "Dynamic Section"; values from elf.h.
"""

import re
import struct
from dataclasses import dataclass
from typing import Final

from installer.bundle.steps import BundleError

_PT_LOAD: Final = 1
_PT_DYNAMIC: Final = 2
_DT_NEEDED: Final = 1
_DT_STRTAB: Final = 5
_DT_RPATH: Final = 15
_DT_RUNPATH: Final = 29
_GLIBC: Final = re.compile(rb"\0GLIBC_(\d+)\.(\d+)")


@dataclass(frozen=True)
class Dynamic:
    """The facts that the dynamic loader reads from a shared library."""

    needed: tuple[str, ...]
    runpath: str | None
    rpath: str | None
    glibc: tuple[int, int]


def read_dynamic(data: bytes) -> Dynamic:
    """Parse a shared library; other bytes are refused."""
    if data[:6] != b"\x7fELF\x02\x01":
        raise BundleError("not a 64-bit little-endian ELF file")
    try:
        return _read(data)
    except (struct.error, StopIteration, ValueError, OverflowError) as error:
        raise BundleError(f"damaged ELF file: {error}") from error


def _read(data: bytes) -> Dynamic:
    table, entry_size, count = (
        *struct.unpack_from("<Q", data, 32),
        *struct.unpack_from("<HH", data, 54),
    )
    segments = [struct.unpack_from("<II6Q", data, table + i * entry_size) for i in range(count)]
    loads = [(s[3], s[2], s[5]) for s in segments if s[0] == _PT_LOAD]
    dynamic = next(s for s in segments if s[0] == _PT_DYNAMIC)
    entries = list(struct.iter_unpack("<QQ", data[dynamic[2] : dynamic[2] + dynamic[5]]))
    strings = next(value for tag, value in entries if tag == _DT_STRTAB)
    base = next(offset + strings - at for at, offset, size in loads if at <= strings < at + size)

    def text(tag: int) -> list[str]:
        starts = [base + value for kind, value in entries if kind == tag]
        return [data[start : data.index(b"\0", start)].decode() for start in starts]

    versions = [(int(major), int(minor)) for major, minor in _GLIBC.findall(data)]
    return Dynamic(
        needed=tuple(text(_DT_NEEDED)),
        runpath=":".join(text(_DT_RUNPATH)) or None,
        rpath=":".join(text(_DT_RPATH)) or None,
        glibc=max(versions, default=(0, 0)),
    )
