"""The table at the beginning of a safetensors file. Pure.

Rules: tensors fill the file from the table's end on, without a hole or an overlap; each has exactly
the bytes of its shape. Anything else is refused before a byte of a tensor is read.

Source: the format's README, safetensors 0.5.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Final

from appliance.errors import TuningRefused
from appliance.tuning.conversion import documents

LENGTH: Final = 8
"""Bytes of the number that says how long the table is."""
SIZES: Final[Mapping[str, int]] = MappingProxyType({"F32": 4, "F16": 2, "BF16": 2})
"""Bytes of a number, by type."""
_DIMENSIONS: Final = 4
_MOST: Final = 1 << 48


@dataclass(frozen=True)
class Stored:
    """A tensor in a file.

    Attributes:
        at: offset of its bytes in the file.
    """

    name: str
    file: str
    dtype: str
    shape: tuple[int, ...]
    at: int
    size: int


def table_size(first: bytes, file: str, size: int) -> int:
    """Bytes of the table, by a file's first `LENGTH`. Raises TuningRefused (`convert_tensors`)."""
    found = int.from_bytes(first, "little")
    if len(first) < LENGTH or not 2 <= found <= min(size - LENGTH, documents.LARGEST):
        raise _refused(file, f"claims a table of {found} bytes in a file of {size}")
    return found


def read(table: bytes, file: str, size: int) -> dict[str, Stored]:
    """Tensors by name. Raises TuningRefused (`convert_tensors`, `convert_source`).

    Args:
        table: without the number before it.
        size: of the whole file.
    """
    entries, start = documents.parse(table, file).members.items(), LENGTH + len(table)
    found = [_entry(name, e, file, start) for name, e in entries if name != "__metadata__"]
    at = start
    for stored in sorted(found, key=lambda one: (one.at, one.size)):
        if stored.at != at:
            what = "overlaps another tensor" if stored.at < at else "is behind a hole"
            raise _refused(file, f"says that {stored.name[:80]} {what}")
        at += stored.size
    if at != size or not found:
        raise _refused(file, f"has tensors up to byte {at}, and ends at {size}")
    return {stored.name: stored for stored in found}


def _entry(name: str, entry: Any, file: str, start: int) -> Stored:
    try:
        dtype, shape, (begin, end) = entry["dtype"], tuple(entry["shape"]), entry["data_offsets"]
        plain = all(type(number) is int and 0 <= number < _MOST for number in (*shape, begin, end))
    except (TypeError, KeyError, ValueError) as error:
        raise _refused(file, f"has an entry {name[:80]} that is none") from error
    if not plain or not 1 <= len(shape) <= _DIMENSIONS or not all(shape):
        raise _refused(file, f"says that {name[:80]} has a shape or a place that no tensor has")
    if not isinstance(dtype, str) or dtype not in SIZES:
        raise _refused(file, f"has {name[:80]} in {str(dtype)[:20]}, not {', '.join(SIZES)}")
    size = math.prod(shape) * SIZES[dtype]
    if end - begin != size:
        raise _refused(file, f"gives {name[:80]} {end - begin} bytes, and its shape has {size}")
    return Stored(name, file, dtype, shape, start + begin, size)


def _refused(file: str, problem: str) -> TuningRefused:
    return TuningRefused("convert_tensors", f"{file} {problem}.")
