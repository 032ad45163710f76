"""GGUF's tensor table: shapes, types and where the data are.

Rules: the data follow each other in the order of the table, each padded to the alignment, from the
first aligned byte after the table to the end of the file. Sizes that a 64-bit reader could not hold
are refused.

Source: ggml's type traits, as of llama-cpp-python 0.3.36.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

from appliance.errors import GgufRejected
from appliance.trust.gguf.reader import Array, Header, Kind, Reader, Scalar

DEFAULT_ALIGNMENT: Final = 32
MAX_ALIGNMENT: Final = 64 << 10
MAX_ELEMENTS: Final = (1 << 63) - 1
# ggml keeps 63 bytes of a name.
_NAME: Final = re.compile(rb"[\x21-\x7e]{1,63}")


@dataclass(frozen=True, slots=True)
class TensorType:
    """A ggml type: how many elements a block holds, and in how many bytes."""

    name: str
    elements: int
    bytes: int


TYPES: Final[Mapping[int, TensorType]] = MappingProxyType(
    {
        0: TensorType("F32", 1, 4),
        1: TensorType("F16", 1, 2),
        2: TensorType("Q4_0", 32, 18),
        3: TensorType("Q4_1", 32, 20),
        6: TensorType("Q5_0", 32, 22),
        7: TensorType("Q5_1", 32, 24),
        8: TensorType("Q8_0", 32, 34),
        9: TensorType("Q8_1", 32, 36),
        10: TensorType("Q2_K", 256, 84),
        11: TensorType("Q3_K", 256, 110),
        12: TensorType("Q4_K", 256, 144),
        13: TensorType("Q5_K", 256, 176),
        14: TensorType("Q6_K", 256, 210),
        15: TensorType("Q8_K", 256, 292),
        16: TensorType("IQ2_XXS", 256, 66),
        17: TensorType("IQ2_XS", 256, 74),
        18: TensorType("IQ3_XXS", 256, 98),
        19: TensorType("IQ1_S", 256, 50),
        20: TensorType("IQ4_NL", 32, 18),
        21: TensorType("IQ3_S", 256, 110),
        22: TensorType("IQ2_S", 256, 82),
        23: TensorType("IQ4_XS", 256, 136),
        24: TensorType("I8", 1, 1),
        25: TensorType("I16", 1, 2),
        26: TensorType("I32", 1, 4),
        27: TensorType("I64", 1, 8),
        28: TensorType("F64", 1, 8),
        29: TensorType("IQ1_M", 256, 56),
        30: TensorType("BF16", 1, 2),
        34: TensorType("TQ1_0", 256, 54),
        35: TensorType("TQ2_0", 256, 66),
        39: TensorType("MXFP4", 32, 17),
        40: TensorType("NVFP4", 64, 36),
        41: TensorType("Q1_0", 128, 18),
        42: TensorType("Q2_0", 64, 18),
    }
)
"""By ggml's number; types that were removed are missing."""


@dataclass(frozen=True, slots=True)
class Tensor:
    """One row of the table; `shape` has the fastest dimension first, as ggml's `ne`."""

    name: str
    shape: tuple[int, ...]
    bytes: int
    type: int


def read_tensors(reader: Reader, header: Header) -> dict[str, Tensor]:
    """Read the table and check it against the size of the file.

    Raises:
        GgufRejected: `gguf_alignment`, `gguf_name`, `gguf_duplicate`, `gguf_tensor_shape`,
            `gguf_tensor_type`, `gguf_tensor_offset`, `gguf_truncated`, `gguf_trailing`,
            `gguf_limit`.
    """
    alignment = _alignment(header.metadata.get("general.alignment"))
    tensors: dict[str, Tensor] = {}
    padded = end = 0
    for _ in range(header.n_tensors):
        tensor, offset = _tensor(reader)
        if tensor.name in tensors:
            raise GgufRejected("gguf_duplicate", f"The tensor {tensor.name} occurs twice.")
        if offset != padded:
            raise GgufRejected(
                "gguf_tensor_offset", f"{tensor.name} is at {offset}, not at {padded}."
            )
        end = padded + tensor.bytes
        padded = _pad(end, alignment)
        tensors[tensor.name] = tensor
    start = _pad(reader.at, alignment)
    # llama.cpp's own writers pad the last tensor too, those of Ollama and MLX do not: two lengths.
    if reader.size < start + padded and reader.size != start + end:
        raise GgufRejected(
            "gguf_truncated", f"The tensors end at {start + padded}, the file at {reader.size}."
        )
    if reader.size > start + padded:
        raise GgufRejected(
            "gguf_trailing", f"{reader.size - start - padded} bytes follow the tensor data."
        )
    return tensors


def places(
    reader: Reader, header: Header, tensors: Mapping[str, Tensor]
) -> Iterator[tuple[Tensor, int]]:
    """Each tensor of a table that was just read, and where its bytes begin in the file."""
    alignment = _alignment(header.metadata.get("general.alignment"))
    at = _pad(reader.at, alignment)
    for tensor in tensors.values():
        yield tensor, at
        at += _pad(tensor.bytes, alignment)


def _alignment(value: Scalar | Array | None) -> int:
    if value is None:
        return DEFAULT_ALIGNMENT
    if not isinstance(value, Scalar) or value.kind is not Kind.UINT32:
        raise GgufRejected("gguf_alignment", "general.alignment is not of type uint32.")
    alignment = int(value.value)
    if not DEFAULT_ALIGNMENT <= alignment <= MAX_ALIGNMENT or alignment & (alignment - 1):
        raise GgufRejected(  # ggml's kernels read vectors of 32 bytes
            "gguf_alignment",
            f"{alignment} is not a power of two from {DEFAULT_ALIGNMENT} to {MAX_ALIGNMENT}.",
        )
    return alignment


def _pad(offset: int, alignment: int) -> int:
    return (offset + alignment - 1) & -alignment


def _tensor(reader: Reader) -> tuple[Tensor, int]:
    length = reader.integer()
    if length > 63:
        raise GgufRejected("gguf_name", f"A tensor's name has {length} bytes, more than 63.")
    raw = reader.take(length)
    if not _NAME.fullmatch(raw):
        raise GgufRejected("gguf_name", f"The tensor name {raw!r} is empty or not printable ASCII.")
    name = raw.decode("ascii")
    n_dims = reader.integer(Kind.UINT32)
    if not 1 <= n_dims <= 4:
        raise GgufRejected("gguf_tensor_shape", f"{name} has {n_dims} dimensions.")
    shape = tuple(reader.integer(Kind.INT64) for _ in range(n_dims))
    elements = 1
    for extent in shape:
        elements *= extent
        if extent < 1 or elements > MAX_ELEMENTS:
            raise GgufRejected("gguf_tensor_shape", f"{name} has the shape {shape}.")
    kind = reader.integer(Kind.UINT32)
    if kind not in TYPES:
        raise GgufRejected("gguf_tensor_type", f"{name} has the unknown type {kind}.")
    block = TYPES[kind]
    if shape[0] % block.elements:
        raise GgufRejected(
            "gguf_tensor_shape",
            f"Rows of {name} have {shape[0]} elements, not blocks of {block.elements}.",
        )
    size = elements // block.elements * block.bytes
    if size > MAX_ELEMENTS - MAX_ALIGNMENT:
        raise GgufRejected("gguf_tensor_shape", f"{name} would take {size} bytes.")
    return Tensor(name, shape, size, kind), reader.integer()
