"""Small computations with ggml through ctypes, for the checks of CPU and GPU backends.

Runs in a child process: what is allocated goes with it.
"""

import ctypes
from array import array
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

F32: Final = 0
F16: Final = 1
_SIZE = 64
_POINTER, _INTEGER, _SIZE_T = ctypes.c_void_p, ctypes.c_int64, ctypes.c_size_t


class _InitParams(ctypes.Structure):
    """`struct ggml_init_params`."""

    _fields_ = [
        ("mem_size", ctypes.c_size_t),
        ("mem_buffer", ctypes.c_void_p),
        ("no_alloc", ctypes.c_bool),
    ]


def call(library: ctypes.CDLL, name: str, result: Any, *pairs: tuple[Any, Any]) -> Any:
    """Call a C function by name with typed arguments, each with its type."""
    function = getattr(library, name)
    function.restype, function.argtypes = result, [kind for kind, _ in pairs]
    return function(*(value for _, value in pairs))


class Backend:
    """One CPU library, loaded next to the `libggml-base.so` and `libggml.so` of its directory.

    Attributes:
        works: ggml took the library; nothing else may be used otherwise.
        extra: further buffer types of weights, by name.
    """

    def __init__(self, library: Path) -> None:
        directory = library.parent
        self.base = ctypes.CDLL(str(directory / "libggml-base.so"), mode=ctypes.RTLD_GLOBAL)
        ggml = ctypes.CDLL(str(directory / "libggml.so"), mode=ctypes.RTLD_GLOBAL)
        path = (ctypes.c_char_p, str(library).encode())
        registry = call(ggml, "ggml_backend_load", _POINTER, path)
        self.works = bool(registry)
        if not registry:
            return
        self.library = ctypes.CDLL(str(library))
        self._registry = (_POINTER, registry)
        device = call(self.base, "ggml_backend_reg_dev_get", _POINTER, self._registry, (_SIZE_T, 0))
        init = call(
            self.base, "ggml_backend_dev_init", _POINTER, (_POINTER, device), (_POINTER, None)
        )
        self.backend = int(init)
        plain = call(self.base, "ggml_backend_dev_buffer_type", _POINTER, (_POINTER, device))
        self._plain = int(plain)
        self.extra = self._extra(device)

    def _extra(self, device: int) -> dict[str, int]:
        function = ctypes.CFUNCTYPE(ctypes.POINTER(_POINTER), _POINTER)
        found = function(self._function("ggml_backend_dev_get_extra_bufts"))(device)
        types: dict[str, int] = {}
        index = 0
        while found and (kind := found[index]):
            name = call(self.base, "ggml_backend_buft_name", ctypes.c_char_p, (_POINTER, kind))
            types[name.decode()] = kind
            index += 1
        return types

    def _function(self, name: str) -> int:
        found = call(
            self.base,
            "ggml_backend_reg_get_proc_address",
            _POINTER,
            self._registry,
            (ctypes.c_char_p, name.encode()),
        )
        return int(found or 0)

    def set_threads(self, threads: int) -> None:
        function = ctypes.CFUNCTYPE(None, _POINTER, ctypes.c_int)
        function(self._function("ggml_backend_set_n_threads"))(self.backend, threads)

    def text(self, name: str) -> str:
        if not hasattr(self.library, name):
            return ""
        return str(call(self.library, name, ctypes.c_char_p).decode())

    def quantised(self, kind: int, values: "array[float]", width: int) -> bytes:
        size = call(self.base, "ggml_row_size", _SIZE_T, (ctypes.c_int, kind), (_INTEGER, width))
        rows = len(values) // width
        to = ctypes.create_string_buffer(size * rows)
        call(
            self.base,
            "ggml_quantize_chunk",
            _SIZE_T,
            (ctypes.c_int, kind),
            (_POINTER, values.buffer_info()[0]),
            (_POINTER, ctypes.addressof(to)),
            (_INTEGER, 0),
            (_INTEGER, rows),
            (_INTEGER, width),
            (_POINTER, None),
        )
        return to.raw

    def dequantised(self, name: str, data: bytes, count: int) -> "array[float]":
        """The floats of a type's quantised bytes, by ggml's own reference."""
        to = array("f", bytes(4 * count))
        arguments = (_POINTER, _bytes(data)), (_POINTER, to.buffer_info()[0]), (_INTEGER, count)
        call(self.base, f"dequantize_row_{name}", None, *arguments)
        return to

    def product(
        self,
        kind: int,
        weights: bytes,
        inputs: "array[float]",
        width: int,
        rows: int,
        where: int | None = None,
    ) -> "array[float]":
        """The product of a matrix of weights with rows of inputs, by rows of inputs.

        Args:
            where: the buffer type of the weights; None is plain memory.
        """
        graph = Graph(self)
        count = len(inputs) // width
        a = graph.tensor(kind, (width, rows), weights, where)
        b = graph.tensor(F32, (width, count), inputs.tobytes())
        out = call(self.base, "ggml_mul_mat", _POINTER, graph.context, (_POINTER, a), (_POINTER, b))
        return graph.compute(out, rows * count)

    def attention(
        self,
        shape: tuple[int, int, int, int, int],
        parts: Sequence[bytes],
        scale: float,
    ) -> "array[float]":
        """Flash attention; the result by query, head, value.

        Args:
            shape: width, queries, heads, heads of the cache, cells.
            parts: queries as floats, keys, values and mask as half floats.
        """
        width, queries, heads, kv_heads, cells = shape
        graph = Graph(self)
        cache = (width, cells, kv_heads)
        shapes = (width, queries, heads), cache, cache, (cells, queries)
        tensors = [
            graph.tensor(F32 if i == 0 else F16, shapes[i], parts[i]) for i in range(len(shapes))
        ]
        numbers = [(ctypes.c_float, number) for number in (scale, 0.0, 0.0)]
        pointers = [(_POINTER, tensor) for tensor in tensors]
        out = call(self.base, "ggml_flash_attn_ext", _POINTER, graph.context, *pointers, *numbers)
        return graph.compute(out, width * queries * heads)

    def adapted(
        self, shape: tuple[int, int, int, int], parts: Sequence[bytes], scale: float
    ) -> "array[float]":
        """llama.cpp's product with an adapter: to + scale * B (A x), by input.

        Args:
            shape: width, rank, rows, inputs.
            parts: A and B as half floats, inputs and what is added to as floats.
        """
        width, rank, rows, count = shape
        graph = Graph(self)
        shapes = (width, rank), (rank, rows), (width, count), (rows, count)
        kinds = F16, F16, F32, F32
        a, b, x, to = (
            (_POINTER, graph.tensor(kind, shape, part))
            for kind, shape, part in zip(kinds, shapes, parts, strict=True)
        )
        context = graph.context
        low = graph.placed(call(self.base, "ggml_mul_mat", _POINTER, context, a, x))
        product = graph.placed(call(self.base, "ggml_mul_mat", _POINTER, context, b, low))
        factor = (ctypes.c_float, scale)
        scaled = graph.placed(call(self.base, "ggml_scale", _POINTER, context, product, factor))
        out = call(self.base, "ggml_add", _POINTER, context, to, scaled)
        return graph.compute(out, rows * count)

    @property
    def plain(self) -> int:
        return self._plain


class Graph:
    """Tensors with their memory, and the computation that ends in one of them."""

    def __init__(self, backend: Backend) -> None:
        self._backend = backend
        params = (_InitParams, _InitParams(1 << 20, None, True))
        self.context = (_POINTER, call(backend.base, "ggml_init", _POINTER, params))

    def tensor(
        self, kind: int, shape: tuple[int, ...], data: bytes, where: int | None = None
    ) -> int:
        base = self._backend.base
        sizes = [(_INTEGER, n) for n in shape]
        made = call(
            base,
            f"ggml_new_tensor_{len(shape)}d",
            _POINTER,
            self.context,
            (ctypes.c_int, kind),
            *sizes,
        )
        self._place(made, self._backend.plain if where is None else where)
        call(
            base,
            "ggml_backend_tensor_set",
            None,
            (_POINTER, made),
            (_POINTER, _bytes(data)),
            (_SIZE_T, 0),
            (_SIZE_T, len(data)),
        )
        return int(made)

    def compute(self, out: int, count: int) -> "array[float]":
        backend, result = self._backend, array("f", bytes(4 * count))
        self._place(out, backend.plain)
        graph = (_POINTER, call(backend.base, "ggml_new_graph", _POINTER, self.context))
        call(backend.base, "ggml_build_forward_expand", None, graph, (_POINTER, out))
        ours = (_POINTER, backend.backend)
        if call(backend.base, "ggml_backend_graph_compute", ctypes.c_int, ours, graph):
            raise RuntimeError("ggml computed nothing")
        call(
            backend.base,
            "ggml_backend_tensor_get",
            None,
            (_POINTER, out),
            (_POINTER, result.buffer_info()[0]),
            (_SIZE_T, 0),
            (_SIZE_T, 4 * count),
        )
        return result

    def placed(self, tensor: int) -> tuple[Any, int]:
        """The tensor with memory for its values, for other computations."""
        self._place(tensor, self._backend.plain)
        return (_POINTER, tensor)

    def _place(self, tensor: int, where: int) -> None:
        base, kind, ours = self._backend.base, (_POINTER, where), (_POINTER, tensor)
        size = call(base, "ggml_backend_buft_get_alloc_size", _SIZE_T, kind, ours)
        buffer = call(base, "ggml_backend_buft_alloc_buffer", _POINTER, kind, (_SIZE_T, size))
        start = call(base, "ggml_backend_buffer_get_base", _POINTER, (_POINTER, buffer))
        pointers = (_POINTER, buffer), ours, (_POINTER, start)
        call(base, "ggml_backend_tensor_alloc", ctypes.c_int, *pointers)


def _bytes(data: bytes) -> int | None:
    return ctypes.cast(ctypes.c_char_p(data), _POINTER).value


def product_is_right(base: ctypes.CDLL, backend: int) -> bool:
    """Multiply two matrices of small whole numbers on a backend and compare with Python.

    The numbers are exact in every float type that a GPU may compute with.
    """
    pointer, integer, size = ctypes.c_void_p, ctypes.c_int64, ctypes.c_size_t
    context = call(base, "ggml_init", pointer, (_InitParams, _InitParams(1 << 20, None, True)))
    a, b = (
        call(
            base,
            "ggml_new_tensor_2d",
            pointer,
            (pointer, context),
            (ctypes.c_int, F32),
            (integer, _SIZE),
            (integer, _SIZE),
        )
        for _ in range(2)
    )
    product = call(base, "ggml_mul_mat", pointer, (pointer, context), (pointer, a), (pointer, b))
    graph = call(base, "ggml_new_graph", pointer, (pointer, context))
    call(base, "ggml_build_forward_expand", None, (pointer, graph), (pointer, product))
    call(base, "ggml_backend_alloc_ctx_tensors", pointer, (pointer, context), (pointer, backend))
    array = ctypes.c_float * (_SIZE * _SIZE)
    left = array(*(float((3 * i) % 7 - 3) for i in range(_SIZE * _SIZE)))
    right = array(*(float((5 * i) % 11 - 5) for i in range(_SIZE * _SIZE)))
    nbytes = ctypes.sizeof(array)
    for tensor, values in ((a, left), (b, right)):
        call(
            base,
            "ggml_backend_tensor_set",
            None,
            (pointer, tensor),
            (pointer, ctypes.addressof(values)),
            (size, 0),
            (size, nbytes),
        )
    if call(base, "ggml_backend_graph_compute", ctypes.c_int, (pointer, backend), (pointer, graph)):
        return False
    out = array()
    call(
        base,
        "ggml_backend_tensor_get",
        None,
        (pointer, product),
        (pointer, ctypes.addressof(out)),
        (size, 0),
        (size, nbytes),
    )
    wanted = [
        sum(left[r * _SIZE + k] * right[c * _SIZE + k] for k in range(_SIZE))
        for c in range(_SIZE)
        for r in range(_SIZE)
    ]
    return list(out) == wanted
