"""Inputs of an importance matrix: those of a model's weights, seen as it computes.

Rules: each matrix of a layer has the mean of the squares of each input, over all tokens, as
llama.cpp's own tool; the token table, the output and experts have none. Tokens that all texts begin
with count once. A number that is not finite ends it.

Source: tools/imatrix/imatrix.cpp and ggml.h of llama.cpp, as of llama-cpp-python 0.3.36.
"""

import ctypes
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from appliance.errors import StateRefused

LARGEST: Final = 256 << 20
"""Most bytes of a matrix."""
_F32: Final = 0
_OPERATIONS: Final = 128
_OBJECT: Final = 32  # bytes before a tensor in ggml's own memory
_LEAST: Final = 1e-6
"""Share of the mean that an input counts at least: other texts may have it."""


class GgmlTensor(ctypes.Structure):
    """`struct ggml_tensor`."""

    _fields_ = (
        ("type", ctypes.c_int),
        ("buffer", ctypes.c_void_p),
        ("ne", ctypes.c_int64 * 4),
        ("nb", ctypes.c_size_t * 4),
        ("op", ctypes.c_int),
        ("op_params", ctypes.c_int32 * 16),
        ("flags", ctypes.c_int32),
        ("src", ctypes.c_void_p * 10),
        ("view_src", ctypes.c_void_p),
        ("view_offs", ctypes.c_size_t),
        ("data", ctypes.c_void_p),
        ("name", ctypes.c_char * 64),
        ("extra", ctypes.c_void_p),
        ("padding", ctypes.c_char * 8),
    )


def multiplication(library: Path) -> int:
    """The number of ggml's matrix product, from libggml-base.so.

    `quantize_failed` when tensors have another layout in memory.
    """
    ggml = ctypes.CDLL(str(library))
    ggml.ggml_op_name.restype, ggml.ggml_op_name.argtypes = ctypes.c_char_p, [ctypes.c_int]
    ggml.ggml_tensor_overhead.restype = ctypes.c_size_t
    if ggml.ggml_tensor_overhead() != _OBJECT + ctypes.sizeof(GgmlTensor):
        raise StateRefused("quantize_failed", "The engine has tensors of another layout.")
    return next(n for n in range(_OPERATIONS) if ggml.ggml_op_name(n) == b"MUL_MAT")


class Inputs:
    """Sums of squares, by weight; `product` is from `multiplication`."""

    def __init__(self, product: int) -> None:
        self._product = product
        self._sums: dict[str, NDArray[np.float64]] = {}
        self._counts: dict[str, int] = {}
        self._tokens = self._skipped = 0
        self._error: Exception | None = None

    def begin(self, tokens: int, skipped: int) -> None:
        self._tokens, self._skipped = tokens, skipped

    def end(self) -> None:
        """End the text, and raise what went wrong in it."""
        if self._error is not None:
            raise self._error

    def seen(self, address: int, ask: bool, _data: object) -> bool:
        """Callback of the library before it computes a node (`ask`; True: it is wanted), and after
        it did (True: continue).
        """
        try:
            node = GgmlTensor.from_address(address)
            if node.op != self._product:
                return not ask
            weight = GgmlTensor.from_address(node.src[0])
            given = GgmlTensor.from_address(node.src[1])
            if ask:
                single = weight.ne[2] * weight.ne[3] == 1
                return bool(weight.name.startswith(b"blk.") and given.type == _F32 and single)
            self._add(weight.name.decode(), _rows(given))
        except Exception as error:  # nothing may leave a callback
            self._error = error
        return not ask

    def _add(self, name: str, rows: NDArray[np.float32]) -> None:
        if len(rows) == self._tokens:
            rows = rows[self._skipped :]
        found = np.square(rows, dtype=np.float64).sum(axis=0)
        self._sums[name] = self._sums.get(name, 0.0) + found
        self._counts[name] = self._counts.get(name, 0) + len(rows)

    def matrix(self) -> dict[str, bytes]:
        """The means of each weight as 32-bit floats (`quantize_failed`)."""
        found = {}
        for name in sorted(self._sums):
            means = self._sums[name] / max(self._counts[name], 1)
            if not np.isfinite(means).all():
                raise StateRefused("quantize_failed", f"The inputs of {name} are not finite.")
            least = float(means.mean()) * _LEAST or 1.0
            found[name] = np.maximum(means, least).astype("<f4").tobytes()
        if not found:
            raise StateRefused("quantize_failed", "No weights of layers were used.")
        return found


def _rows(given: GgmlTensor) -> NDArray[np.float32]:
    """A tensor of 32-bit floats as rows, without a copy if they are contiguous."""
    shape, strides = tuple(given.ne)[::-1], tuple(given.nb)[::-1]
    span = 4 + sum((size - 1) * stride for size, stride in zip(shape, strides, strict=True))
    memory = (ctypes.c_char * span).from_address(given.data)
    values: NDArray[np.float32] = np.ndarray(shape, np.float32, memory, strides=strides)
    return values.reshape(-1, shape[-1])
