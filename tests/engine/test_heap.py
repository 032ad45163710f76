"""Memory freed at a switch of adapters is reused: no page is missing."""

import os
import statistics
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from resource import RUSAGE_SELF, getrusage

import pytest

from appliance.engine.runner import Library, ModelRunner, RunnerConfig
from appliance.engine.scheduler import Chunk
from appliance.engine.sequence import Sequence
from appliance.engine.text.textstream import TextStream
from appliance.types import Sampling
from tests.lora import write_lora

FEW = 64  # page faults that something else may have
PAGES = 24_576  # of 96 MiB
ANSWERS = 40
LOGITS = ANSWERS * 49_152 * 4 // 4096  # pages
_PROGRAM = f"""
import ctypes, resource, sys, threading
from appliance.engine import heap
libc = ctypes.CDLL(None)
libc.malloc.restype, libc.free.argtypes = ctypes.c_void_p, [ctypes.c_void_p]
def use():
    block = libc.malloc({PAGES} * 4096)
    ctypes.memset(block, 1, {PAGES} * 4096)
    libc.free(block)
def work():
    use()
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    use()
    print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
for name in sys.argv[1:]:
    getattr(heap, name)()
thread = threading.Thread(target=work)
thread.start()
thread.join()
"""


def faults(*measures: str) -> int:
    """Page faults of a block of 96 MiB that a second thread uses, frees and uses once more."""
    command = [sys.executable, "-c", _PROGRAM, *measures]
    return int(subprocess.run(command, capture_output=True, text=True, check=True).stdout)


def test_a_large_block_that_was_freed_is_used_again() -> None:
    assert faults("share_one_arena", "keep_what_is_freed") < FEW


@pytest.mark.parametrize("measures", [(), ("share_one_arena",), ("keep_what_is_freed",)])
def test_with_less_it_goes_back_to_the_kernel(measures: tuple[str, ...]) -> None:
    """The control: each of the two measures alone is not enough."""
    assert faults(*measures) >= PAGES // 2


@pytest.fixture
def step(library: Library, shallow_path: Path, tmp_path: Path) -> Callable[[str, int], None]:
    """One step of `ANSWERS` answers with an adapter, whose logits are 7.5 of more than 50 MiB."""
    config = RunnerConfig(n_ctx=4096, slots=250, threads=1, n_batch=512)
    runner = ModelRunner(library, os.open(shallow_path, os.O_RDONLY), config)
    for seed, name in enumerate(("one", "two")):
        write_lora(shallow_path, tmp_path / name, seed)
        runner.attach(name, os.open(tmp_path / name, os.O_RDONLY))

    def forward(adapter: str, at: int) -> None:
        chunks = []
        for slot in range(ANSWERS):
            sequence = Sequence(slot, [5] * (at + 1), Sampling(), 1, TextStream(), adapter=adapter)
            sequence.slot = slot
            chunks.append(Chunk(sequence, at, 1))
        runner.forward(chunks)

    return forward


def test_a_switch_finds_the_buffers_of_the_last_one(step: Callable[[str, int], None]) -> None:
    """Otherwise each switch has at least a fault for each page of the logits."""
    seen = []
    for at in range(16):
        before = getrusage(RUSAGE_SELF).ru_minflt
        step(("one", "two")[at % 2], at)
        seen.append(getrusage(RUSAGE_SELF).ru_minflt - before)
    assert statistics.median(seen[8:]) < LOGITS // 2, seen
