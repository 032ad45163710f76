"""Refusal of files on which llama.cpp would abort, or compute for ever. Pure.

Source: the assertions of llama.cpp's llama-model.cpp and ggml-cpu, as of llama-cpp-python 0.3.36,
and mutants that died of them (tests/fuzz/model_mutants.py).
"""

import math
import re
from collections.abc import Mapping
from typing import Final

from appliance.errors import GgufRejected
from appliance.trust.gguf.reader import INTEGERS, Array, Kind, Scalar
from appliance.trust.gguf.tensors import TYPES, Tensor

_NO_KERNEL: Final = frozenset({"Q8_1", "Q8_K", "I8", "I16", "I32", "I64", "F64"})
_ADDED: Final = re.compile(
    r".*norm.*|.*\.bias|token_types\.weight|rope_freqs.*|rope_factors.*|.*\.shortconv\.conv\.weight"
)
_MOST_EXPERTS: Final = 1024  # LLAMA_MAX_EXPERTS
_ONE_HEAD: Final = frozenset(
    {
        "bert", "cohere2", "command-r", "ernie4_5", "exaone4", "gemma4", "glm4", "granite",
        "internlm2", "lfm2", "llama", "mistral3", "olmo2", "phi2", "phi3", "qwen2", "qwen2moe",
        "qwen3", "qwen3moe", "smollm3", "stablelm", "starcoder2",
    }
)  # fmt: skip
"""Architectures whose graph asserts that keys are as long as values."""
_WHOLE_TURN: Final = frozenset(
    {
        "ernie4_5", "exaone4", "granite", "internlm2", "llama", "mistral3", "olmo2", "qwen2",
        "qwen2moe", "qwen3", "qwen3moe", "smollm3", "starcoder2",
    }
)  # fmt: skip
"""Those that assert that the whole of a head is rotated."""
_SCALINGS: Final = frozenset({"none", "linear", "yarn", "longrope"})

Metadata = Mapping[str, Scalar | Array]


def check_types(tensors: Mapping[str, Tensor]) -> None:
    """Refuse tensors that no kernel computes with (`gguf_tensor_type`)."""
    for tensor in tensors.values():
        kind = TYPES[tensor.type].name
        if kind in _NO_KERNEL:
            raise GgufRejected(
                "gguf_tensor_type", f"{tensor.name} is of type {kind}, which weights cannot have."
            )
        added = len(tensor.shape) == 1 or _ADDED.fullmatch(tensor.name)
        if added and kind != "F32":
            raise GgufRejected("gguf_tensor_type", f"{tensor.name} is of type {kind}, not F32.")


def check_numbers(metadata: Metadata, architecture: str, head: int) -> None:
    """Refuse hyper-parameters that no graph can be made of (`gguf_value`).

    Args:
        head: elements of a head where no key states it.
    """
    own = f"{architecture}."
    for key, value in metadata.items():
        if key.startswith(own):
            _check_finite(key, value)
    _check_heads(metadata, architecture, head)
    layers = _number(metadata, own + "block_count", 1)
    ahead = _number(metadata, own + "nextn_predict_layers", 0)
    if not 0 <= ahead <= layers:
        raise _refused(own + "nextn_predict_layers", ahead, f"0 to {layers}")
    scaling = metadata.get(own + "rope.scaling.type")
    if isinstance(scaling, Scalar) and scaling.value not in _SCALINGS:
        raise _refused(own + "rope.scaling.type", scaling.value, "a known way of scaling")
    _check_experts(metadata, own)
    if architecture == "gemma-embedding":
        _check_gemma(metadata, own, layers)
    if architecture == "lfm2":
        window = _number(metadata, own + "shortconv.l_cache", 0)
        if window < 2:
            raise _refused(own + "shortconv.l_cache", window, "2 or more")


def _check_gemma(metadata: Metadata, own: str, layers: int) -> None:
    """The graph asserts these widths, and that there are layers with a window and without one."""
    width = _number(metadata, own + "embedding_length", 0)
    for name in ("dense_2_feat_in", "dense_3_feat_out"):
        found = _number(metadata, own + name, 0)
        if found not in (0, width):
            raise _refused(own + name, found, f"{width}, the width of the embeddings")
    pattern = metadata.get(own + "attention.sliding_window_pattern")
    if isinstance(pattern, Array):
        windows = set(pattern.data[:layers])
        if pattern.kind is not Kind.BOOL or windows != {0, 1}:
            raise _refused(own + "attention.sliding_window_pattern", pattern.kind, "of both kinds")
        return
    every = _number(metadata, own + "attention.sliding_window_pattern", 6)
    if not 2 <= every <= layers:
        raise _refused(own + "attention.sliding_window_pattern", every, f"2 to {layers}")


def _check_heads(metadata: Metadata, architecture: str, head: int) -> None:
    keys = values = turned = head
    for which in ("", "_swa"):  # of all layers, and of those with a window
        own = f"{architecture}.%s{which}"
        keys = _number(metadata, own % "attention.key_length", keys)
        values = _number(metadata, own % "attention.value_length", values)
        turned = _number(metadata, own % "rope.dimension_count", turned if which else keys)
        if architecture in _ONE_HEAD and keys != values:
            raise _refused(own % "attention.key_length", keys, f"{values} as the value's")
        least = keys if architecture in _WHOLE_TURN else 2
        if not least <= turned <= keys or turned % 2:
            raise _refused(own % "rope.dimension_count", turned, f"even, from {least} to {keys}")


def _check_finite(key: str, value: Scalar | Array) -> None:
    if isinstance(value, Array):
        numbers = value.floats() if value.kind in (Kind.FLOAT32, Kind.FLOAT64) else []
    else:
        numbers = [value.value] if isinstance(value.value, float) else []
    if not all(map(math.isfinite, numbers)):
        raise GgufRejected("gguf_value", f"{key} is not finite.", param=key)
    if key.endswith("epsilon") and not all(0 <= number <= 1 for number in numbers):
        raise _refused(key, numbers, "0 to 1")


def _check_experts(metadata: Metadata, own: str) -> None:
    experts = _number(metadata, own + "expert_count", 0)
    if not 0 <= experts <= _MOST_EXPERTS:
        raise _refused(own + "expert_count", experts, f"0 to {_MOST_EXPERTS}")
    used = _numbers(metadata, own + "expert_used_count")
    if not min(1, experts) <= max(used) <= experts or min(used) < 0:
        raise _refused(own + "expert_used_count", max(used), f"{min(1, experts)} to {experts}")
    groups = _number(metadata, own + "expert_group_count", 0)
    if not 0 <= groups < max(experts, 1) or (groups and experts % groups):
        raise _refused(own + "expert_group_count", groups, f"a divisor of {experts}")
    in_use = _number(metadata, own + "expert_group_used_count", 0)
    if groups > 1 and not 0 < in_use < groups:
        raise _refused(own + "expert_group_used_count", in_use, f"1 to {groups - 1}")


def _numbers(metadata: Metadata, key: str) -> list[int]:
    value = metadata.get(key)
    if isinstance(value, Array) and value.kind in INTEGERS and value.count:
        return value.integers()
    if isinstance(value, Array):
        raise _refused(key, "an array of another type", "numbers")
    return [_number(metadata, key, 0)]


def _number(metadata: Metadata, key: str, default: int) -> int:
    """An integer; llama.cpp refuses another type in order."""
    value = metadata.get(key)
    if isinstance(value, Scalar) and value.kind in INTEGERS:
        return int(value.value)
    return default


def _refused(key: str, value: object, wanted: str) -> GgufRejected:
    return GgufRejected("gguf_value", f"{key} is {value}, not {wanted}.", param=key)
