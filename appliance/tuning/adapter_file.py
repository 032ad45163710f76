"""The GGUF file of an adapter, from its matrices. Pure.

Rules: weights are named and laid out as in the base's own file, so nothing is converted; matrices
are 16-bit floats; the same matrices give the same bytes.

Source: ggml/docs/gguf.md; llama-adapter.cpp of llama.cpp for the names, as of llama-cpp-python
0.3.36.
"""

import struct
from collections.abc import Mapping
from typing import Final

import numpy as np
from numpy.typing import NDArray

from appliance.errors import TuningRefused
from appliance.trust.gguf.gguf import GgufFacts
from appliance.trust.gguf.reader import Kind
from appliance.trust.gguf.tensors import DEFAULT_ALIGNMENT

LINEAR: Final = (
    "attn_q", "attn_k", "attn_v", "attn_output", "ffn_gate", "ffn_up", "ffn_down",
)  # fmt: skip
"""The layers next to which an adapter has its pairs."""
_F16: Final = 1
_VERSION: Final = 3

Matrices = Mapping[str, NDArray[np.float32]]
"""By name, `WEIGHT.lora_a` of shape (rank, inputs) and `WEIGHT.lora_b` of (outputs, rank)."""


def zeros(facts: GgufFacts, rank: int) -> Matrices:
    """An adapter that changes nothing, as costly as any."""
    found = {}
    for name, tensor in facts.tensors.items():
        if name.startswith("blk.") and name.split(".")[2] in LINEAR and name.endswith(".weight"):
            inputs, outputs = tensor.shape
            found[f"{name}.lora_a"] = np.zeros((rank, inputs), np.float32)
            found[f"{name}.lora_b"] = np.zeros((outputs, rank), np.float32)
    return found


def write(matrices: Matrices, *, architecture: str, name: str, alpha: float) -> bytes:
    """Raises TuningRefused: `tuning_not_finite` for a number beyond 16 bits."""
    pairs = {
        "general.type": _text("adapter"),
        "general.architecture": _text(architecture),
        "general.name": _text(name),
        "adapter.type": _text("lora"),
        "adapter.lora.alpha": struct.pack("<If", Kind.FLOAT32, alpha),
    }
    head = b"GGUF" + struct.pack("<IQQ", _VERSION, len(matrices), len(pairs))
    head += b"".join(_string(key) + value for key, value in pairs.items())
    bodies = []
    at = 0
    for key in sorted(matrices):
        with np.errstate(over="ignore"):
            values = matrices[key].astype("<f2")
        if not np.isfinite(values).all():
            raise TuningRefused("tuning_not_finite", f"{key} holds a number that is not finite.")
        shape = values.shape[::-1]  # the fastest dimension first
        head += _string(key) + struct.pack("<I", len(shape))
        head += b"".join(struct.pack("<Q", size) for size in shape)
        head += struct.pack("<IQ", _F16, at)
        body = _padded(values.tobytes())
        bodies.append(body)
        at += len(body)
    return _padded(head) + b"".join(bodies)


def _text(value: str) -> bytes:
    return struct.pack("<I", Kind.STRING) + _string(value)


def _string(value: str) -> bytes:
    raw = value.encode()
    return struct.pack("<Q", len(raw)) + raw


def _padded(data: bytes) -> bytes:
    return data + bytes(-len(data) % DEFAULT_ALIGNMENT)
