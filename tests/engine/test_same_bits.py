"""A token has the same logits to the last bit, whatever its company and place."""

import ctypes
import itertools
import random
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from appliance.engine.cells import Cells
from appliance.engine.prefixes import Drop
from appliance.engine.runner import Library, ModelRunner, RunnerConfig
from appliance.engine.scheduler import Chunk, Scheduler
from appliance.engine.sequence import Sequence
from appliance.engine.text.textstream import TextStream
from appliance.trust.bytes.sealed import SealedFile
from appliance.types import Sampling
from tests.engine.test_runner import Forced, Script

Rows = NDArray[np.float32]
OTHERS = 7
LENGTHS = {1: (60,), 2: (60, 600), 3: (60, 300)}
"""Of prompts, by the number of threads: in one block of 256 cells, in three and in two."""
TOKENS = 3
"""That are generated, after the row of the prompt."""


def sequence(number: int, length: int, tiled: int = 0) -> Sequence:
    """Tokens drawn by the number, in a slot of its own."""
    dice = random.Random(number)
    tokens = [dice.randrange(5, 4000) for _ in range(length)]
    return Sequence(number, tokens, Sampling(), 1, TextStream(), slot=number, tiled=tiled)


class Company:
    """Seven sequences that come, grow and go, so that their cells are reused."""

    def __init__(self, runner: ModelRunner) -> None:
        self._runner = runner
        self._dice = random.Random(1)
        self._there = [self._drawn(number) for number in range(1, OTHERS + 1)]
        self._done = dict.fromkeys(range(1, OTHERS + 1), 0)

    def _drawn(self, number: int) -> Sequence:
        length = self._dice.randrange(20, 200)
        return sequence(number, length, self._runner.tiled(length))

    def chunks(self) -> list[Chunk]:
        found = []
        for other in self._there:
            done = self._done[other.id]
            if done == len(other.tokens):
                other.tokens.append(7)
            count = min(self._dice.randrange(1, 20), len(other.tokens) - done)
            found.append(Chunk(other, done, count))
            self._done[other.id] += count
        return found

    def leave(self) -> None:
        place = self._dice.randrange(OTHERS)
        number = self._there[place].id
        self._runner.follow([Drop(number)])
        self._there[place] = self._drawn(number)
        self._done[number] = 0


def rows(runner: ModelRunner, length: int, chunk: int, *, company: bool = False) -> Rows:
    asked = sequence(0, length, runner.tiled(length))
    beside = Company(runner) if company else None
    found: list[Rows] = []
    if beside:  # cells before those of the prompt, of which some are freed in its midst
        runner.forward(beside.chunks())
        beside.leave()
    done = 0
    while len(found) <= TOKENS:
        count = min(chunk, len(asked.tokens) - done)
        logits = runner.forward([Chunk(asked, done, count), *(beside.chunks() if beside else ())])
        done += count
        if beside:
            beside.leave()
        if done == len(asked.tokens):
            found.append(logits[0].copy())
            asked.tokens.append(11)
    runner.follow([Drop(number) for number in range(OTHERS + 1)])
    return np.array(found)


def runner_of(library: Library, model: SealedFile, threads: int) -> ModelRunner:
    config = RunnerConfig(n_ctx=4096, slots=OTHERS + 1, threads=threads, n_batch=700)
    return ModelRunner(library, model.reopen(), config)


@pytest.fixture(scope="module", params=[1, 2, 3])
def runner(
    library: Library, sealed_model: SealedFile, request: pytest.FixtureRequest
) -> ModelRunner:
    return runner_of(library, sealed_model, request.param)


@pytest.fixture(scope="module")
def alone(library: Library, sealed_model: SealedFile) -> dict[int, Rows]:
    single = runner_of(library, sealed_model, 1)
    return {length: rows(single, length, 64) for length in {*itertools.chain(*LENGTHS.values())}}


@pytest.mark.swept
@pytest.mark.parametrize("chunk", [37, 512])
@pytest.mark.parametrize("company", [False, True])
def test_logits_are_the_same_to_the_last_bit(
    runner: ModelRunner, alone: dict[int, Rows], chunk: int, company: bool
) -> None:
    for length in LENGTHS[runner.config.threads]:
        found, wanted = rows(runner, length, chunk, company=company), alone[length]
        assert found.tobytes() == wanted.tobytes(), np.abs(found - wanted).max()


TURNS, ANSWER, BUDGET = 6, 5, 64


class Counting(Forced):
    reused = 0

    def _pick(self, sequence: Sequence, logits: Rows) -> int:
        self.reused = max(self.reused, sequence.reused or 0)
        return super()._pick(sequence, logits)


def turn(engine: Forced, number: int, tokens: list[int], slots: int) -> None:
    for other in range(slots - 1):
        asked = sequence(100 + 10 * number + other, 90 + 31 * other)
        asked.slot, asked.max_tokens, asked.ignore_eos = None, ANSWER + 4 * other, True
        asked.scope, asked.tiled = "other", engine.runner.tiled(len(asked.tokens))
        engine.add(asked)
    engine.step()
    engine.add(
        Sequence(
            number, list(tokens), Sampling(temperature=0), ANSWER, TextStream(), ignore_eos=True,
            scope="app", tiled=engine.runner.tiled(len(tokens)),
        )
    )  # fmt: skip
    while engine.busy():
        engine.step()


def conversation(runner: ModelRunner, script: Script | None, capacity: int, slots: int) -> Counting:
    """Six turns, each prompt one token longer than whole chunks."""
    cells = Cells(capacity, slots, runner.config.kept)
    engine = Counting(runner, Scheduler(cells, BUDGET), script)
    tokens: list[int] = []
    for number in range(TURNS):
        length = BUDGET * (number + 1) + 1
        tokens += sequence(number, length - len(tokens)).tokens
        turn(engine, number, tokens, slots)
        tokens += engine.taken[number]
    while engine.cells.kept:
        engine.cells._prefixes.evict(capacity)
    runner.follow(engine.cells.take_operations())
    return engine


@pytest.fixture(scope="module")
def fresh(library: Library, sealed_model: SealedFile) -> Counting:
    """The turns alone, with one thread."""
    return conversation(runner_of(library, sealed_model, 1), None, 4096, 1)


@pytest.mark.parametrize("threads", [1, 2])
def test_turns_over_kept_prefixes_have_the_logits_of_fresh_ones(
    library: Library, sealed_model: SealedFile, fresh: Counting, threads: int
) -> None:
    config = RunnerConfig(n_ctx=1024, slots=4, threads=threads, n_batch=700, kept=8)
    kept = ModelRunner(library, sealed_model.reopen(), config)
    found = conversation(kept, fresh.taken, config.n_ctx, 4)
    for number in range(TURNS):
        assert np.array(found.rows[number]).tobytes() == np.array(fresh.rows[number]).tobytes()
    assert found.reused > BUDGET + ANSWER  # without tiles, cells of an answer, too


@pytest.fixture
def attention_of_ggml(variant: Path) -> Iterator[None]:
    kernels = ctypes.CDLL(str(variant))
    kernels.kernels_names.restype = ctypes.c_char_p
    kernels.kernels_refuse(1 << kernels.kernels_names().decode().split(",").index("attention"))
    yield
    kernels.kernels_refuse(0)


def test_with_ggmls_own_attention_they_are_not(
    library: Library, sealed_model: SealedFile, alone: dict[int, Rows], attention_of_ggml: None
) -> None:
    """The control: our attention makes the bits equal, and the test sees where they differ."""
    found = runner_of(library, sealed_model, 2)
    assert (rows(found, 600, 512) != rows(found, 600, 37)).any()


def test_tiles_give_others_to_a_prompt_and_no_others_to_the_rest(
    library: Library, sealed_model: SealedFile
) -> None:
    """The control of their place: with another one the logits differ."""
    if not library.tiles:
        pytest.skip("this processor has no tiles")
    runner = runner_of(library, sealed_model, 1)
    found = []
    for tiled in (64, 64, 48, 0):
        asked = sequence(0, 70, tiled)
        found.append(runner.forward([Chunk(asked, 0, 70)]).tobytes())
        runner.follow([Drop(0)])
    assert found[0] == found[1] and len(set(found)) == 3


def test_what_a_prompt_means_is_seen(alone: dict[int, Rows]) -> None:
    """The control of the comparison: another prompt has other logits."""
    assert len({wanted.tobytes() for wanted in alone.values()}) == len(alone)
