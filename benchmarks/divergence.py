"""The divergence of a model when its weights are multiplied in 8 bits, format by format.

The model is written twice: its matrices in one format, and as the floats that the format stands
for, so that only the arithmetic differs. Each format has a process of its own.

usage: python -m benchmarks.divergence [--tokens N]
       python -m benchmarks.divergence --format FORMAT [--tokens N] [--library PATH] > FIGURES.json
"""

import argparse
import ctypes
import json
import os
import subprocess
import sys
import tempfile
import time
from array import array
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import llama_cpp.llama_cpp as llama
import numpy as np
from numpy.typing import NDArray

from appliance.engine.cfile import reading
from appliance.engine.runner import Library
from appliance.trust.gguf.reader import MAX_METADATA, Reader, read_header
from appliance.trust.gguf.tensors import TYPES, Tensor, read_tensors
from appliance.workers import cpu_variants
from appliance.workers.ggml_graphs import Backend
from appliance.workers.kernel_check import FORMATS
from benchmarks.machine import CHECKOUT
from benchmarks.results import Figure
from benchmarks.sheets import keep
from benchmarks.statistics import Summary
from installer.bundle.cache import cache_root
from installer.bundle.default_model import default_model, obtain
from installer.bundle.steps import say
from tests.requantised import rewrite

CHUNK = 512
"""Tokens that see each other."""
ALL = (1 << len(FORMATS)) - 1
"""The bits of all kernels but attention, which stays the same."""
_F32 = 0
Logits = NDArray[np.float64]


def write(library: Path, name: str, quantised: Path, exact: Path) -> None:
    """Both files of a format; matrices that its blocks do not divide stay in floats."""
    backend = Backend(library)
    data = obtain(cache_root() / "models", default_model()).read_bytes()
    reader = Reader(data[:MAX_METADATA], len(data))
    tensors = read_tensors(reader, read_header(reader))
    heads = bytearray(data[: reader.at]), bytearray(data[: reader.at])
    bodies = bytearray(), bytearray()
    start = reader.at + -reader.at % 32
    for tensor in tensors.values():
        old = data[start : start + tensor.bytes]
        start += tensor.bytes + -tensor.bytes % 32
        floats, kind = _floats(backend, tensor, old), _F32
        new = floats.tobytes()
        block = 256 if name.endswith("K") else 32
        if (
            tensor.name.startswith("blk.")
            and len(tensor.shape) == 2
            and not tensor.shape[0] % block
        ):
            kind = FORMATS[name]
            new = backend.quantised(kind, floats, tensor.shape[0])
            floats = backend.dequantised(_lower(name), new, len(floats))
        for head, body, what, raw in (
            (heads[0], bodies[0], kind, new),
            (heads[1], bodies[1], _F32, floats.tobytes()),
        ):
            rewrite(head, tensor.name, len(tensor.shape), what, len(body))
            body += raw + bytes(-len(raw) % 32)
    for path, head, body in zip((quantised, exact), heads, bodies, strict=True):
        path.write_bytes(bytes(head) + bytes(-len(head) % 32) + bytes(body))


def _floats(backend: Backend, tensor: Tensor, raw: bytes) -> "array[float]":
    if tensor.type == _F32:
        return array("f", raw)
    count = int(np.prod(tensor.shape))
    return backend.dequantised(_lower(TYPES[tensor.type].name), raw, count)


def _lower(name: str) -> str:
    return name.lower().replace("_k", "_K")


class Reading:
    """A model that reads tokens."""

    def __init__(self, path: Path) -> None:
        params = llama.llama_model_default_params()
        params.load_mode = 0
        with reading(os.open(path, os.O_RDONLY)) as file:
            self._model = llama.llama_model_load_from_file_ptr(file, params)
        context = llama.llama_context_default_params()
        context.n_ctx = context.n_batch = context.n_ubatch = context.n_outputs_max = CHUNK
        context.n_threads = context.n_threads_batch = os.cpu_count() or 1
        self._context = llama.llama_init_from_model(self._model, context)
        self.vocabulary = llama.llama_model_get_vocab(self._model)
        self._words = int(llama.llama_vocab_n_tokens(self.vocabulary))
        self._batch = llama.llama_batch_init(CHUNK, 0, 1)

    def read(self, tokens: list[int]) -> NDArray[np.float32]:
        """Logits after each token."""
        llama.llama_memory_clear(llama.llama_get_memory(self._context), True)
        batch: Any = self._batch
        for i, token in enumerate(tokens):
            batch.token[i], batch.pos[i], batch.n_seq_id[i] = token, i, 1
            batch.seq_id[i][0], batch.logits[i] = 0, 1
        batch.n_tokens = len(tokens)
        if llama.llama_decode(self._context, batch):
            raise RuntimeError("llama_decode")
        shape = len(tokens), self._words
        found = np.ctypeslib.as_array(llama.llama_get_logits(self._context), shape)
        return np.array(found)


def measure(library: Path, name: str, count: int) -> dict[str, dict[str, float]]:
    """Of our kernel and of ggml's: mean divergence, its standard error, share of equal words."""
    opened = Library(library)
    refuse = ctypes.CDLL(str(library)).kernels_refuse
    with tempfile.TemporaryDirectory() as place:
        quantised, exact = Path(place) / "quantised.gguf", Path(place) / "exact.gguf"
        command = [sys.executable, "-m", "benchmarks.divergence", "--format", name]
        command += ["--write", place, "--library", str(library)]
        subprocess.run(command, check=True)
        models = {}
        for who, bits in (("ours", 0), ("ggml", ALL)):
            refuse(ctypes.c_uint(bits))
            models[who] = Reading(quantised)
        truth = Reading(exact)
        refuse(ctypes.c_uint(0))
    divergences: dict[str, list[float]] = {who: [] for who in models}
    equal: dict[str, list[bool]] = {who: [] for who in models}
    for tokens in chunks(truth, count):
        wanted = truth.read(tokens)
        for who, model in models.items():
            for a, b in _pieces(wanted, model.read(tokens)):
                divergences[who] += list((np.exp(a) * (a - b)).sum(axis=1))
                equal[who] += list(a.argmax(axis=1) == b.argmax(axis=1))
    del opened
    return {
        who: {
            "divergence": float(np.mean(found)),
            "error": float(np.std(found) / len(found) ** 0.5),
            "equal": float(np.mean(equal[who])),
            "tokens": len(found),
        }
        for who, found in divergences.items()
    }


def _pieces(a: NDArray[np.float32], b: NDArray[np.float32]) -> Iterator[tuple[Logits, Logits]]:
    """Some rows at a time."""
    for at in range(0, len(a), 64):
        yield _log(a[at : at + 64]), _log(b[at : at + 64])


def _log(logits: NDArray[np.float32]) -> Logits:
    shifted = logits.astype(np.float64) - logits.max(axis=1, keepdims=True)
    found: Logits = shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))
    return found


def chunks(model: Reading, count: int) -> Iterator[list[int]]:
    """The tokens of our own guides."""
    docs = CHECKOUT / "docs"
    text = b"\n".join(path.read_bytes() for path in sorted(docs.rglob("*.md")))
    tokens = (llama.llama_token * len(text))()
    n = llama.llama_tokenize(model.vocabulary, text, len(text), tokens, len(text), False, False)
    for at in range(0, min(n, count), CHUNK):
        yield list(tokens[at : min(at + CHUNK, n, count)])


def sheet(count: int) -> None:
    """Measure every format, and write the results."""
    begun, figures, runs = time.monotonic(), list[Figure](), list[dict[str, Any]]()
    for name in FORMATS:
        command = [sys.executable, "-m", "benchmarks.divergence", "--format", name]
        command += ["--tokens", str(count)]
        done = subprocess.run(command, stdout=subprocess.PIPE, check=True, cwd=CHECKOUT)
        found = json.loads(done.stdout)
        runs.append(found)
        ours, ggml = found["ours"], found["ggml"]
        figures += [
            _figure(f"{name}: divergence from exact products", "divergence", ours, ggml),
            _figure(f"{name}: share of tokens with the same most likely one", "equal", ours, ggml),
        ]
        say(f"  {name}: {found}")
    keep(
        "divergence",
        "smollm2",
        "what a model says with 8-bit products, beside exact ones",
        figures,
        time.monotonic() - begun,
        1,
        commands={"ours": f"python -m benchmarks.divergence --tokens {count}"},
        runs=runs,
        notes=[
            f"{runs[0]['ours']['tokens']} tokens of our guides; other: ggml's own kernels",
            "the spread is three standard errors of both sides; ours is no worse than ggml's "
            "within noise where it reaches 1",
            "Q4_K and Q6_K have blocks of 256: here they are the matrices of 1,536 inputs alone",
        ],
    )


def _figure(name: str, key: str, ours: dict[str, Any], ggml: dict[str, Any]) -> Figure:
    """With three standard errors."""
    ratio = ours[key] / ggml[key]
    noise = 3 * sum((_error(side, key) / side[key]) ** 2 for side in (ours, ggml)) ** 0.5
    value = Summary(ratio, ratio * (1 - noise), ratio * (1 + noise))
    return Figure(name, "", value, Summary.of([ours[key]]), Summary.of([ggml[key]]))


def _error(side: dict[str, Any], key: str) -> float:
    if key == "divergence":
        return float(side["error"])
    return float((side["equal"] * (1 - side["equal"]) / side["tokens"]) ** 0.5)


def main() -> None:
    """Measure one format, or all."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.divergence")
    parser.add_argument("--format", choices=FORMATS)
    parser.add_argument("--tokens", type=int, default=10_240)
    parser.add_argument("--library", type=Path)
    parser.add_argument("--write", type=Path, help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if not asked.format:
        return sheet(asked.tokens)
    best = cpu_variants.best_variant
    library = asked.library or best(cpu_variants.library_directory())
    if asked.write:
        write(library, asked.format, asked.write / "quantised.gguf", asked.write / "exact.gguf")
        return None
    found = measure(library, asked.format, asked.tokens)
    sys.stdout.write(json.dumps({"format": asked.format, "library": library.name, **found}))
    sys.stdout.flush()
    os._exit(0)  # ggml's threads and our callbacks end with the process, in no set order


if __name__ == "__main__":
    main()
