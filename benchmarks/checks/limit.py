"""P5: our engine without a server against llama-batched-bench, which has none either."""

import json
import os
import subprocess
import sys

from benchmarks import peer
from benchmarks.machine import CHECKOUT
from benchmarks.results import Figure
from benchmarks.servers import CELLS, SLOTS, BenchError
from benchmarks.session import Session
from benchmarks.statistics import Summary, ratios
from installer.bundle.steps import say

_REQUESTS = 32
_PROMPT, _ANSWER = 128, 64


def limit(session: Session) -> list[Figure]:
    """`indep` on both: 8 sequences of 128 tokens in and 64 out, prefill included."""
    engines, limits = [], []
    for repetition in range(session.repeat):
        engines.append(_engine(session, repetition))
        limits.append(_batched_bench(session))
        say(f"  indep {repetition + 1}: engine {engines[-1]:.1f}, limit {limits[-1]:.1f} tok/s")
        figures = {"repetition": repetition, "engine": engines[-1], "limit": limits[-1]}
        session.runs.append(figures)
    return [
        Figure(
            "generated tokens per second, engine / llama-batched-bench",
            "tok/s",
            Summary.of(ratios(engines, limits)),
            Summary.of(engines),
            Summary.of(limits),
            "≥",
            1.5,
        )
    ]


def _engine(session: Session, repetition: int) -> float:
    program = ["-m", "benchmarks.engine_only"]
    arguments = [str(session.count(_REQUESTS)), str(repetition)]
    output = _output([sys.executable, *program, str(session.gguf), *arguments])
    session.commands["ours"] = " ".join(["python", *program, session.gguf.name, *arguments])
    return float(json.loads(output)["tokens_s"])


def _batched_bench(session: Session) -> float:
    """Of one batch of 8, prefill included; the median of three batches."""
    binary = peer.chosen("llama-batched-bench")
    arguments = [
        *("-c", str(CELLS), "-kvu", "-b", "2048", "-ub", "512"),
        *("-npp", str(_PROMPT), "-ntg", str(_ANSWER), "-npl", ",".join([str(SLOTS)] * 3)),
        *("-t", str(len(os.sched_getaffinity(0))), "--output-format", "jsonl"),
    ]
    output = _output([str(binary), "-m", str(session.gguf), *arguments])
    shown = [binary.name, "-m", session.gguf.name, *arguments]
    session.commands["limit"] = f"{' '.join(shown)} ({binary.parent.name})"
    rows = [json.loads(line) for line in output.splitlines() if line.startswith("{")]
    if not rows:
        raise BenchError("llama-batched-bench printed no result")
    return Summary.of([SLOTS * _ANSWER / row["t"] for row in rows]).median


def _output(command: list[str]) -> str:
    done = subprocess.run(command, cwd=CHECKOUT, capture_output=True, text=True, check=False)
    if done.returncode:
        raise BenchError(f"{command[0]} ended with {done.returncode}: {done.stderr[-500:]}")
    return done.stdout
