"""Reading GGUF's header and metadata, one bounded step at a time.

Rules: every length is checked before anything is read or allocated; every string is UTF-8 without
NUL, since llama.cpp cuts C strings there; big arrays stay bytes in the file. Nothing but
`GgufRejected` leaves this module.

Source: ggml/docs/gguf.md. Version 2 differs from 3 only in not promising a byte order, so both
are read, little-endian.
"""

import enum
import mmap
import re
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, TypeAlias

from appliance.errors import GgufRejected

Buffer: TypeAlias = bytes | mmap.mmap

MAX_METADATA: Final = 64 << 20
"""Most bytes before the tensor data, so that a caller need not hold more of a file."""
MAX_PAIRS: Final = 1_024
MAX_TENSORS: Final = 8_192
MAX_STRING: Final = 1 << 20
MAX_ARRAY: Final = 4 << 20
_KEY: Final = re.compile(rb"[\x21-\x7e]{1,256}")


class Kind(enum.IntEnum):
    """The types of metadata values."""

    UINT8 = 0
    INT8 = 1
    UINT16 = 2
    INT16 = 3
    UINT32 = 4
    INT32 = 5
    FLOAT32 = 6
    BOOL = 7
    STRING = 8
    ARRAY = 9
    UINT64 = 10
    INT64 = 11
    FLOAT64 = 12


_FORMATS: Final = {
    Kind.UINT8: "<B",
    Kind.INT8: "<b",
    Kind.UINT16: "<H",
    Kind.INT16: "<h",
    Kind.UINT32: "<I",
    Kind.INT32: "<i",
    Kind.FLOAT32: "<f",
    Kind.BOOL: "<B",
    Kind.UINT64: "<Q",
    Kind.INT64: "<q",
    Kind.FLOAT64: "<d",
}
INTEGERS: Final = frozenset(Kind) - {Kind.FLOAT32, Kind.FLOAT64, Kind.BOOL, Kind.STRING, Kind.ARRAY}


@dataclass(frozen=True, slots=True)
class Scalar:
    """A single value."""

    kind: Kind
    value: int | float | str


@dataclass(frozen=True, slots=True)
class Array:
    """An array of numbers or strings.

    Attributes:
        data: the numbers as they are in the file; empty for strings.
        strings: the strings as bytes, valid UTF-8; empty for numbers.
    """

    kind: Kind
    count: int
    data: bytes
    strings: tuple[bytes, ...]

    def integers(self) -> list[int]:
        return [number for (number,) in struct.iter_unpack(_FORMATS[self.kind], self.data)]

    def floats(self) -> list[float]:
        return [number for (number,) in struct.iter_unpack(_FORMATS[self.kind], self.data)]


@dataclass(frozen=True)
class Header:
    """The part before the tensor table."""

    n_tensors: int
    metadata: Mapping[str, Scalar | Array]


class Reader:
    """A position in a GGUF file.

    Args:
        data: the file, or its beginning of at least `MAX_METADATA` bytes.
        size: bytes of the whole file.
    """

    def __init__(self, data: Buffer, size: int) -> None:
        self.size = size
        self.at = 0
        self._data = data
        self._end = min(len(data), size, MAX_METADATA)

    def skip(self, count: int) -> int:
        """Move on by `count` bytes that exist; returns where they begin."""
        start = self.at
        if count > self._end - start:
            if self.size > self._end:
                raise GgufRejected("gguf_limit", f"The metadata exceed {MAX_METADATA} bytes.")
            raise GgufRejected("gguf_truncated", f"The file ends at byte {self.size}, too early.")
        self.at = start + count
        return start

    def take(self, count: int) -> bytes:
        start = self.skip(count)
        return self._data[start : start + count]

    def number(self, kind: Kind) -> int | float:
        layout = _FORMATS[kind]
        start = self.skip(struct.calcsize(layout))
        (value,) = struct.unpack_from(layout, self._data, start)
        number: int | float = value
        return number

    def integer(self, kind: Kind = Kind.UINT64) -> int:
        return int(self.number(kind))

    def string(self) -> str:
        (text,) = self.strings(1)
        return text.decode()

    def strings(self, count: int) -> tuple[bytes, ...]:
        data, end, at = self._data, self._end, self.at
        length_at = struct.Struct("<Q").unpack_from
        found = []
        for _ in range(count):
            if end - at < 8:
                self.skip(end - self.at + 1)  # refuses
            (length,) = length_at(data, at)
            at += 8
            if length > MAX_STRING:
                raise GgufRejected(
                    "gguf_limit", f"A string of {length} bytes exceeds {MAX_STRING}."
                )
            if length > end - at:
                self.skip(end - self.at + 1)  # refuses
            found.append(data[at : at + length])
            at += length
        self.at = at
        # A separator between the strings, so that none completes its neighbour's characters.
        joined = b"\0".join(found)
        if joined.count(0) != max(count - 1, 0):
            raise GgufRejected("gguf_string", "A string holds NUL.")
        try:
            joined.decode()
        except UnicodeDecodeError as error:
            raise GgufRejected("gguf_string", "A string is not UTF-8.") from error
        return tuple(found)


def read_header(reader: Reader) -> Header:
    """Read up to the tensor table.

    Raises:
        GgufRejected: `gguf_magic`, `gguf_version`, `gguf_limit`, `gguf_truncated`,
            `gguf_name`, `gguf_duplicate`, `gguf_value`, `gguf_string`.
    """
    if reader.size < 4 or reader.take(4) != b"GGUF":
        raise GgufRejected("gguf_magic", "The file does not begin with GGUF.")
    version = reader.integer(Kind.UINT32)
    if version not in (2, 3):
        raise GgufRejected("gguf_version", f"GGUF version {version} is not 2 or 3, little-endian.")
    n_tensors, n_pairs = reader.integer(), reader.integer()
    if not 1 <= n_tensors <= MAX_TENSORS or not 1 <= n_pairs <= MAX_PAIRS:
        raise GgufRejected(
            "gguf_limit",
            f"{n_tensors} tensors, {n_pairs} keys; limits are {MAX_TENSORS} and {MAX_PAIRS}.",
        )
    metadata: dict[str, Scalar | Array] = {}
    for _ in range(n_pairs):
        key = _key(reader)
        if key in metadata:
            raise GgufRejected("gguf_duplicate", f"The key {key} occurs twice.", param=key)
        metadata[key] = _value(reader, key)
    return Header(n_tensors, metadata)


def _key(reader: Reader) -> str:
    length = reader.integer()
    if length > 256:
        raise GgufRejected("gguf_name", f"A key has {length} bytes, more than 256.")
    key = reader.take(length)
    if not _KEY.fullmatch(key):
        raise GgufRejected("gguf_name", f"The key {key!r} is empty or not printable ASCII.")
    return key.decode("ascii")


def _kind(reader: Reader, key: str) -> Kind:
    number = reader.integer(Kind.UINT32)
    try:
        return Kind(number)
    except ValueError as error:
        raise GgufRejected("gguf_value", f"{key} has the unknown type {number}.") from error


def _value(reader: Reader, key: str) -> Scalar | Array:
    kind = _kind(reader, key)
    if kind is Kind.ARRAY:
        return _array(reader, key)
    if kind is Kind.STRING:
        return Scalar(kind, reader.string())
    number = reader.number(kind)
    if kind is Kind.BOOL and number not in (0, 1):
        raise GgufRejected("gguf_value", f"{key} is {number}, not a boolean.", param=key)
    return Scalar(kind, number)


def _array(reader: Reader, key: str) -> Array:
    kind = _kind(reader, key)
    count = reader.integer()
    if kind is Kind.ARRAY:
        raise GgufRejected("gguf_value", f"{key} is an array of arrays.", param=key)
    if count > MAX_ARRAY:
        raise GgufRejected("gguf_limit", f"{key} has {count} elements, more than {MAX_ARRAY}.")
    if kind is Kind.STRING:
        return Array(kind, count, b"", reader.strings(count))
    data = reader.take(count * struct.calcsize(_FORMATS[kind]))
    if kind is Kind.BOOL and data.translate(None, b"\0\1"):
        raise GgufRejected("gguf_value", f"{key} holds what is not a boolean.", param=key)
    return Array(kind, count, data, ())
