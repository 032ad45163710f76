"""Another type of weights, by llama.cpp itself: a child process that reads one file and writes one.

Order: import everything, load the CPU variant, drop all rights, and only then read the first byte.
Afterwards it can open only its own descriptors, by their names in /proc, since llama.cpp takes
paths.

usage: python -I -m appliance.engine.quantizer SOURCE_FD OUT_FD ORDER_FD RESULT_FD VARIANT
"""

import os

os.environ.update(OPENBLAS_NUM_THREADS="1", GGML_NO_BACKTRACE="1")  # as in `worker`

import contextlib
import ctypes
import mmap
import sys
import time
import traceback
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import llama_cpp.llama_cpp as llama
import msgspec
import numpy as np
import numpy.ctypeslib
from numpy.typing import NDArray

from appliance.engine import confine
from appliance.engine.cfile import reading
from appliance.engine.importance import Inputs, multiplication
from appliance.engine.quantized import LONGEST, Collect, FileComparison, Order, Result, divergence
from appliance.engine.runner import Library
from appliance.errors import ApplianceError, StateRefused
from appliance.jobs import priority
from appliance.trust.bytes.sealed import write_all

_SMALL: Final = 16
_BROKEN: Final = 70  # EX_SOFTWARE
_KEPT: Final[list[Any]] = []
"""Callbacks, which cannot be freed after the drop either."""


def quantize(source: int, out: int, order: Order, matrix: Mapping[str, bytes]) -> None:
    """Overwrite the file (`quantize_failed`)."""
    params = llama.llama_model_quantize_default_params()
    params.ftype, params.nthread = order.ftype, order.threads
    params.allow_requantize = order.again
    if matrix:
        params.imatrix = _entries(matrix)
    names = [f"/proc/self/fd/{fd}".encode() for fd in (source, out)]
    if llama.llama_model_quantize(*names, ctypes.byref(params)):
        raise StateRefused("quantize_failed", "llama.cpp did not quantise the file.")


def _entries(matrix: Mapping[str, bytes]) -> Any:
    found = (llama.llama_model_imatrix_data * (len(matrix) + 1))()  # an empty one is the end
    for place, (name, numbers) in enumerate(matrix.items()):
        values = np.frombuffer(numbers, "<f4")
        found[place].name, found[place].size = name.encode(), len(values)
        found[place].data = values.ctypes.data_as(ctypes.POINTER(ctypes.c_float))
    return found


class TextModel:
    """A model that computes texts; closed with its contexts."""

    def __init__(self, library: Library, fd: int) -> None:
        self._library = library
        self._contexts: list[Any] = []
        params = llama.llama_model_default_params()
        params.n_gpu_layers = 0
        with reading(os.dup(fd)) as file:
            self._model = llama.llama_model_load_from_file_ptr(file, params)
        if not self._model:
            raise StateRefused("quantize_failed", f"The file does not load: {_last(library)}.")
        self._vocabulary = int(llama.llama_vocab_n_tokens(llama.llama_model_get_vocab(self._model)))

    def close(self) -> None:
        for context in self._contexts:
            llama.llama_free(context)
        llama.llama_model_free(self._model)

    def context(self, threads: int, batch: int, seen: Any = None) -> Any:
        """A context of `batch` tokens at once; the callback `seen` gets each node of its graph."""
        params = llama.llama_context_default_params()
        params.n_ctx = params.n_batch = params.n_outputs_max = LONGEST
        params.n_ubatch = batch
        params.n_threads = params.n_threads_batch = threads
        params.no_perf = True
        if seen is not None:
            params.cb_eval = seen
        context = llama.llama_init_from_model(self._model, params)
        if not context:
            raise StateRefused("quantize_failed", f"No context: {_last(self._library)}.")
        self._contexts.append(context)
        return context

    def compute(self, context: Any, tokens: Sequence[int]) -> None:
        memory = llama.llama_get_memory(context)
        llama.llama_memory_clear(memory, True)
        batch = llama.llama_batch_init(len(tokens), 0, 1)
        try:
            batch.n_tokens = len(tokens)
            for place, token in enumerate(tokens):
                batch.token[place], batch.pos[place] = token, place
                batch.n_seq_id[place], batch.seq_id[place][0] = 1, 0
                batch.logits[place] = 1
            if llama.llama_decode(context, batch):
                raise StateRefused("quantize_failed", "llama.cpp did not compute a text.")
        finally:
            llama.llama_batch_free(batch)

    def logs(self, context: Any, tokens: Sequence[int]) -> NDArray[np.float64]:
        """The logarithms of all probabilities after each token but the last; shape (n, words)."""
        self.compute(context, tokens)
        rows = np.empty((len(tokens) - 1, self._vocabulary))
        for place in range(len(tokens) - 1):
            pointer = llama.llama_get_logits_ith(context, place)
            rows[place] = numpy.ctypeslib.as_array(pointer, (self._vocabulary,))
        rows -= rows.max(axis=1, keepdims=True)
        rows -= np.log(np.exp(rows).sum(axis=1, keepdims=True))
        return rows


def compared(library: Library, source: int, out: int, order: Order) -> FileComparison:
    """Both files over all texts."""
    with contextlib.ExitStack() as opened:
        old, new = (
            opened.enter_context(contextlib.closing(TextModel(library, fd))) for fd in (source, out)
        )
        contexts = [old.context(order.threads, LONGEST), old.context(order.threads, _SMALL)]
        after = new.context(order.threads, LONGEST)
        found = _rows(old, new, contexts, after, order.texts)
        rows = np.concatenate([part[max(0, order.start - 1) :] for part in found])
    source_nats, nats, kld, noise, same = rows.mean(axis=0)
    return FileComparison(
        float(source_nats), float(nats), float(kld), float(noise), float(same), len(rows)
    )


def _rows(
    old: TextModel, new: TextModel, contexts: list[Any], after: Any, texts: Sequence[Sequence[int]]
) -> Iterator[NDArray[np.float64]]:
    for text in texts:
        whole, parts = (old.logs(context, text) for context in contexts)
        other = new.logs(after, text)
        here, right = np.arange(len(text) - 1), np.array(text[1:])
        yield np.stack(
            [
                -whole[here, right],
                -other[here, right],
                divergence(whole, other),
                divergence(whole, parts),
                whole.argmax(axis=1) == other.argmax(axis=1),
            ],
            axis=1,
        )


def _last(library: Library) -> str:
    return "; ".join(list(library.log)[-3:]) or "no reason given"


def made(library: Library, source: int, out: int, order: Order) -> Result:
    """Write the file, and compare it with its source."""
    plain = None
    if order.beside and order.texts:
        quantize(source, out, order, {})
        plain = compared(library, source, out, order)
    begun = time.monotonic()
    quantize(source, out, order, order.matrix)
    seconds = time.monotonic() - begun
    found = compared(library, source, out, order) if order.texts else None
    return Result(seconds=seconds, compared=found, plain=plain)


def collected(
    library: Library, source: int, out: int, order: Collect, inputs: Inputs, seen: Any
) -> Result:
    """Write the importance matrix of the texts."""
    begun = time.monotonic()
    with contextlib.closing(TextModel(library, source)) as model:
        context = model.context(order.threads, LONGEST, seen)
        for number, text in enumerate(order.texts):
            inputs.begin(len(text), order.start if number else 0)
            model.compute(context, text)
            inputs.end()
    write_all(out, memoryview(msgspec.msgpack.encode(inputs.matrix())))
    return Result(seconds=time.monotonic() - begun)


def main(source: int, out: int, given: int, result: int, variant: Path) -> Result:
    """Carry out the order."""
    with mmap.mmap(given, 0, access=mmap.ACCESS_READ) as text:
        order: Order | Collect = msgspec.msgpack.decode(text[:], type=Order | Collect)
    library = Library(variant)
    inputs = Inputs(multiplication(variant.parent / "libggml-base.so"))
    seen = llama.ggml_backend_sched_eval_callback(inputs.seen)  # none can be made after the drop
    _KEPT.append(seen)
    priority.lower()
    keep = {0, 1, 2, source, out, given, result}
    in_force = confine.drop(order.memory_bytes, keep, writes=order.most_bytes)
    try:
        if isinstance(order, Collect):
            done = collected(library, source, out, order, inputs, seen)
        else:
            done = made(library, source, out, order)
    except StateRefused as error:
        raise StateRefused(error.code, f"{error.message} {_last(library)}") from error
    return msgspec.structs.replace(done, confinement=in_force)


if __name__ == "__main__":
    source_fd, out_fd, order_fd, result_fd = (int(fd) for fd in sys.argv[1:5])
    try:
        told = main(source_fd, out_fd, order_fd, result_fd, Path(sys.argv[5]))
    except ApplianceError as error:
        told = Result(error.code, error.message)
    except MemoryError:
        told = Result("quantize_failed", "There is no memory left.")
    except Exception:
        traceback.print_exc()
        os._exit(_BROKEN)
    os.write(result_fd, msgspec.msgpack.encode(told))
    os._exit(0)
