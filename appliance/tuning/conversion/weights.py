"""Maps the tensors of a safetensors file to those of a GGUF file. Pure.

Rules: exactly the tensors of the architecture are there, in the shapes of config.json; norms and
biases become 32-bit floats for llama.cpp, matrices keep their type; rows of Llama's queries and
keys are put in the order of llama.cpp's rotation.

Source: conversion/llama.py and gguf-py/gguf/tensor_mapping.py of llama.cpp.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

import numpy as np
from numpy.typing import NDArray

from appliance.errors import TuningRefused
from appliance.tuning.conversion.config import DecoderConfig
from appliance.tuning.conversion.gguf_file import TensorPlace
from appliance.tuning.conversion.safetensors import SIZES, Stored

TYPES: Final[Mapping[str, int]] = MappingProxyType({"F32": 0, "F16": 1, "BF16": 30})
"""ggml's numbers."""
FILE_TYPES: Final[Mapping[str, int]] = MappingProxyType({"F32": 0, "F16": 1, "BF16": 32})
"""llama.cpp's numbers of files whose matrices have a type."""
_EMBEDDING: Final = "model.embed_tokens.weight"
_UNUSED: Final = ".rotary_emb.inv_freq"  # what older versions of transformers wrote beside


@dataclass(frozen=True)
class Planned:
    """A tensor of the new file.

    Attributes:
        turned: heads whose rows are reordered; 0 for none.
    """

    place: TensorPlace
    stored: Stored
    turned: int = 0

    def converted(self, data: bytes) -> bytes:
        dtype = self.stored.dtype
        if len(self.place.shape) == 1:
            return _floats(data, dtype).tobytes()
        if not self.turned:
            return data
        rows = np.frombuffer(data, f"<u{SIZES[dtype]}").reshape(self.place.shape)
        pairs = rows.reshape(self.turned, 2, len(rows) // self.turned // 2, rows.shape[1])
        return pairs.swapaxes(1, 2).tobytes()


def plan(config: DecoderConfig, stored: Mapping[str, Stored]) -> list[Planned]:
    """In file order. Raises TuningRefused (`convert_tensors`)."""
    wanted = _wanted(config)
    left = {name for name in stored if not name.endswith(_UNUSED)}
    if config.tied:
        left.discard("lm_head.weight")  # the same numbers again
    if missing := sorted(wanted.keys() - left):
        raise _refused(f"{missing[0]} is missing")
    if unknown := sorted(left - wanted.keys()):
        raise _refused(f"{unknown[0][:80]} is no tensor of {config.architecture}")
    found = []
    for name, (new, shape, turned) in wanted.items():
        one = stored[name]
        if one.shape != shape:
            raise _refused(f"{name} has the shape {one.shape}, and config.json says {shape}")
        single = len(shape) == 1
        kind = 0 if single else TYPES[one.dtype]
        size = 4 * shape[0] if single else one.size
        found.append(Planned(TensorPlace(new, shape, kind, size), one, turned))
    return found


def type_of(stored: Mapping[str, Stored]) -> str:
    """The file's type: that of the table of tokens."""
    return stored[_EMBEDDING].dtype


def _wanted(config: DecoderConfig) -> dict[str, tuple[str, tuple[int, ...], int]]:
    """By name, the new name, the shape, and the heads to turn."""
    width, inner, kv = config.width, config.inner, config.heads_kv * config.head
    queries = config.heads * config.head
    turned = config.architecture == "llama"
    found: dict[str, tuple[str, tuple[int, ...], int]] = {
        _EMBEDDING: ("token_embd.weight", (config.vocabulary, width), 0)
    }
    for layer in range(config.layers):
        old, new = f"model.layers.{layer}.", f"blk.{layer}."
        for name, target, rows, columns, heads in (
            ("self_attn.q_proj", "attn_q", queries, width, config.heads * turned),
            ("self_attn.k_proj", "attn_k", kv, width, config.heads_kv * turned),
            ("self_attn.v_proj", "attn_v", kv, width, 0),
            ("self_attn.o_proj", "attn_output", width, queries, 0),
            ("mlp.gate_proj", "ffn_gate", inner, width, 0),
            ("mlp.up_proj", "ffn_up", inner, width, 0),
            ("mlp.down_proj", "ffn_down", width, inner, 0),
        ):
            found[f"{old}{name}.weight"] = (f"{new}{target}.weight", (rows, columns), heads)
            if config.architecture == "qwen2" and target in ("attn_q", "attn_k", "attn_v"):
                found[f"{old}{name}.bias"] = (f"{new}{target}.bias", (rows,), 0)
        found[f"{old}input_layernorm.weight"] = (f"{new}attn_norm.weight", (width,), 0)
        found[f"{old}post_attention_layernorm.weight"] = (f"{new}ffn_norm.weight", (width,), 0)
    found["model.norm.weight"] = ("output_norm.weight", (width,), 0)
    if not config.tied:
        found["lm_head.weight"] = ("output.weight", (config.vocabulary, width), 0)
    return found


def _floats(data: bytes, dtype: str) -> NDArray[np.float32]:
    if dtype == "BF16":  # the upper half of a 32-bit float
        return (np.frombuffer(data, "<u2").astype("<u4") << 16).view("<f4")
    return np.frombuffer(data, "<f4" if dtype == "F32" else "<f2").astype("<f4")


_refused: Final = TuningRefused.of("convert_tensors", "The weights")
