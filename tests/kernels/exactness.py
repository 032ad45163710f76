"""Errors of the kernels of one CPU library, and of ggml's own, against double precision.

A process for each library, since two of them do not go into one.

usage: python -m tests.kernels.exactness LIBRARY > ERRORS.json
"""

import json
import sys
from array import array
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from appliance.workers.ggml_graphs import Backend
from appliance.workers.kernel_check import FORMATS, INTERLEAVED, names

SHAPES = ((512, 96, 1), (2048, 80, 33), (768, 17, 9), (256, 31, 2), (512, 48, 512))
"""Width, rows, inputs."""
ADAPTERS = ((576, 16, 1536, 40), (64, 7, 35, 19), (256, 64, 100, 1))
"""Width, rank, rows, inputs."""
ATTENTIONS = ((64, 9, 9, 3, 1100), (128, 1, 2, 2, 700), (32, 33, 4, 4, 300), (256, 2, 4, 1, 600))
"""Width, queries, heads, heads of the cache, cells."""
THREADS = (1, 2, 5, 8)
Matrix = NDArray[np.float64]


def floats(found: "array[float]", *shape: int) -> NDArray[np.float32]:
    return np.frombuffer(found, np.float32).reshape(shape)


def rounded(x: NDArray[np.float32]) -> Matrix:
    """Inputs as the kernels keep them: whole numbers of 8 bits, a float scale for 32 of them."""
    blocks = x.reshape(len(x), -1, 32)
    peak = np.abs(blocks).max(axis=2, keepdims=True)
    inverse = np.divide(np.float32(127), peak, out=np.zeros_like(peak), where=peak > 0)
    whole = np.rint(blocks * inverse).astype(np.float64)
    kept: Matrix = whole * (peak / np.float32(127))
    return kept.reshape(x.shape)


def case(name: str, shape: tuple[int, int, int], dice: np.random.Generator) -> tuple[Any, ...]:
    width, rows, count = shape
    weights = dice.standard_normal((rows, width)) * dice.lognormal(0, 1, (rows, 1))
    inputs = dice.standard_normal((count, width)) * dice.lognormal(0, 1, (1, width))
    return weights.astype(np.float32), inputs.astype(np.float32)


def errors(backend: Backend, name: str) -> dict[str, list[float]]:
    dice = np.random.default_rng(7)
    found: dict[str, list[float]] = {}

    def note(what: str, number: float) -> None:
        found.setdefault(what, []).append(float(number))

    for shape in SHAPES:
        width, rows, count = shape
        if width % (256 if name.endswith("K") else 32):
            continue
        weights, inputs = case(name, shape, dice)
        packed = backend.quantised(FORMATS[name], array("f", weights.tobytes()), width)
        exact = backend.dequantised(name.lower().replace("_k", "_K"), packed, width * rows)
        w = floats(exact, rows, width).astype(np.float64)
        size = np.abs(inputs).astype(np.float64) @ np.abs(w.T)
        x = array("f", inputs.tobytes())
        results = {}
        for where in ("ours", "ggml"):
            kind = backend.extra[INTERLEAVED] if where == "ours" else None
            for threads in THREADS if where == "ours" else (1,):
                backend.set_threads(threads)
                product = backend.product(FORMATS[name], packed, x, width, rows, kind)
                results[f"{where}{threads}"] = floats(product, count, rows)
            error = np.abs(results[f"{where}1"] - inputs.astype(np.float64) @ w.T) / size
            note(f"{where} max", error.max())
            note(f"{where} mean", error.mean())
        ours = results["ours1"]
        note("beyond the inputs", (np.abs(ours - rounded(inputs) @ w.T) / size).max())
        note("wrong sign", (np.abs(-ours - rounded(inputs) @ w.T) / size).max())
        note("threads differ", sum((results[f"ours{n}"] != ours).any() for n in THREADS))
        backend.set_threads(1)
        alone = backend.product(
            FORMATS[name], packed, x[-width:], width, rows, backend.extra[INTERLEAVED]
        )
        note("alone differs", (floats(alone, rows) != ours[-1]).any())
    return found


def adapter_errors(backend: Backend) -> dict[str, list[float]]:
    dice = np.random.default_rng(8)
    found: dict[str, list[float]] = {}

    def note(what: str, number: float) -> None:
        found.setdefault(what, []).append(float(number))

    for shape in ADAPTERS:
        width, rank, rows, count = shape
        a, b = (
            dice.standard_normal(size).astype(np.float16) for size in ((rank, width), (rows, rank))
        )
        x, to = (dice.standard_normal((count, n)).astype(np.float32) for n in (width, rows))
        wide = [part.astype(np.float64) for part in (a, b, x, to)]
        exact = wide[3] + 2 * wide[2] @ wide[0].T @ wide[1].T
        size = np.abs(wide[3]) + 2 * np.abs(wide[2]) @ np.abs(wide[0].T) @ np.abs(wide[1].T)

        def added(columns: slice, shape=shape, parts=(a, b, x, to)) -> NDArray[np.float32]:  # type: ignore[no-untyped-def]
            some = [parts[0], parts[1], parts[2][columns], parts[3][columns]]
            told = (*shape[:3], len(some[2]))
            return floats(backend.adapted(told, [p.tobytes() for p in some], 2.0), -1, shape[2])

        results = {}
        for threads in THREADS:
            backend.set_threads(threads)
            results[threads] = added(slice(None))
        backend.set_threads(1)
        note("ours max", (np.abs(results[1] - exact) / size).max())
        note("threads differ", sum((results[n] != results[1]).any() for n in THREADS))
        note("alone differs", (added(slice(-1, None))[0] != results[1][-1]).any())
        backend.library.kernels_refuse(1 << names(backend).index("adapter"))
        note("ggml max", (np.abs(added(slice(None)) - exact) / size).max())
        backend.library.kernels_refuse(0)
    return found


def attention_errors(backend: Backend) -> dict[str, list[float]]:
    """Of attention, whose tasks are cut by the number of threads and of queries."""
    dice = np.random.default_rng(9)
    found: dict[str, list[float]] = {"threads differ": [], "alone differs": []}
    for width, queries, heads, kv_heads, cells in ATTENTIONS:
        sizes = ((heads, queries, width), *[(kv_heads, cells, width)] * 2)
        q, k, v = (dice.standard_normal(size).astype(np.float32) for size in sizes)
        mask = np.where(dice.random((queries, cells)) < 0.9, 0, -np.inf).astype(np.float16)
        halves = [part.astype(np.float16).tobytes() for part in (k, v)]

        def of(rows: slice, q=q, halves=halves, mask=mask, heads=heads, kv=kv_heads) -> Any:  # type: ignore[no-untyped-def]
            some, seen = np.ascontiguousarray(q[:, rows]), mask[rows]
            shape = (some.shape[2], some.shape[1], heads, kv, seen.shape[1])
            parts = [some.tobytes(), *halves, seen.tobytes()]
            return floats(backend.attention(shape, parts, 0.125), len(seen), heads, -1)

        results = {}
        for threads in THREADS:
            backend.set_threads(threads)
            results[threads] = of(slice(None))
        first = results[1]
        found["threads differ"].append(float(any((results[n] != first).any() for n in THREADS)))
        single = of(slice(-1, None))  # with many threads: segments are computed apart
        found["alone differs"].append(float((single[0] != first[-1]).any()))
        backend.set_threads(1)
    return found


def main(library: Path) -> None:
    backend = Backend(library)
    found = {name: errors(backend, name) for name in FORMATS}
    found |= {"adapter": adapter_errors(backend), "attention": attention_errors(backend)}
    sys.stdout.write(json.dumps(found))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
