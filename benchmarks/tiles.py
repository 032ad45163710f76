"""Prompts with and without tiles (AMX) in one engine each, in turn; the bits must be the same.

Only where the processor has tiles. A row has either's milliseconds (the median of the rounds) and
their ratio.

usage: python -m benchmarks.tiles [--model smollm2 | gemma | qwen | 8b]...
"""

import argparse
import hashlib
import json
import os
import statistics
import subprocess
import sys
import time
from pathlib import Path
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

LENGTHS: Final = (16, 64, 512)
_ROUNDS: Final = 5
_TILES: Final = "tiles"


def prompts(model: Path, library: Path, refused: int) -> dict[str, list[float] | str]:
    """Milliseconds of each length, and a digest over the logits."""
    threads = available_cores()
    config = RunnerConfig(1024, 1, threads, n_batch=max(LENGTHS))
    runner = ModelRunner(Library(library, refused), os.open(model, os.O_RDONLY), config)
    told, taken = hashlib.sha256(), []
    for length in (LENGTHS[-1], *LENGTHS):  # the first warms up
        asked = Sequence(0, list(range(5, 5 + length)), Sampling(), 1, TextStream(), slot=0)
        begun = time.perf_counter()
        logits = runner.forward([Chunk(asked, 0, length)])
        taken.append(1000 * (time.perf_counter() - begun))
        told.update(logits.tobytes())
        runner.follow([Drop(0)])
    return {"ms": taken[1:], "bits": told.hexdigest()}


def compared(model: str) -> int:
    """Print the rows of a model; the exit status is 1 where the bits differ."""
    variant = find_variant(library_directory())
    every = sum(1 << i for i, name in enumerate(variant.kernels) if name in variant.wrong)
    without = every | 1 << variant.kernels.index(_TILES)
    found: dict[int, list[dict[str, object]]] = {every: [], without: []}
    for number in range(_ROUNDS):
        for refused in sorted(found, reverse=bool(number % 2)):
            command = [sys.executable, "-m", "benchmarks.tiles", "--child", str(refused)]
            said = subprocess.run(
                [*command, "--model", model], capture_output=True, check=True
            ).stdout
            found[refused].append(json.loads(said))
    for place, length in enumerate(LENGTHS):
        with_tiles, vectors = (
            statistics.median(run["ms"][place] for run in found[refused])  # type: ignore[index]
            for refused in (every, without)
        )
        ratio = vectors / with_tiles
        told = f"{model} {length}: {with_tiles:.1f} ms with tiles, {vectors:.1f} ms: {ratio:.2f}"
        print(told, flush=True)
    same = len({run["bits"] for runs in found.values() for run in runs}) == 1
    print(f"{model}: the bits are {'the same' if same else 'NOT the same'}", flush=True)
    return int(not same)


def main() -> int:
    """Parse and measure; the exit status."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.tiles")
    parser.add_argument("--model", action="append", choices=(*MODELS, SHAPED), default=[])
    parser.add_argument("--child", type=int, help=argparse.SUPPRESS)
    options = parser.parse_args()
    models = options.model or ["smollm2", "qwen"]
    if options.child is not None:
        found = prompts(gguf(models[0]), find_variant(library_directory()).path, options.child)
        print(json.dumps(found), flush=True)
        os._exit(0)  # ggml's threads end with the process
    if _TILES not in find_variant(library_directory()).kernels:
        print("this processor has no tiles, or its build of the engine has none")
        return 2
    return max([compared(model) for model in models])


if __name__ == "__main__":
    raise SystemExit(main())
