"""The cost of changing the adapter between two steps: the difference of medians of steps that keep
it and that take the next of a ring.

Adapters are random, of rank 16, for every attention and feed-forward matrix of three kinds. Each
repetition has its own model, context and adapters.

usage: python -m benchmarks.adapter_switch [--model MODEL] [--repeat N] [--adapters N]
"""

import argparse
import multiprocessing
import os
import statistics
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

from appliance.engine.prefixes import Drop
from appliance.engine.runner import Library, ModelRunner, RunnerConfig
from appliance.engine.scheduler import FORCED, Chunk
from appliance.engine.sequence import Sequence
from appliance.engine.text.textstream import TextStream
from appliance.host.hardware import available_cores
from appliance.types import Sampling
from appliance.workers.cpu_variants import best_variant, library_directory
from benchmarks.models import MODELS, gguf
from benchmarks.results import Figure
from benchmarks.sheets import keep
from benchmarks.statistics import Summary
from tests.lora import write_lora

_SLOTS = 8
_BUDGET = 512
_STEPS = 60


def measure(base: Path, answers: int, adapters: int) -> tuple[list[float], list[float]]:
    """Milliseconds of steps that stay, and of steps that switch, at least once to each adapter.

    Runs in a process of its own: llama.cpp's library and its models stay until that ends.
    """
    config = RunnerConfig(16_384, _SLOTS, available_cores(), n_batch=_BUDGET + FORCED * _SLOTS)
    runner = ModelRunner(
        Library(best_variant(library_directory())), os.open(base, os.O_RDONLY), config
    )
    with tempfile.TemporaryDirectory() as place:
        names = [f"adapter-{seed}" for seed in range(adapters)]
        for seed, name in enumerate(names):
            path = Path(place) / name
            write_lora(base, path, seed, rank=16)
            runner.attach(name, os.open(path, os.O_RDONLY))
            path.unlink()

    def step(adapter: str, at: int) -> float:
        chunks = []
        for slot in range(answers):
            tokens = [5] * (at + 1)
            new = Sequence(slot, tokens, Sampling(), 1, TextStream(), adapter=adapter)
            new.slot = slot
            chunks.append(Chunk(new, at, 1))
        begun = time.perf_counter()
        runner.forward(chunks)
        return (time.perf_counter() - begun) * 1000

    times: dict[bool, list[float]] = {False: [], True: []}
    for at in range(2 * max(_STEPS, adapters)):
        times[at % 2 == 1].append(step(names[(at + 1) // 2 % adapters], at))
    runner.follow([Drop(slot) for slot in range(answers)])
    return times[False][2:], times[True][2:]


def compare(model: str, repeat: int, adapters: int) -> None:
    """One answer, and eight at once."""
    begun = time.monotonic()
    base = gguf(model)
    figures, runs = [], []
    for answers in (1, _SLOTS):
        stays, switches = [], []
        for _ in range(repeat):
            with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as child:
                stay, switch = child.submit(measure, base, answers, adapters).result()
            stays.append(statistics.median(stay))
            switches.append(statistics.median(switch))
            quartiles = statistics.quantiles(switch, n=4)
            runs.append(
                {
                    "answers": answers, "adapters": adapters,
                    "stay_ms": stays[-1], "switch_ms": switches[-1],
                    "switch_q1_ms": quartiles[0], "switch_q3_ms": quartiles[2],
                }
            )  # fmt: skip
        costs = [after - before for before, after in zip(stays, switches, strict=True)]
        figures.append(
            Figure(
                f"a switch among {adapters} adapters with {answers} answer{'s' * (answers > 1)}: "
                "a step after it less one that stays", "ms",
                Summary.of(costs), Summary.of(switches), Summary.of(stays), "≤", 5.0,
            )
        )  # fmt: skip
    keep(
        "adapter_switch",
        model,
        "the cost of another adapter",
        figures,
        time.monotonic() - begun,
        repeat,
        commands={
            "ours": f"python -m benchmarks.adapter_switch --model {model} --repeat {repeat} "
            f"--adapters {adapters}"
        },
        runs=runs,
        notes=["ours: the median step after a switch; other: the median step that stays"],
    )


def main() -> None:
    """Measure the models."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.adapter_switch")
    parser.add_argument("--model", action="append", choices=MODELS, default=[])
    parser.add_argument("--repeat", type=int, default=5)
    parser.add_argument("--adapters", type=int, default=64)
    options = parser.parse_args()
    for model in options.model or MODELS:
        compare(model, options.repeat, options.adapters)


if __name__ == "__main__":
    main()
