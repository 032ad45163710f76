"""The engine without a server: scheduler, sampling and llama.cpp in one process, unconfined, with
the worker's code and settings.

usage: python -m benchmarks.engine_only GGUF REQUESTS RUN > FIGURES.json
"""

import json
import os
import sys
import time
from pathlib import Path

from appliance.config import ModelConfig
from appliance.engine.cells import Cells
from appliance.engine.loop import Engine
from appliance.engine.runner import Library, ModelRunner, RunnerConfig
from appliance.engine.scheduler import FORCED, Scheduler
from appliance.engine.sequence import Sequence
from appliance.engine.text.textstream import TextStream
from appliance.engine.threads import Threads
from appliance.host.hardware import available_cores
from appliance.types import Sampling
from appliance.workers.cpu_variants import best_variant, library_directory
from benchmarks.loads import independent
from benchmarks.servers import CELLS, SLOTS

PROMPT_TOKENS = 128  # exactly, as in llama-batched-bench


def make_engine(gguf: Path) -> tuple[Engine, ModelRunner]:
    """An engine as `engine.worker` makes it."""
    library = Library(best_variant(library_directory()))
    threads, budget = available_cores(), ModelConfig().prefill_budget
    config = RunnerConfig(CELLS, SLOTS, threads, n_batch=budget + FORCED * SLOTS)
    runner = ModelRunner(library, os.open(gguf, os.O_RDONLY), config)
    scheduler = Scheduler(Cells(CELLS, SLOTS), budget)
    return Engine(runner, scheduler, Threads(threads)), runner


def run(gguf: Path, count: int, number: int) -> dict[str, float]:
    """The `indep` load; tokens per second from the first step to the last."""
    engine, runner = make_engine(gguf)
    for i, ask in enumerate(independent(count, number)):
        text = ask.body["prompt"]
        tokens = runner.tokenize(text, add_special=True, parse_special=True)[:PROMPT_TOKENS]
        sampling = Sampling(temperature=0.0)
        engine.add(
            Sequence(
                i, tokens, sampling, ask.body["max_tokens"], TextStream(()), ignore_eos=True,
                tiled=runner.tiled(len(tokens)),
            )
        )  # fmt: skip
    generated = steps = 0
    begun = time.monotonic()
    while engine.busy():
        generated += sum(row.tokens for row in engine.step().rows)
        steps += 1
    seconds = time.monotonic() - begun
    return {"tokens_s": generated / seconds, "seconds": seconds, "steps": steps}


if __name__ == "__main__":
    print(json.dumps(run(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]))), flush=True)
    os._exit(0)  # ggml's threads and our callbacks end with the process, in no set order
