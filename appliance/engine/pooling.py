"""Batching of whole texts: one vector or one score each; no cache, no sampling.

Rules: a batch takes texts of all requests in turn, and a request that was passed over comes first
in the next; rows of a request come in the order of its texts.
"""

import time
from collections import deque
from collections.abc import Sequence as ReadOnly
from dataclasses import dataclass
from typing import Final, Protocol

import numpy as np
from numpy.typing import NDArray

from appliance.engine.protocol import Row, Step
from appliance.engine.threads import Threads

MOST_TEXTS: Final = 64
"""Texts in one batch, and so the sequences that the model's context is made for."""


class PoolingModel(Protocol):
    """The runner, or a plain model in the tests."""

    def tokenize(self, text: str, *, add_special: bool, parse_special: bool) -> list[int]: ...

    def special(self, which: str) -> int: ...

    def pool(self, texts: ReadOnly[ReadOnly[int]]) -> NDArray[np.float32]:
        """Vectors or scores, shape (texts, width)."""
        ...

    def set_threads(self, count: int) -> None: ...


@dataclass
class Texts:
    """A request's token ids of texts still to be computed, in order."""

    id: int
    left: deque[list[int]]
    begun: bool = False


class Pooling:
    """Texts of one model's requests, computed together.

    Args:
        batch_tokens: most tokens in one batch; at least `n_ctx`.
        unit: scale each row to length 1.
    """

    def __init__(
        self,
        model: PoolingModel,
        *,
        batch_tokens: int,
        batch_texts: int = MOST_TEXTS,
        unit: bool = True,
        threads: Threads | None = None,
    ) -> None:
        self._model = model
        self._batch_tokens = batch_tokens
        self._batch_texts = batch_texts
        self._unit = unit
        self._threads = threads
        self._requests: deque[Texts] = deque()
        self._cancelled: set[int] = set()

    def busy(self) -> bool:
        return bool(self._requests)

    def add(self, texts: Texts) -> None:
        self._requests.append(texts)

    def cancel(self, request: int) -> None:
        if any(r.id == request for r in self._requests):
            self._cancelled.add(request)

    def step(self) -> Step:
        rows = [Row(request, "", 0, "cancelled") for request in sorted(self._cancelled)]
        self._requests = deque(r for r in self._requests if r.id not in self._cancelled)
        self._cancelled.clear()
        batch = self._batch()
        if batch:
            vectors = self._compute([tokens for _, tokens in batch])
            for (request, _), vector in zip(batch, vectors, strict=True):
                rows.append(Row(request.id, "", 0, vector=vector.astype("<f4").tobytes()))
            self._finish(rows)
        running = sum(r.begun for r in self._requests)
        return Step(rows, running, len(self._requests) - running, 0)

    def _batch(self) -> list[tuple[Texts, list[int]]]:
        """One text of each request in turn, while they fit."""
        batch: list[tuple[Texts, list[int]]] = []
        room = self._batch_tokens
        turn = deque(self._requests)
        while turn and len(batch) < self._batch_texts and len(turn[0].left[0]) <= room:
            request = turn.popleft()
            tokens = request.left.popleft()
            request.begun = True
            batch.append((request, tokens))
            room -= len(tokens)
            if request.left:
                turn.append(request)
        # A request that was passed over is first in the next batch.
        self._requests = turn
        return batch

    def _finish(self, rows: list[Row]) -> None:
        left = {r.id for r in self._requests}
        done: set[int] = set()
        for at in range(len(rows) - 1, -1, -1):
            row = rows[at]
            if row.finish is None and row.id not in left | done:
                rows[at] = Row(row.id, "", 0, "stop", vector=row.vector)
                done.add(row.id)

    def _compute(self, texts: list[list[int]]) -> NDArray[np.float32]:
        begun, cpu = time.monotonic(), time.process_time()
        vectors = rows_of(self._model, texts, unit=self._unit)
        now, cpu = time.monotonic(), time.process_time() - cpu
        if self._threads is not None:
            before = self._threads.count
            count = self._threads.record(sum(map(len, texts)), now - begun, cpu, now)
            if count != before:
                self._model.set_threads(count)
        return vectors


def rows_of(model: PoolingModel, texts: list[list[int]], *, unit: bool) -> NDArray[np.float32]:
    """Pool a batch; RuntimeError, which ends the worker, for a row that is not finite or, where a
    direction is needed, zero.
    """
    rows = model.pool(texts)
    lengths = np.linalg.norm(rows.astype(np.float64), axis=1, keepdims=True)
    if not np.isfinite(lengths).all() or (unit and not lengths.all()):
        raise RuntimeError("the model computed a vector that is not finite or zero")
    return (rows / lengths).astype(np.float32) if unit else rows
