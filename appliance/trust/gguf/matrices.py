"""Which weights of a model its matrix products read, and how wide the widest product is.

An engine may keep a second copy of such weights in an order of its own; which ones depends on their
type and on the processor, so they are listed here by type. Rules: a table that is looked up is no
matrix, except where the embedding is also the output; weights of experts are multiplied in another
way and counted separately. Pure.

Source: llama.cpp's llama-arch.cpp (the operation of each tensor), as of llama-cpp-python 0.3.36.
"""

import re
from collections.abc import Mapping
from typing import Final

from appliance.trust.gguf.tensors import TYPES, Tensor

EXPERTS: Final = " experts"
"""What follows the type in the name of a group that holds experts."""
_GROUP: Final = 8  # rows; no build of ggml interleaves fewer
_INPUT: Final = "token_embd.weight"
_TABLES: Final = frozenset(
    {_INPUT, "per_layer_token_embd.weight", "position_embd.weight", "token_types.weight"}
)
_BLOCK: Final = re.compile(r"blk\.\d+\..+\.weight")


def matrices(tensors: Mapping[str, Tensor], *, writes: bool) -> dict[str, int]:
    """Bytes of the weights that matrix products read, by type: "Q4_K", "MXFP4 experts".

    Args:
        writes: the model has an output over its vocabulary, its own or the embedding again.
    """
    tied = writes and "output.weight" not in tensors
    groups: dict[str, int] = {}
    for tensor in tensors.values():
        dimensions = sum(extent > 1 for extent in tensor.shape)
        looked_up = tensor.name in _TABLES and not (tied and tensor.name == _INPUT)
        if dimensions < 2 or looked_up or tensor.shape[1] % _GROUP:
            continue
        name = TYPES[tensor.type].name + (EXPERTS if dimensions > 2 else "")
        groups[name] = groups.get(name, 0) + tensor.bytes
    return dict(sorted(groups.items()))


def widest(tensors: Mapping[str, Tensor], experts_used: int) -> int:
    """Most numbers that one product in a block makes of a token.

    Args:
        experts_used: how many experts compute each token.
    """
    widths = [1]
    for tensor in tensors.values():
        if len(tensor.shape) > 1 and _BLOCK.fullmatch(tensor.name):
            widths.append(tensor.shape[1] * (experts_used if len(tensor.shape) > 2 else 1))
    return max(widths)
