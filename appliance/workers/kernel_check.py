"""Check a CPU library's kernels before any worker, in a child.

The inputs are whole numbers that quantise without a rest, so that a right kernel differs from the
sums in double precision by the rounding of 32-bit floats only, and a wrong one by far more.
"""

import math
import random
import struct
from array import array
from collections.abc import Iterator, Sequence
from typing import Final

from appliance.workers.ggml_graphs import Backend

INTERLEAVED: Final = "CPU_INTERLEAVED"
FORMATS: Final = {"Q4_0": 2, "Q4_1": 3, "Q4_K": 12, "Q5_0": 6, "Q6_K": 14, "Q8_0": 8}
"""Formats with a kernel: their number in ggml."""
_WIDTH, _ROWS, _INPUTS = 512, 19, 11  # neither whole groups of rows nor whole panels of inputs
_WORST: Final = 1e-5  # of the sum of the absolute products
_ATTENTION: Final = (
    (64, 9, 4, 2, 70), (64, 1, 3, 1, 150), (128, 3, 2, 2, 40), (256, 2, 1, 1, 66),
    (32, 5, 2, 2, 70), (80, 2, 2, 1, 40), (96, 2, 2, 1, 40), (64, 1, 1, 1, 600),
)  # fmt: skip
_ADAPTERS: Final = ((64, 10, 35, 11), (576, 16, 48, 1))


def names(backend: Backend) -> list[str]:
    """The kernels of the library, in the order of their bits."""
    return [name for name in backend.text("kernels_names").split(",") if name]


def wrong(backend: Backend) -> Iterator[str]:
    """The kernels with wrong results."""
    for name in names(backend):
        if name == "attention":
            right = all(attention_is_right(backend, shape) for shape in _ATTENTION)
        elif name == "adapter":
            right = all(adapter_is_right(backend, shape) for shape in _ADAPTERS)
        elif name == "tiles":
            right = all(product_is_right(backend, kind, tiles=True) for kind in FORMATS)
        else:
            right = name in FORMATS and product_is_right(backend, name)
        if not right:
            yield name


def product_is_right(backend: Backend, name: str, *, tiles: bool = False) -> bool:
    """Multiply a matrix of one format with exact inputs; with tiles, weights have 16 bits."""
    count = 3 * _INPUTS if tiles else _INPUTS  # more than two tiles, and not three
    dice = random.Random(name)  # noqa: S311 - numbers to multiply
    values = array(
        "f", (dice.gauss(0, 1) * 2 ** dice.randint(-2, 2) for _ in range(_WIDTH * _ROWS))
    )
    weights = backend.quantised(FORMATS[name], values, _WIDTH)
    exact = backend.dequantised(name.lower().replace("_k", "_K"), weights, _WIDTH * _ROWS)
    inputs = array("f", _inputs(dice, count))
    where = backend.extra.get(INTERLEAVED)
    if tiles:
        if not backend.library.kernels_prompt(1):
            return False  # the processor has none, or may not use them
        exact = _rounded(exact)
    found = backend.product(FORMATS[name], weights, inputs, _WIDTH, _ROWS, where)
    if tiles:
        backend.library.kernels_prompt(0)
    rows = [exact[r * _WIDTH : (r + 1) * _WIDTH] for r in range(_ROWS)]
    for i in range(count):
        x = inputs[i * _WIDTH : (i + 1) * _WIDTH]
        for r, row in enumerate(rows):
            products = [a * b for a, b in zip(row, x, strict=True)]
            bound = _WORST * math.fsum(map(abs, products))
            if not abs(found[i * _ROWS + r] - math.fsum(products)) <= bound:
                return False
    return True


def _rounded(values: "array[float]") -> "array[float]":
    """To the nearest floats of 16 bits, of two the even one."""
    bits = array("I", values.tobytes())
    near = array("I", ((b + 0x7FFF + (b >> 16 & 1)) & 0xFFFF0000 for b in bits))
    return array("f", near.tobytes())


def _inputs(dice: random.Random, count: int) -> Iterator[float]:
    """Inputs whose blocks of 32 are whole numbers up to 127, times a power of two."""
    for _ in range(count * _WIDTH // 32):
        scale = 2.0 ** dice.randint(-3, 3)
        yield 127 * scale * dice.choice((-1, 1))
        yield from (dice.randint(-127, 127) * scale for _ in range(31))


def attention_is_right(backend: Backend, shape: tuple[int, int, int, int, int]) -> bool:
    """Attend with a mask of which the last query sees few cells, and the first all."""
    width, queries, heads, kv_heads, cells = shape
    dice = random.Random(width * queries)  # noqa: S311 - numbers to multiply
    q, k, v = (
        [dice.randint(-16, 16) / 16 for _ in range(width * count)]
        for count in (queries * heads, cells * kv_heads, cells * kv_heads)
    )
    mask = [
        0.0 if dice.random() * queries >= i else -math.inf
        for i in range(queries)
        for _ in range(cells)
    ]
    parts = [array("f", q).tobytes(), *(struct.pack(f"{len(x)}e", *x) for x in (k, v, mask))]
    scale = width**-0.5
    found = backend.attention(shape, parts, scale)
    for i in range(queries):
        seen = [c for c in range(cells) if mask[i * cells + c] == 0.0]
        for h in range(heads):
            query = q[(h * queries + i) * width :][:width]
            at = h // (heads // kv_heads) * cells
            wanted = _attend(query, k, v, [(at + c) * width for c in seen], scale)
            result = found[(i * heads + h) * width :][:width]
            if not all(abs(a - b) <= _WORST for a, b in zip(result, wanted, strict=True)):
                return False
    return True


def adapter_is_right(backend: Backend, shape: tuple[int, int, int, int]) -> bool:
    """Add an adapter's product, in whole numbers that are exact in floats.

    Half floats do not hold the inputs, so ggml's own nodes would not give these sums.
    """
    width, rank, rows, count = shape
    dice = random.Random(rank)  # noqa: S311 - numbers to multiply
    a, b, x, to = (
        [float(dice.randint(-most, most)) for _ in range(size)]
        for size, most in (
            (width * rank, 1), (rank * rows, 1), (width * count, 4095), (rows * count, 99)
        )
    )  # fmt: skip
    x = [2 * value + 1 for value in x]
    parts = [
        *(struct.pack(f"{len(part)}e", *part) for part in (a, b)),
        *(array("f", part).tobytes() for part in (x, to)),
    ]
    found = backend.adapted(shape, parts, 0.5)
    for i in range(count):
        inputs = x[i * width :][:width]
        low = [
            sum(p * q for p, q in zip(a[r * width :][:width], inputs, strict=True))
            for r in range(rank)
        ]
        for r in range(rows):
            added = sum(p * q for p, q in zip(b[r * rank :][:rank], low, strict=True))
            if found[i * rows + r] != to[i * rows + r] + 0.5 * added:
                return False
    return True


def _attend(
    query: Sequence[float], k: Sequence[float], v: Sequence[float], cells: list[int], scale: float
) -> list[float]:
    width = len(query)
    scores = [
        scale * sum(a * b for a, b in zip(query, k[c : c + width], strict=True)) for c in cells
    ]
    most = max(scores, default=0.0)
    weights = [math.exp(score - most) for score in scores]
    total = sum(weights) or 1.0
    return [
        sum(w * v[c + j] for w, c in zip(weights, cells, strict=True)) / total for j in range(width)
    ]
