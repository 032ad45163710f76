"""A `llama_batch` over numpy arrays."""

import ctypes
from collections.abc import Sequence as ReadOnly
from typing import Any

import numpy as np
from numpy.typing import NDArray

from appliance.engine.scheduler import Chunk


class Batch:
    """A step's input.

    Args:
        size: most tokens of a step.
        struct: an empty `llama_batch`, to point at the arrays.
    """

    def __init__(self, size: int, struct: Any) -> None:
        self.size = size
        self._token = np.zeros(size, np.int32)
        self._pos = np.zeros(size, np.int32)
        self._n_seq = np.ones(size, np.int32)
        self._seq = np.zeros(size, np.int32)
        # seq_id[i] points at _seq[i]: every token belongs to one sequence.
        self._seq_pointers = self._seq.ctypes.data + 4 * np.arange(size, dtype=np.uintp)
        self._logits = np.zeros(size, np.int8)
        self.struct = struct
        fields: dict[str, NDArray[Any]] = {
            "token": self._token,
            "pos": self._pos,
            "n_seq_id": self._n_seq,
            "seq_id": self._seq_pointers,
            "logits": self._logits,
        }
        kinds = {name: kind for name, kind, *_ in struct._fields_}
        for name, array in fields.items():
            setattr(self.struct, name, ctypes.cast(array.ctypes.data, kinds[name]))

    def fill(self, chunks: ReadOnly[Chunk], branch: int = 0) -> int:
        """Write the chunks' tokens; the number of rows of logits that they ask for.

        Args:
            branch: sequence id of the first path of labels; the next paths count up.
        """
        at = outputs = 0
        self._logits[:] = 0
        for chunk in chunks:
            outputs += chunk.outputs
            for path in chunk.paths:
                end = at + len(path)
                self._token[at:end] = path
                self._pos[at:end] = np.arange(chunk.start, chunk.start + len(path))
                self._seq[at:end] = branch
                self._logits[at:end] = 1
                at, branch = end, branch + 1
            if chunk.paths:
                continue
            end = at + chunk.count
            self._token[at:end] = chunk.sequence.tokens[chunk.start : chunk.start + chunk.count]
            self._pos[at:end] = np.arange(chunk.start, chunk.start + chunk.count)
            self._seq[at:end] = slot_of(chunk)
            scored = chunk.scored
            if scored:
                shift = at - chunk.start
                self._logits[scored.start + shift : scored.stop + shift] = 1
            if chunk.samples:
                self._logits[end - 1] = 1
            at = end
        self.struct.n_tokens = at
        return outputs

    def fill_whole(self, texts: ReadOnly[ReadOnly[int]]) -> None:
        at = 0
        for number, tokens in enumerate(texts):
            end = at + len(tokens)
            self._token[at:end] = tokens
            self._pos[at:end] = np.arange(len(tokens))
            self._seq[at:end] = number
            at = end
        self._logits[:at] = 1
        self.struct.n_tokens = at


def slot_of(chunk: Chunk) -> int:
    """The sequence id that a chunk is computed in."""
    slot = chunk.sequence.slot
    if slot is None:
        raise RuntimeError("a sequence without a slot cannot be computed")
    return slot
