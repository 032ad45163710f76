"""What it costs to change the adapter between two steps, on this machine; printed, not asserted.

Decode steps in turns of the pattern "stay" (the same adapter again) and "switch" (the other one): a
switch costs the difference of their medians. llama.cpp plans its buffers anew at the first step
after a change. The adapters are random ones of rank 16 for every attention and feed-forward matrix
of three kinds.

usage: python -m benchmarks.adapter_switch [GGUF]
"""

import os
import statistics
import sys
import tempfile
import time
from pathlib import Path

from appliance.engine.prefixes import Drop
from appliance.engine.runner import Library, Runner, RunnerConfig
from appliance.engine.scheduler import FORCED, Chunk
from appliance.engine.sequence import Sequence
from appliance.engine.textstream import TextStream
from appliance.engine.variants import best_variant, library_directory
from appliance.hardware import available_cores
from appliance.types import Sampling
from benchmarks.models import gguf
from installer.bundle.steps import say
from tests.lora import write_lora

_SLOTS = 8
_BUDGET = 512
_STEPS = 60


def measure(base: Path, answers: int) -> tuple[list[float], list[float]]:
    """Milliseconds of steps that stay, and of steps that switch, for so many answers at once."""
    config = RunnerConfig(16_384, _SLOTS, available_cores(), n_batch=_BUDGET + FORCED * _SLOTS)
    runner = Runner(Library(best_variant(library_directory())), os.open(base, os.O_RDONLY), config)
    with tempfile.TemporaryDirectory() as place:
        for seed, name in enumerate("ab"):
            path = Path(place) / name
            write_lora(base, path, seed, rank=16)
            runner.attach(name, os.open(path, os.O_RDONLY))

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
    current = "a"
    for at in range(2 * _STEPS):
        switches = at % 2 == 1
        current = {"a": "b", "b": "a"}[current] if switches else current
        times[switches].append(step(current, at))
    runner.follow([Drop(slot) for slot in range(answers)])
    return times[False][2:], times[True][2:]


def main() -> None:
    """Print a line for one answer and one for eight."""
    base = Path(sys.argv[1]) if len(sys.argv) > 1 else gguf("smollm2")
    for answers in (1, _SLOTS):
        stay, switch = measure(base, answers)
        medians = statistics.median(stay), statistics.median(switch)
        quartiles = statistics.quantiles(switch, n=4)
        say(
            f"{answers} answers: a step {medians[0]:.2f} ms, after a switch {medians[1]:.2f} ms "
            f"(quartiles {quartiles[0]:.2f} to {quartiles[2]:.2f}); the switch costs "
            f"{medians[1] - medians[0]:.2f} ms"
        )


if __name__ == "__main__":
    main()
