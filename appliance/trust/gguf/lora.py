"""Vetting a GGUF file that holds a LoRA adapter, before llama.cpp sees a byte of it.

Rules: the file must be one plain LoRA: a finite scale, and pairs of two matrices of finite numbers
for weights that the engine applies adapters to. Everything is refused that llama.cpp would ignore
(norms), abort at (types, shapes) or do otherwise (activation by tokens, prompts of its own).

Source: llama.cpp's llama-adapter.cpp and convert_lora_to_gguf.py, as of llama-cpp-python 0.3.36.
"""

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from appliance.errors import GgufRejected
from appliance.text import visible
from appliance.trust.gguf.gguf import ARCHITECTURES, GgufFacts, Metadata, text_of
from appliance.trust.gguf.numbers import not_finite
from appliance.trust.gguf.reader import Buffer, Kind, Reader, Scalar, read_header
from appliance.trust.gguf.tensors import Tensor, places, read_tensors

MAX_RANK: Final = 1_024
MAX_FILE: Final = 4 << 30
_TENSOR: Final = re.compile(
    r"(output|blk\.\d{1,3}\.(?:attn_(?:q|k|v|qkv|output)|ffn_(?:gate|up|down)))\.weight\.lora_([ab])"
)
_FLOATS: Final = ((0, 0), (1, 1))
_TYPES: Final = frozenset({0, 1, 8, 30})  # F32, F16, Q8_0, BF16: what adapters are converted to
_NVFP4: Final = 40  # llama.cpp aborts where an adapter meets weights of this type
_KEYS: Final = frozenset({"adapter.type", "adapter.lora.alpha"})


@dataclass(frozen=True)
class Pair:
    """The two matrices of one weight; shapes have the fastest dimension first."""

    down: tuple[int, ...]  # A: input, rank
    up: tuple[int, ...]  # B: rank, output
    floats: bool = True  # both are F32, or both are F16


@dataclass(frozen=True)
class Lora:
    """Facts of a vetted adapter.

    Attributes:
        architecture: of the base.
        tensor_bytes: bytes of all tensors, without padding.
        rank: the largest.
        alpha: the scale is this divided by the rank.
        pairs: by the name of the weight that they change.
    """

    architecture: str
    file_bytes: int
    tensor_bytes: int
    rank: int
    alpha: float
    name: str
    pairs: Mapping[str, Pair]


def vet_lora(data: Buffer, size: int | None = None) -> Lora:
    """Check a GGUF file of an adapter, and its numbers. Arguments and errors as `gguf.vet`."""
    reader = Reader(data, len(data) if size is None else size)
    if reader.size > MAX_FILE:
        raise GgufRejected("gguf_limit", f"An adapter has at most {MAX_FILE} bytes.")
    header = read_header(reader)
    metadata = header.metadata
    # Before the tensors: the refusal of a whole model says so in a word.
    if text_of(metadata, "general.type", "model") != "adapter":
        raise GgufRejected(
            "model_in_adapter_place", "The file is a model, and the id is that of an adapter."
        )
    tensors = read_tensors(reader, header)
    if text_of(metadata, "adapter.type") != "lora":
        raise _unsupported("adapter.type is not lora")
    for key in metadata:
        if key not in _KEYS and not key.startswith("general."):
            raise _unsupported(f"{visible(key, limit=64)} has a meaning that the engine ignores")
    architecture = text_of(metadata, "general.architecture")
    if architecture not in ARCHITECTURES:
        shown = visible(architecture, limit=64)
        raise GgufRejected("gguf_architecture", f"The architecture {shown!r} is not on the list.")
    pairs = _pairs(tensors)
    if name := not_finite(data, places(reader, header, tensors)):
        raise GgufRejected(
            "adapter_not_finite", f"{name} holds a number that is not finite.", param=name
        )
    return Lora(
        architecture=architecture,
        file_bytes=reader.size,
        tensor_bytes=sum(tensor.bytes for tensor in tensors.values()),
        rank=max(pair.up[0] for pair in pairs.values()),
        alpha=_alpha(metadata),
        name=text_of(metadata, "general.name", ""),
        pairs=pairs,
    )


def check_shapes(lora: Lora, base: GgufFacts) -> None:
    """Refuse an adapter whose matrices do not fit its base (`adapter_shape`,
    `adapter_unsupported`).
    """
    if base.kind != "generate":
        raise _unsupported("only models that write text take adapters")
    if lora.architecture != base.architecture:
        raise GgufRejected(
            "adapter_shape", f"The adapter is for {lora.architecture}, not {base.architecture}."
        )
    for name, pair in lora.pairs.items():
        weight = base.tensors.get(name)
        if weight is None:
            raise GgufRejected("adapter_shape", f"The base has no {name}.", param=name)
        if weight.shape != (pair.down[0], pair.up[1]):
            raise GgufRejected(
                "adapter_shape",
                f"{name} has the shape {weight.shape}; the adapter is for "
                f"{(pair.down[0], pair.up[1])}.",
                param=name,
            )
        if weight.type == _NVFP4:
            raise _unsupported(f"{name} of the base is of a type that takes no adapter")


def _pairs(tensors: Mapping[str, Tensor]) -> dict[str, Pair]:
    halves: dict[str, dict[str, Tensor]] = {}
    for tensor in tensors.values():
        match = _TENSOR.fullmatch(tensor.name)
        if match is None:
            raise _unsupported(f"the engine would not apply {tensor.name}")
        if tensor.type not in _TYPES:
            raise _unsupported(f"{tensor.name} is not F32, F16, BF16 or Q8_0")
        halves.setdefault(f"{match[1]}.weight", {})[match[2]] = tensor
    return {name: _pair(name, half) for name, half in halves.items()}


def _pair(name: str, half: Mapping[str, Tensor]) -> Pair:
    if len(half) != 2:
        raise GgufRejected("adapter_shape", f"{name} lacks one of its two matrices.", param=name)
    down, up = half["a"].shape, half["b"].shape
    if len(down) != 2 or len(up) != 2 or down[1] != up[0]:
        raise GgufRejected(
            "adapter_shape",
            f"{name}: {down} and {up} are not two matrices of one rank.",
            param=name,
        )
    if up[0] > MAX_RANK:
        raise GgufRejected("gguf_limit", f"{name} has rank {up[0]}, more than {MAX_RANK}.")
    return Pair(down, up, (half["a"].type, half["b"].type) in _FLOATS)


def _alpha(metadata: Metadata) -> float:
    value = metadata.get("adapter.lora.alpha")
    # llama.cpp takes 0 for "no scale" and aborts at another type.
    if not isinstance(value, Scalar) or value.kind is not Kind.FLOAT32:
        raise GgufRejected("gguf_value", "adapter.lora.alpha is missing or not a 32-bit float.")
    alpha = float(value.value)
    if not math.isfinite(alpha) or alpha <= 0:
        raise GgufRejected("gguf_value", "adapter.lora.alpha is not a finite positive number.")
    return alpha


_unsupported: Final = GgufRejected.of("adapter_unsupported", "Adapter")
