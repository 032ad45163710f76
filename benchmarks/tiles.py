"""Prompts with and without tiles (AMX) in one engine, in turn.

Only where the processor has tiles. A row has either's milliseconds (the median of the rounds) and
their ratio.

usage: python -m benchmarks.tiles [--model smollm2 | gemma | qwen | 8b]...
"""

import argparse
import os
import statistics
import sys
import time
from typing import Final

from appliance.engine.prefixes import Drop
from appliance.engine.runner import Library, ModelRunner, RunnerConfig
from appliance.engine.scheduler import Chunk
from appliance.engine.sequence import Sequence
from appliance.engine.text.textstream import TextStream
from appliance.host.hardware import available_cores
from appliance.types import Sampling
from appliance.workers.cpu_variants import find_variant, library_directory
from benchmarks.models import MODELS, SHAPED, gguf

LENGTHS: Final = (16, 32, 64, 128, 512)
_ROUNDS: Final = 5


def milliseconds(runner: ModelRunner, length: int, tiled: int) -> float:
    """Of a prompt of so many tokens, of which so many take tiles."""
    tokens = list(range(5, 5 + length))
    asked = Sequence(0, tokens, Sampling(), 1, TextStream(), slot=0, tiled=tiled)
    begun = time.perf_counter()
    runner.forward([Chunk(asked, 0, length)])
    taken = 1000 * (time.perf_counter() - begun)
    runner.follow([Drop(0)])
    return taken


def compare(library: Library, model: str) -> None:
    """Print the rows of a model."""
    config = RunnerConfig(1024, 1, available_cores(), n_batch=max(LENGTHS))
    runner = ModelRunner(library, os.open(gguf(model), os.O_RDONLY), config)
    for length in LENGTHS:
        taken: dict[int, list[float]] = {0: [], length: []}
        for number in range(_ROUNDS + 1):  # the first warms up
            for tiled in sorted(taken, reverse=bool(number % 2)):
                taken[tiled].append(milliseconds(runner, length, tiled))
        vectors, tiles = (statistics.median(found[1:]) for found in taken.values())
        told = f"{model} {length}: {tiles:.1f} ms with tiles, {vectors:.1f} ms without"
        print(f"{told}: {vectors / tiles:.2f}", flush=True)


def main() -> int:
    """Parse and measure; the exit status."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.tiles")
    parser.add_argument("--model", action="append", choices=(*MODELS, SHAPED), default=[])
    models = parser.parse_args().model or ["smollm2", "qwen"]
    variant = find_variant(library_directory())
    library = Library(variant.path, variant.refused)
    if not library.tiles:
        print("this processor has no tiles, or its build of the engine has none", flush=True)
        return 2
    for model in models:
        compare(library, model)
    return 0


if __name__ == "__main__":
    status = main()
    sys.stdout.flush()
    os._exit(status)  # ggml's threads end with the process
