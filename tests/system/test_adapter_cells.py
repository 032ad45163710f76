"""Logits of a mixture of adapters on one model are those of each alone, cell for cell."""

import os
from collections.abc import Sequence as ReadOnly
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from appliance.engine import prefixes
from appliance.engine.cells import Cells
from appliance.engine.loop import Engine
from appliance.engine.runner import Library, ModelRunner, RunnerConfig
from appliance.engine.scheduler import Chunk, Scheduler
from appliance.engine.sequence import Sequence
from appliance.engine.text.textstream import TextStream
from appliance.types import Sampling
from appliance.workers.cpu_variants import best_variant, library_directory
from tests.lora import write_lora

Rows = list[NDArray[np.float32]]
ADAPTERS = ("", "one", "two")
TOKENS = 6
LIMIT = 0.5  # of log-probabilities of likely tokens, as for other batch shapes: docs/adr/0009


class Recording(ModelRunner):
    def __init__(self, library: Library, fd: int, config: RunnerConfig) -> None:
        super().__init__(library, fd, config)
        self.rows: dict[int, Rows] = {}

    def forward(self, chunks: ReadOnly[Chunk]) -> NDArray[np.float32]:
        logits = super().forward(chunks)
        at = 0
        for chunk in chunks:
            self.rows.setdefault(chunk.sequence.id, []).extend(
                row.copy() for row in logits[at : at + chunk.outputs]
            )
            at += chunk.outputs
        return logits


@dataclass
class Forced:
    """A sampler that takes the tokens of a text that is known, or greedy ones."""

    tokens: list[int] = field(default_factory=list)
    at: int = 0

    def pick(self, logits: NDArray[np.float32], *_args: Any, **_kwargs: Any) -> int:
        self.at += 1
        return self.tokens[self.at - 1] if self.tokens else int(logits.argmax())


@pytest.fixture(scope="module")
def library() -> Library:
    return Library(best_variant(library_directory()))


def made(library: Library, model: Path, place: Path, config: RunnerConfig) -> Recording:
    runner = Recording(library, os.open(model, os.O_RDONLY), config)
    for seed, adapter in enumerate(ADAPTERS[1:]):
        path = place / f"{adapter}.gguf"
        write_lora(model, path, seed)
        runner.attach(adapter, os.open(path, os.O_RDONLY))
    return runner


@pytest.fixture(scope="module")
def runner(
    library: Library, shallow_path: Path, tmp_path_factory: pytest.TempPathFactory
) -> Recording:
    config = RunnerConfig(n_ctx=2048, slots=4, threads=2, n_batch=192, kept=8)
    return made(library, shallow_path, tmp_path_factory.mktemp("lora"), config)


def engine_of(runner: Recording, kept: int) -> Engine:
    config = runner.config
    cells = Cells(config.n_ctx, config.slots, kept, separate=config.reproducible)
    engine = Engine(runner, Scheduler(cells, 64, fixed_chunks=config.reproducible))
    engine.adapters = frozenset(ADAPTERS[1:])
    runner.rows.clear()
    return engine


def ask(number: int, tokens: list[int], adapter: str, forced: list[int]) -> Sequence:
    sequence = Sequence(
        number, list(tokens), Sampling(), TOKENS, TextStream(), ignore_eos=True,
        scope="app", adapter=adapter,
    )  # fmt: skip
    sequence.sampler = Forced(forced)  # type: ignore[assignment] # as much of it as is used
    return sequence


def prompt(runner: ModelRunner) -> list[int]:
    text = " ".join(f"Report {n}: pump {n * 7 % 31} was found dry." for n in range(9))
    return runner.tokenize(text + " The next pump is", add_special=True, parse_special=False)


def alone(runner: Recording, adapter: str) -> tuple[list[int], Rows]:
    engine = engine_of(runner, 0)
    sequence = ask(0, prompt(runner), adapter, [])
    engine.add(sequence)
    while engine.busy():
        engine.step()
    runner.follow(engine.cells.take_operations())
    return sequence.tokens[sequence.prompt_tokens :], runner.rows[0]


def worst(one: Rows, other: Rows) -> float:
    """Worst difference of the log-probability of a token that has at least 5 %."""
    found = 0.0
    assert len(one) == len(other) == TOKENS
    for a, b in zip(one, other, strict=True):
        first, second = (row - np.logaddexp.reduce(row.astype(np.float64)) for row in (a, b))
        likely = first >= np.log(0.05)
        found = max(found, float(np.abs(first - second)[likely].max()))
    return found


def mixed(runner: Recording) -> tuple[float, list[int]]:
    """All at once, then again over what was kept: the worst difference to `alone`, and the tokens
    taken over.
    """
    isolated = {adapter: alone(runner, adapter) for adapter in ADAPTERS}
    engine = engine_of(runner, runner.config.kept)
    sequences: list[Sequence] = []
    for _ in range(2):
        for adapter in ADAPTERS:
            new = ask(len(sequences), prompt(runner), adapter, isolated[adapter][0])
            engine.add(new)
            sequences.append(new)
        while engine.busy():
            engine.step()
    while engine.cells.kept:  # leave nothing to the next test
        engine.cells._prefixes.evict(4096)
    runner.follow(engine.cells.take_operations())
    found = [worst(isolated[s.adapter][1], runner.rows[s.id]) for s in sequences]
    return max(found), [s.reused or 0 for s in sequences[len(ADAPTERS) :]]


def test_each_adapter_answers_as_it_does_alone(runner: Recording) -> None:
    difference, reused = mixed(runner)
    assert difference == 0
    assert min(reused) > 50  # each found what it had computed itself


def test_in_reproducible_mode_the_logits_are_equal_to_the_last_bit(
    library: Library, shallow_path: Path, tmp_path: Path
) -> None:
    config = RunnerConfig(n_ctx=512, slots=3, threads=1, n_batch=160, reproducible=True)
    difference, reused = mixed(made(library, shallow_path, tmp_path, config))
    assert (difference, max(reused)) == (0, 0)


def test_an_engine_that_shares_cells_between_adapters_is_caught(
    runner: Recording, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The control: kept cells without the adapter in their scope."""
    found = prefixes.scope_of

    def without_adapter(sequence: Sequence, at: int) -> tuple[prefixes.Scope, int]:
        scope, bound = found(sequence, at)
        return ("", *scope[1:]), bound

    monkeypatch.setattr(prefixes, "scope_of", without_adapter)
    difference, reused = mixed(runner)
    assert min(reused) > 50 and difference > LIMIT


def test_the_adapters_say_different_things(runner: Recording) -> None:
    """The control of the comparison: nobody would see a mix-up of equal adapters."""
    texts = [alone(runner, adapter)[0] for adapter in ADAPTERS]
    assert len({tuple(text) for text in texts}) == len(ADAPTERS)
    rows = [alone(runner, adapter)[1] for adapter in ADAPTERS]
    assert worst(rows[0], rows[1]) > LIMIT < worst(rows[1], rows[2])
