"""A worker whose model computes nothing (P8): what is left is the engine, and the frames to the
server over a socket.

usage: python -m benchmarks.null_worker SOCKET_FD SEQUENCES VOCABULARY STEPS
"""

import json
import os
import socket
import sys
import time
from collections.abc import Sequence as ReadOnly

import numpy as np
from numpy.typing import NDArray

from appliance.engine.cells import Cells
from appliance.engine.channel import Channel
from appliance.engine.loop import Engine
from appliance.engine.prefixes import Operation
from appliance.engine.scheduler import Chunk, Scheduler
from appliance.engine.sequence import Sequence
from appliance.engine.text.textstream import TextStream
from appliance.types import Sampling

_BUDGET = 512
_PROMPT = 8


class NullModel:
    """Fulfils `runner.Model` without weights: always the same rows of random logits."""

    def __init__(self, sequences: int, vocabulary: int) -> None:
        self.n_vocab = vocabulary
        self.ends: frozenset[int] = frozenset()
        noise = np.random.Generator(np.random.PCG64(1))
        self._logits = noise.standard_normal((sequences, vocabulary), np.float32)

    def forward(self, chunks: ReadOnly[Chunk]) -> NDArray[np.float32]:
        """Only for the chunks that sample."""
        return self._logits[: sum(chunk.samples for chunk in chunks)]

    def follow(self, operations: ReadOnly[Operation]) -> None:
        pass

    def piece(self, token: int) -> bytes:
        """Five letters, as a usual token has."""
        return b" word"

    def attach(self, adapter: str, fd: int) -> None:
        pass

    def detach(self, adapter: str) -> None:
        pass

    def set_threads(self, count: int) -> None:
        pass


def run(channel: Channel, sequences: int, vocabulary: int, steps: int) -> dict[str, float]:
    """Decode all sequences together; milliseconds per step of the worker's decode thread."""
    scheduler = Scheduler(Cells(sequences * (_PROMPT + steps + 64), sequences), _BUDGET)
    engine = Engine(NullModel(sequences, vocabulary), scheduler)
    for i in range(sequences):
        prompt = [i + 1] * _PROMPT
        greedy = Sampling(temperature=0.0)
        stream = TextStream(())
        engine.add(Sequence(i, prompt, greedy, steps + 32, stream, ignore_eos=True))
    times = []
    while engine.busy():
        begun = time.perf_counter()
        step = engine.step()
        channel.send(step)
        if len(step.rows) == sequences:
            times.append((time.perf_counter() - begun) * 1000)
    middle = sorted(times[16:-16] or times)
    return {"steps": len(times), "ms": sum(middle) / len(middle), "p50": middle[len(middle) // 2]}


def main(fd: int, sequences: int, vocabulary: int, steps: int) -> None:
    """Run, then print the figures for the parent."""
    channel = Channel(socket.socket(fileno=fd))
    print(json.dumps(run(channel, sequences, vocabulary, steps)), flush=True)


if __name__ == "__main__":
    main(*map(int, sys.argv[1:5]))
    os._exit(0)
