"""A model without weights: its logits are a hash of its KV cache, position by position.

Slots share cells as llama.cpp's do. A wrong position or a foreign or stale cell changes every
answer that follows.
"""

import hashlib
from collections.abc import Sequence as ReadOnly

import numpy as np
from numpy.typing import NDArray

from appliance.engine.prefixes import CopyCells, Operation
from appliance.engine.scheduler import Chunk

N_VOCAB = 24
END = 23


class Cell:
    """One cell: its token and adapter; its identity is shared."""

    def __init__(self, token: int, adapter: str) -> None:
        self.token = token
        self.adapter = adapter


class HashModel:
    """Fulfils `loop.EngineModel`; token 0 is "a", the last one ends a text."""

    def __init__(self, capacity: int, slots: int, kept: int = 0, *, separate: bool = False) -> None:
        self.n_vocab = N_VOCAB
        self.ends = frozenset({END})
        self.kv: dict[int, dict[int, Cell]] = {}
        self.calls: list[list[tuple[int, int, int]]] = []  # (id, start, count) of each step
        self.threads = 0
        self._capacity, self._slots, self._separate = capacity, slots, separate
        self._ids = slots + kept
        self.adapters: list[str] = [""]

    def forward(self, chunks: ReadOnly[Chunk]) -> NDArray[np.float32]:
        assert chunks, "an empty step"
        assert len({c.sequence.adapter for c in chunks}) == 1, "two adapters in one step"
        assert chunks[0].sequence.adapter in self.adapters, "an adapter that is not there"
        self.calls.append([(c.sequence.id, c.start, c.count) for c in chunks])
        for chunk in chunks:
            if not chunk.paths:
                self.write(chunk)
        self.check_room(chunks)
        rows = [row for c in chunks for row in self.rows(c)]
        return np.stack(rows) if rows else np.empty((0, N_VOCAB), np.float32)

    def write(self, chunk: Chunk) -> None:
        slot = chunk.sequence.slot
        assert slot is not None and 0 <= slot < self._slots
        cells = self.kv.setdefault(slot, {})
        for position in range(chunk.start, chunk.start + chunk.count):
            assert position not in cells, "a cell is written twice"
            assert position == len(cells), "a gap in the sequence"
            cells[position] = Cell(chunk.sequence.tokens[position], chunk.sequence.adapter)

    def check_room(self, chunks: ReadOnly[Chunk]) -> None:
        if self._separate:  # there each path has the room of the one before
            longest = {c.sequence.slot: max(map(len, c.paths)) for c in chunks if c.paths}
            sizes = [len(cells) + longest.get(slot, 0) for slot, cells in self.kv.items()]
            assert max(sizes) <= self._capacity
        else:
            paths = sum(c.count for c in chunks if c.paths)
            assert self.used() + paths <= self._capacity

    def used(self) -> int:
        """Cells in use; shared ones count once."""
        return len({cell for cells in self.kv.values() for cell in cells.values()})

    def rows(self, chunk: Chunk) -> list[NDArray[np.float32]]:
        if chunk.paths:
            return [
                self.after(chunk, path[: end + 1])
                for path in chunk.paths
                for end in range(len(path))
            ]
        scored = [self.row(chunk, position + 1) for position in chunk.scored]
        return [*scored, self.row(chunk)] if chunk.samples else scored

    def row(self, chunk: Chunk, end: int | None = None) -> NDArray[np.float32]:
        """Logits that depend on every cell of the slot, or on those before a position."""
        cells = self.kv[chunk.sequence.slot or 0]
        return self.noise(
            chunk,
            [
                (p, cells[p].token, cells[p].adapter)
                for p in sorted(cells)
                if end is None or p < end
            ],
        )

    def after(self, chunk: Chunk, path: ReadOnly[int]) -> NDArray[np.float32]:
        cells = self.kv[chunk.sequence.slot or 0]
        assert len(cells) == chunk.start == chunk.sequence.prompt_tokens, "the prompt is not there"
        adapter = chunk.sequence.adapter
        behind = [(chunk.start + n, token, adapter) for n, token in enumerate(path)]
        prompt = [(p, cells[p].token, cells[p].adapter) for p in sorted(cells)]
        return self.noise(chunk, prompt + behind)

    def noise(self, chunk: Chunk, seen: list[tuple[int, int, str]]) -> NDArray[np.float32]:
        seen.append((-1, -1, chunk.sequence.adapter))
        digest = hashlib.sha256(repr(seen).encode()).digest()
        noise = np.random.Generator(np.random.PCG64(int.from_bytes(digest[:8], "little")))
        return noise.standard_normal(N_VOCAB).astype(np.float32) * 3

    def follow(self, operations: ReadOnly[Operation]) -> None:
        for do in operations:
            if isinstance(do, CopyCells):
                assert do.target < self._ids
                source, target = self.kv[do.source], self.kv.setdefault(do.target, {})
                for position in range(do.start, do.end):
                    assert position not in target, "a cell is copied over another"
                    target[position] = source[position]
            else:
                cells = self.kv.get(do.slot, {})
                for position in [p for p in cells if do.start <= p and not 0 <= do.end <= p]:
                    del cells[position]
                if not cells:
                    self.kv.pop(do.slot, None)

    def piece(self, token: int) -> bytes:
        """One letter a token."""
        return b"" if token == END else bytes([ord("a") + token])

    def attach(self, adapter: str, fd: int) -> None:
        self.adapters.append(adapter)

    def detach(self, adapter: str) -> None:
        self.adapters.remove(adapter)

    def set_threads(self, count: int) -> None:
        self.threads = count
