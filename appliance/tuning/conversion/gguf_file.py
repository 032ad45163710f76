"""The beginning of a GGUF file: pairs and the table of tensors. Pure.

Rules: tensors follow in the order of the table, each padded; the same pairs and tensors give the
same bytes.

Source: ggml/docs/gguf.md.
"""

import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from appliance.trust.gguf.reader import Kind
from appliance.trust.gguf.tensors import DEFAULT_ALIGNMENT

_VERSION: Final = 3


@dataclass(frozen=True)
class TensorPlace:
    """A row of the table.

    Attributes:
        shape: the slowest dimension first.
        type: ggml's number.
    """

    name: str
    shape: tuple[int, ...]
    type: int
    size: int


def head(pairs: Mapping[str, bytes], tensors: Sequence[TensorPlace]) -> bytes:
    """All that is before the first tensor."""
    found = [b"GGUF", struct.pack("<IQQ", _VERSION, len(tensors), len(pairs))]
    found += [_string(key) + value for key, value in pairs.items()]
    at = 0
    for tensor in tensors:
        dimensions = tensor.shape[::-1]
        found.append(_string(tensor.name))
        found.append(struct.pack(f"<I{len(dimensions)}Q", len(dimensions), *dimensions))
        found.append(struct.pack("<IQ", tensor.type, at))
        at += tensor.size + padding(tensor.size)
    data = b"".join(found)
    return data + bytes(padding(len(data)))


def padding(size: int) -> int:
    """Bytes that follow a size."""
    return -size % DEFAULT_ALIGNMENT


def text(value: str) -> bytes:
    """A string as a value."""
    return struct.pack("<I", Kind.STRING) + _string(value)


def u32(value: int) -> bytes:
    """A number as a value."""
    return struct.pack("<II", Kind.UINT32, value)


def f32(value: float) -> bytes:
    """A float as a value."""
    return struct.pack("<If", Kind.FLOAT32, value)


def flag(value: bool) -> bytes:
    """A truth as a value."""
    return struct.pack("<IB", Kind.BOOL, value)


def texts(values: Sequence[str]) -> bytes:
    """Strings as a value."""
    start = struct.pack("<IIQ", Kind.ARRAY, Kind.STRING, len(values))
    return start + b"".join(map(_string, values))


def i32s(values: Sequence[int]) -> bytes:
    """Numbers as a value."""
    start = struct.pack("<IIQ", Kind.ARRAY, Kind.INT32, len(values))
    return start + struct.pack(f"<{len(values)}i", *values)


def _string(value: str) -> bytes:
    raw = value.encode()
    return struct.pack("<Q", len(raw)) + raw
