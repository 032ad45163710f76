"""Check that the numbers of tensors are finite: a NaN would spread over every answer it takes part
in.

Only the given bytes are checked: at an import a large file's beginning, at a load all.
"""

from collections.abc import Callable, Iterable, Mapping
from types import MappingProxyType
from typing import Final

import numpy as np

from appliance.trust.gguf.reader import Buffer
from appliance.trust.gguf.tensors import TYPES, Tensor

_BLOCKS_AT_ONCE: Final = 1 << 18
_Q8_0: Final = np.dtype([("scale", "<f2"), ("numbers", "i1", 32)])
_EXPONENT: Final = 0x7F80  # of a 16-bit brain float: all ones is no finite number


def _finite_bf16(data: bytes) -> bool:
    exponents = np.frombuffer(data, "<u2") & _EXPONENT
    return not bool((exponents == _EXPONENT).any())


_FINITE: Final[Mapping[int, Callable[[bytes], bool]]] = MappingProxyType(
    {
        0: lambda data: bool(np.isfinite(np.frombuffer(data, "<f4")).all()),
        1: lambda data: bool(np.isfinite(np.frombuffer(data, "<f2")).all()),
        8: lambda data: bool(np.isfinite(np.frombuffer(data, _Q8_0)["scale"]).all()),
        30: _finite_bf16,
    }
)
"""By ggml type: F32, F16, Q8_0, BF16."""


def not_finite(data: Buffer, places: Iterable[tuple[Tensor, int]]) -> str | None:
    """The name of the first tensor with a number that is not finite, if any.

    Args:
        data: the file, or its beginning.
        places: tensors of the types above, and where their bytes begin in the file.
    """
    for tensor, begin in places:
        finite, block = _FINITE[tensor.type], TYPES[tensor.type].bytes
        end = min(begin + tensor.bytes, len(data) - (len(data) - begin) % block)
        for at in range(begin, end, _BLOCKS_AT_ONCE * block):
            # A copy, so that nothing keeps the memory that the file is mapped into.
            if not finite(bytes(data[at : min(at + _BLOCKS_AT_ONCE * block, end)])):
                return tensor.name
    return None
