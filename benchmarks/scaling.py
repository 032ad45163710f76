"""Time of the engine's steps by cores, sequences, context and weights.

Each case, a process with the worker's library and settings, fills the cache with prompts of its
context, then decodes one token a sequence, step by step. Prefill is one prompt of 512 tokens.
Beside the steps stand the limits of the processor (docs/performance.md).

usage: python -m benchmarks.scaling [--model MODEL]
"""

import argparse
import multiprocessing
import os
import statistics
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np

from appliance.engine.prefixes import Drop
from appliance.engine.runner import Library, ModelRunner, RunnerConfig
from appliance.engine.scheduler import FORCED, Chunk
from appliance.engine.sequence import Sequence
from appliance.engine.text.textstream import TextStream
from appliance.host.hardware import available_cores
from appliance.types import Sampling
from appliance.workers.cpu_variants import best_variant, library_directory
from benchmarks.models import MODELS, SHAPED, gguf
from benchmarks.results import Figure
from benchmarks.sheets import keep
from benchmarks.statistics import Summary

_BUDGET: Final = 512
_STEPS: Final = 24
_LARGE: Final = 2 << 30  # bytes of weights from which only the short cases run
_READ: Final = 1 << 28  # float32 values that the bandwidth is measured with


@dataclass(frozen=True)
class Case:
    """A number of sequences, each with so many tokens in the cache, on so many threads."""

    threads: int
    sequences: int
    context: int

    def __str__(self) -> str:
        several = "s" * (self.sequences > 1)
        cores = f"{self.threads} thread" + "s" * (self.threads > 1)
        return f"{cores}, {self.sequences} sequence{several} of {self.context} tokens"


def cases(cores: int, file: int) -> list[Case]:
    """Each dimension by itself from one sequence of 128 tokens; `file` is the model's bytes."""
    threads = sorted({1, max(1, cores // 2), cores})
    found = [Case(count, n, 128) for count in threads for n in (1, 8)]
    if file < _LARGE:
        found += [Case(cores, n, 128) for n in (2, 4, 16, 32, 64)]
        found += [Case(cores, n, context) for n in (1, 8) for context in (512, 1_900)]
        found.append(Case(cores, 1, 7_900))
    return found


def measure(base: Path, case: Case) -> dict[str, float]:
    """Milliseconds of a decode step (median), and of one prompt of 512 tokens.

    Runs in a process of its own: llama.cpp's library and its models stay until that ends.
    """
    cells = case.sequences * (case.context + _STEPS) + _BUDGET
    config = RunnerConfig(cells, case.sequences + 1, case.threads, n_batch=_BUDGET + FORCED * 8)
    runner = ModelRunner(
        Library(best_variant(library_directory())), os.open(base, os.O_RDONLY), config
    )

    def forward(parts: list[tuple[int, int, int]]) -> float:
        chunks = []
        for slot, start, count in parts:
            tokens = [1_000 + at % 97 for at in range(start + count)]
            new = Sequence(slot, tokens, Sampling(), 1, TextStream())
            new.slot = slot
            chunks.append(Chunk(new, start, count))
        begun = time.perf_counter()
        runner.forward(chunks)
        return (time.perf_counter() - begun) * 1000

    prefill = forward([(case.sequences, 0, _BUDGET)])
    runner.follow([Drop(case.sequences)])
    for slot in range(case.sequences):
        for start in range(0, case.context, _BUDGET):
            forward([(slot, start, min(_BUDGET, case.context - start))])
    steps = [
        forward([(slot, case.context + at, 1) for slot in range(case.sequences)])
        for at in range(_STEPS)
    ]
    return {"step_ms": statistics.median(steps[2:]), "prefill_ms": prefill}


def bandwidth(threads: int) -> float:
    """Gigabytes a second that so many threads read; the best of five rounds."""
    parts = np.array_split(np.ones(_READ, dtype=np.float32), threads)

    def read() -> Iterator[float]:
        with ThreadPoolExecutor(threads) as pool:
            for _ in range(5):
                begun = time.perf_counter()
                list(pool.map(np.max, parts))
                yield 4 * _READ / (time.perf_counter() - begun) / 1e9

    return max(read())


def compare(model: str) -> None:
    """Measure a model's cases and write them into the sheet."""
    begun = time.monotonic()
    base = gguf(model)
    size = base.stat().st_size
    cores = available_cores()
    reads = {count: bandwidth(count) for count in sorted({1, max(1, cores // 2), cores})}
    figures, runs = [], []
    prefills: dict[int, float] = {}
    for case in cases(cores, size):
        with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as child:
            found = child.submit(measure, base, case).result()
        rate = case.sequences * 1000 / found["step_ms"]
        runs.append({**vars(case), **found, "tokens_s": rate})
        figures.append(Figure(f"decode, {case}", "tok/s", Summary.of([rate])))
        if case.sequences == 1 and case.context == 128:
            share = size / found["step_ms"] / 1e6 / reads[case.threads]
            name = f"decode of one, {case.threads} threads: file's bytes a second / bandwidth"
            figures.append(Figure(name, "", Summary.of([share])))
        prefills[case.threads] = min(
            found["prefill_ms"], prefills.get(case.threads, found["prefill_ms"])
        )
    for threads, milliseconds in prefills.items():
        rate = _BUDGET * 1000 / milliseconds
        figures.append(Figure(f"prefill, {threads} threads", "tok/s", Summary.of([rate])))
    told = ", ".join(f"{count}: {rate:.1f}" for count, rate in reads.items())
    keep(
        "scaling",
        model,
        "steps of the engine by cores, sequences and context",
        figures,
        time.monotonic() - begun,
        1,
        commands={"ours": f"python -m benchmarks.scaling --model {model}"},
        runs=runs,
        notes=[f"gigabytes a second that so many threads read: {told}"],
    )


def main() -> None:
    """Measure the models."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.scaling")
    parser.add_argument("--model", action="append", choices=(*MODELS, SHAPED), default=[])
    options = parser.parse_args()
    for model in options.model or MODELS:
        compare(model)


if __name__ == "__main__":
    main()
