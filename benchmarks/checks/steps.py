"""P8: the cost of a step beside the model, at 64 sequences and 32k tokens, greedy.

A worker with a null model sends its steps to the server's own end of a worker, which hands the rows
to 64 waiting queues.
"""

import asyncio
import json
import socket
import subprocess
import sys
import time

from appliance.engine.protocol import Row
from appliance.workers.child import TalkingChild
from appliance.workers.process import WorkerProcess
from benchmarks.machine import CHECKOUT
from benchmarks.results import Figure
from benchmarks.session import Session
from benchmarks.statistics import Summary
from installer.bundle.steps import say

_SEQUENCES, _VOCABULARY, _STEPS = 64, 32_768, 512


def steps(session: Session) -> list[Figure]:
    """Milliseconds per step: the worker's decode thread, plus the server's processor time."""
    worker: list[float] = []
    server: list[float] = []
    for repetition in range(session.repeat):
        figures, processor = asyncio.run(_observe(session.count(_STEPS)))
        worker.append(figures["ms"])
        server.append(processor)
        say(f"  null {repetition + 1}: worker {worker[-1]:.2f} ms, server {server[-1]:.2f} ms")
        session.runs.append({"repetition": repetition, "server_ms": processor, **figures})
    both = [a + b for a, b in zip(worker, server, strict=True)]
    return [
        Figure(
            "scheduler + sampling + messages per step",
            "ms",
            Summary.of(both),
            relation="≤",
            target=1.0,
        ),
        Figure("of it the worker's decode thread", "ms", Summary.of(worker)),
        Figure("of it the server", "ms", Summary.of(server)),
    ]


async def _observe(count: int) -> tuple[dict[str, float], float]:
    """The worker's figures, and the server's processor milliseconds per step."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
    with theirs:
        arguments = [str(theirs.fileno()), str(_SEQUENCES), str(_VOCABULARY), str(count)]
        process = subprocess.Popen(
            [sys.executable, "-m", "benchmarks.null_worker", *arguments],
            cwd=CHECKOUT,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            pass_fds=(theirs.fileno(),),
        )
    reader, writer = await asyncio.open_connection(sock=ours)
    unused, other = socket.socketpair()  # adapters would come over it
    other.close()
    end = WorkerProcess(TalkingChild(process, ours, unused), reader, writer)
    requests = range(_SEQUENCES)
    queues = [await end.run(request) for request in requests]
    waiting = [asyncio.create_task(_drain(queue)) for queue in queues]
    begun = time.process_time()
    await end.pump()
    spent = time.process_time() - begun
    await asyncio.gather(*waiting)
    assert process.stdout is not None
    with process.stdout as output:
        figures = {k: float(v) for k, v in json.loads(output.read()).items()}
    return figures, spent / figures["steps"] * 1000


async def _drain(queue: "asyncio.Queue[Row | None]") -> None:
    while (row := await queue.get()) is not None and row.finish is None:
        pass
