"""Weights of a model that its matrix products read, and the width of the widest product. Pure.

An engine may keep such weights in an order of its own, by type, use and processor; so weights of
experts, tables and a tied embedding (table and output) are counted separately.

Source: llama.cpp's llama-arch.cpp (the operation of each tensor), as of llama-cpp-python 0.3.36.
"""

import re
from collections.abc import Mapping
from typing import Final

from appliance.trust.gguf.tensors import TYPES, Tensor

EXPERTS: Final = " experts"
"""Ends the name of a group that holds experts."""
TABLE: Final = " table"
"""The same for tables of rows that are looked up."""
TIED: Final = " tied"
"""The same for an embedding that is also the output."""
_GROUP: Final = 8  # rows; no build of ggml interleaves fewer
_INPUT: Final = "token_embd.weight"
_TABLES: Final = frozenset(
    {_INPUT, "per_layer_token_embd.weight", "position_embd.weight", "token_types.weight"}
)
_BLOCK: Final = re.compile(r"blk\.\d+\..+\.weight")


def matrices(tensors: Mapping[str, Tensor], *, writes: bool) -> dict[str, int]:
    """Bytes of weights by type and use: "Q4_K", "MXFP4 experts", "Q6_K table", "Q8_0 tied".

    Args:
        writes: the model has an output over its vocabulary, its own or the embedding again.
    """
    rows = looked_up(tensors, writes=writes)
    groups: dict[str, int] = {}
    for tensor in tensors.values():
        dimensions = sum(extent > 1 for extent in tensor.shape)
        if dimensions < 2:
            continue
        if tensor.name in _TABLES:
            use = TABLE if tensor.name in rows else TIED
        elif tensor.shape[1] % _GROUP:
            continue
        else:
            use = EXPERTS if dimensions > 2 else ""
        name = TYPES[tensor.type].name + use
        groups[name] = groups.get(name, 0) + tensor.bytes
    return dict(sorted(groups.items()))


def looked_up(tensors: Mapping[str, Tensor], *, writes: bool) -> frozenset[str]:
    """Names of the tables that no product reads; arguments as `matrices`."""
    tied = writes and "output.weight" not in tensors
    return _TABLES - {_INPUT} if tied else _TABLES


def widest(tensors: Mapping[str, Tensor], experts_used: int) -> int:
    """Most numbers that one product in a block makes of a token, for `experts_used` experts."""
    widths = [1]
    for tensor in tensors.values():
        if len(tensor.shape) > 1 and _BLOCK.fullmatch(tensor.name):
            widths.append(tensor.shape[1] * (experts_used if len(tensor.shape) > 2 else 1))
    return max(widths)
