"""GGUF's tensor table: shapes, types and where the data lie.

Rules: the data of the tensors follow each other in the order of the table, each padded to the
alignment, from the first aligned byte after the table to the end of the file: so nothing
overlaps, nothing hides in a gap and nothing follows. Arithmetic is exact, and sizes that a
64-bit reader could not hold are refused.

Source: ggml's type traits, as of llama-cpp-python 0.3.36.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

from appliance.errors import GgufRejected
from appliance.trust.gguf_reader import Array, Header, Kind, Reader, Scalar

DEFAULT_ALIGNMENT: Final = 32
MAX_ALIGNMENT: Final = 64 << 10
MAX_ELEMENTS: Final = (1 << 63) - 1
# ggml keeps 63 bytes of a name.
_NAME: Final = re.compile(rb"[\x21-\x7e]{1,63}")

BLOCKS: Final[Mapping[int, tuple[int, int]]] = MappingProxyType(
    {
        0: (1, 4),  # F32
        1: (1, 2),  # F16
        2: (32, 18),  # Q4_0
        3: (32, 20),  # Q4_1
        6: (32, 22),  # Q5_0
        7: (32, 24),  # Q5_1
        8: (32, 34),  # Q8_0
        9: (32, 36),  # Q8_1
        10: (256, 84),  # Q2_K
        11: (256, 110),  # Q3_K
        12: (256, 144),  # Q4_K
        13: (256, 176),  # Q5_K
        14: (256, 210),  # Q6_K
        15: (256, 292),  # Q8_K
        16: (256, 66),  # IQ2_XXS
        17: (256, 74),  # IQ2_XS
        18: (256, 98),  # IQ3_XXS
        19: (256, 50),  # IQ1_S
        20: (32, 18),  # IQ4_NL
        21: (256, 110),  # IQ3_S
        22: (256, 82),  # IQ2_S
        23: (256, 136),  # IQ4_XS
        24: (1, 1),  # I8
        25: (1, 2),  # I16
        26: (1, 4),  # I32
        27: (1, 8),  # I64
        28: (1, 8),  # F64
        29: (256, 56),  # IQ1_M
        30: (1, 2),  # BF16
        34: (256, 54),  # TQ1_0
        35: (256, 66),  # TQ2_0
        39: (32, 17),  # MXFP4
        40: (64, 36),  # NVFP4
        41: (128, 18),  # Q1_0
        42: (64, 18),  # Q2_0
    }
)
"""Elements and bytes of a block, by ggml type; types that were removed are missing."""


@dataclass(frozen=True, slots=True)
class Tensor:
    """One row of the table; `shape` has the fastest dimension first, as ggml's `ne`."""

    name: str
    shape: tuple[int, ...]
    bytes: int
    type: int


def read_tensors(reader: Reader, header: Header) -> dict[str, Tensor]:
    """Read the table and hold it against the size of the file.

    Raises:
        GgufRejected: `gguf_alignment`, `gguf_name`, `gguf_duplicate`, `gguf_tensor_shape`,
            `gguf_tensor_type`, `gguf_tensor_offset`, `gguf_truncated`, `gguf_trailing`,
            `gguf_limit`.
    """
    alignment = _alignment(header.metadata.get("general.alignment"))
    tensors: dict[str, Tensor] = {}
    padded = 0
    for _ in range(header.n_tensors):
        tensor, offset = _tensor(reader)
        if tensor.name in tensors:
            raise GgufRejected("gguf_duplicate", f"The tensor {tensor.name} occurs twice.")
        if offset != padded:
            raise GgufRejected(
                "gguf_tensor_offset", f"{tensor.name} lies at {offset}, not at {padded}."
            )
        padded = _pad(padded + tensor.bytes, alignment)
        tensors[tensor.name] = tensor
    start = _pad(reader.at, alignment)
    # The last tensor is padded too, as every known writer does it: one file, one length.
    if reader.size < start + padded:
        raise GgufRejected(
            "gguf_truncated", f"The tensors end at {start + padded}, the file at {reader.size}."
        )
    if reader.size > start + padded:
        raise GgufRejected(
            "gguf_trailing", f"{reader.size - start - padded} bytes follow the tensor data."
        )
    return tensors


def _alignment(value: Scalar | Array | None) -> int:
    if value is None:
        return DEFAULT_ALIGNMENT
    if not isinstance(value, Scalar) or value.kind is not Kind.UINT32:
        raise GgufRejected("gguf_alignment", "general.alignment is not of type uint32.")
    alignment = int(value.value)
    if not 1 <= alignment <= MAX_ALIGNMENT or alignment & (alignment - 1):
        raise GgufRejected(
            "gguf_alignment", f"{alignment} is not a power of two up to {MAX_ALIGNMENT}."
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
    if kind not in BLOCKS:
        raise GgufRejected("gguf_tensor_type", f"{name} has the unknown type {kind}.")
    per_block, block_bytes = BLOCKS[kind]
    if shape[0] % per_block:
        raise GgufRejected(
            "gguf_tensor_shape",
            f"Rows of {name} have {shape[0]} elements, not blocks of {per_block}.",
        )
    size = elements // per_block * block_bytes
    if size > MAX_ELEMENTS - MAX_ALIGNMENT:
        raise GgufRejected("gguf_tensor_shape", f"{name} would take {size} bytes.")
    return Tensor(name, shape, size, kind), reader.integer()
