"""The weights of a base as 32-bit floats, from the bytes of its GGUF file.

Rules: ggml itself unpacks blocks, so that every number is the engine's; an unused tensor is
refused, because the trained model would be another one than the served.

Source: ggml.h, `ggml_get_type_traits`, as of llama-cpp-python 0.3.36.
"""

import ctypes
import mmap
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from appliance.errors import TuningRefused
from appliance.trust.gguf.reader import Reader, Scalar, read_header
from appliance.trust.gguf.tensors import Tensor, places, read_tensors

ARCHITECTURES: Final = ("llama", "qwen2")
"""Architectures that the network computes, compared with llama.cpp by tests."""
_F32: Final = 0

Matrix = NDArray[np.float32]
Unpack = Callable[[int, memoryview, Matrix], None]
"""Type, blocks, and where the numbers go."""


class _Traits(ctypes.Structure):
    """`struct ggml_type_traits`."""

    _fields_ = (
        ("type_name", ctypes.c_char_p),
        ("blck_size", ctypes.c_int64),
        ("blck_size_interleave", ctypes.c_int64),
        ("type_size", ctypes.c_size_t),
        ("is_quantized", ctypes.c_bool),
        ("to_float", ctypes.c_void_p),
        ("from_float_ref", ctypes.c_void_p),
    )


@dataclass(frozen=True)
class Shape:
    """The numbers of a decoder, as in the header.

    Attributes:
        pairs: whether the position turns neighbours (llama) or the two halves of a head (qwen2).
    """

    architecture: str
    layers: int
    width: int
    heads: int
    heads_kv: int
    head: int
    epsilon: float
    base: float
    pairs: bool


def unpacker(library: Path) -> Unpack:
    """ggml's own conversion of blocks to floats, from the engine's libggml-base.so."""
    ggml = ctypes.CDLL(str(library))
    ggml.ggml_get_type_traits.restype = ctypes.POINTER(_Traits)
    ggml.ggml_get_type_traits.argtypes = [ctypes.c_int]
    convert = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_int64)

    def unpack(kind: int, blocks: memoryview, into: Matrix) -> None:
        raw = np.frombuffer(blocks, np.uint8)
        if kind == _F32:
            into[:] = raw.view("<f4")
            return
        address = ggml.ggml_get_type_traits(kind).contents.to_float
        if not address:
            raise TuningRefused("tuning_architecture", f"ggml unpacks no tensors of type {kind}.")
        convert(address)(raw.ctypes.data, into.ctypes.data, into.size)

    return unpack


def read(data: mmap.mmap, unpack: Unpack) -> tuple[Shape, dict[str, Matrix]]:
    """Matrices are (outputs, inputs).

    Raises:
        GgufRejected: the file is no GGUF.
        TuningRefused: `tuning_architecture`.
    """
    reader = Reader(data, len(data))
    header = read_header(reader)
    tensors = read_tensors(reader, header)
    shape = shape_of({k: v.value for k, v in header.metadata.items() if isinstance(v, Scalar)})
    if unknown := sorted(set(tensors) - _known(shape)):
        raise _refused(f"the trainer does not compute {unknown[0]}")
    view = memoryview(data)
    weights = {}
    for tensor, at in places(reader, header, tensors):
        weights[tensor.name] = _unpacked(tensor, view[at : at + tensor.bytes], unpack)
    return shape, weights


def check_architecture(name: str) -> None:
    """Raises TuningRefused (`tuning_architecture`)."""
    if name not in ARCHITECTURES:
        raise _refused(f"{name[:40]!r} cannot be trained here; {' and '.join(ARCHITECTURES)} can")


def shape_of(metadata: dict[str, int | float | str]) -> Shape:
    """Raises TuningRefused (`tuning_architecture`)."""
    name = str(metadata.get("general.architecture", ""))
    check_architecture(name)
    if str(metadata.get(f"{name}.rope.scaling.type", "none")) != "none":
        raise _refused("positions that are scaled cannot be trained here")

    def number(key: str, default: float | None = None) -> float:
        value = metadata.get(f"{name}.{key}", default)
        if not isinstance(value, int | float):
            raise _refused(f"{name}.{key} is missing or no number")
        return value

    width, heads = int(number("embedding_length")), int(number("attention.head_count"))
    head = int(number("attention.key_length", width // heads))
    if int(number("rope.dimension_count", head)) != head:
        raise _refused("heads of which a part has no position cannot be trained here")
    return Shape(
        architecture=name,
        layers=int(number("block_count")),
        width=width,
        heads=heads,
        heads_kv=int(number("attention.head_count_kv", heads)),
        head=head,
        epsilon=number("attention.layer_norm_rms_epsilon"),
        base=number("rope.freq_base", 10_000.0),
        pairs=name == "llama",
    )


def _known(shape: Shape) -> set[str]:
    linear = ("attn_q", "attn_k", "attn_v", "attn_output", "ffn_gate", "ffn_up", "ffn_down")
    names = {"token_embd.weight", "output_norm.weight", "output.weight"}
    for layer in range(shape.layers):
        names |= {f"blk.{layer}.{name}.weight" for name in (*linear, "attn_norm", "ffn_norm")}
        names |= {f"blk.{layer}.{name}.bias" for name in linear}
    return names


def _unpacked(tensor: Tensor, blocks: memoryview, unpack: Unpack) -> Matrix:
    values = np.empty(tensor.shape[::-1], np.float32)
    unpack(tensor.type, blocks, values.reshape(-1))
    return values


_refused: Final = TuningRefused.of("tuning_architecture", "This base cannot be tuned")
