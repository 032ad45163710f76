"""Logits behind a taken-over prefix are those of one computed afresh, also with sliding windows."""

import os
from collections.abc import Sequence as ReadOnly
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from appliance.engine.cells import Cells
from appliance.engine.loop import Engine
from appliance.engine.runner import Library, ModelRunner, RunnerConfig
from appliance.engine.scheduler import Chunk, Scheduler
from appliance.engine.sequence import Sequence
from appliance.engine.text.textstream import TextStream
from appliance.types import Sampling
from appliance.workers.cpu_variants import best_variant, library_directory
from benchmarks.models import gguf

Rows = list[NDArray[np.float32]]
CONFIG = RunnerConfig(n_ctx=2048, slots=4, threads=1, n_batch=192, kept=8)
TOKENS = 4
LIMIT = 0.5  # of log-probabilities of likely tokens, as for other batch shapes: docs/adr/0009


@pytest.fixture(scope="module")
def library() -> Library:
    return Library(best_variant(library_directory()))


@pytest.fixture(scope="module", params=["smollm2", pytest.param("gemma", marks=pytest.mark.slow)])
def path(request: pytest.FixtureRequest, shallow_path: Path) -> Path:
    return gguf("gemma") if request.param == "gemma" else shallow_path


class Recording(ModelRunner):
    def __init__(self, library: Library, fd: int) -> None:
        super().__init__(library, fd, CONFIG)
        self.rows: Rows = []

    def forward(self, chunks: ReadOnly[Chunk]) -> NDArray[np.float32]:
        logits = super().forward(chunks)
        self.rows += [row.copy() for row in logits]
        return logits


@pytest.fixture
def runner(library: Library, path: Path) -> Recording:
    return Recording(library, os.open(path, os.O_RDONLY))


@pytest.fixture
def engine(runner: Recording) -> Engine:
    return Engine(runner, Scheduler(Cells(CONFIG.n_ctx, CONFIG.slots, CONFIG.kept), 64))


def logits(engine: Engine, runner: Recording, scope: str, tokens: list[int]) -> tuple[Rows, int]:
    runner.rows.clear()
    sequence = Sequence(
        1, list(tokens), Sampling(temperature=0), TOKENS, TextStream(), ignore_eos=True, scope=scope
    )
    engine.add(sequence)
    while engine.busy():
        engine.step()
    return list(runner.rows), sequence.reused or 0


def prompt(runner: ModelRunner, end: str) -> list[int]:
    """Longer than the sliding window of Gemma 3, which is 512 tokens."""
    text = " ".join(f"Report {n}: pump {n * 7 % 31} was found dry." for n in range(60))
    return runner.tokenize(f"{text} {end}", add_special=True, parse_special=False)


def difference(one: Rows, other: Rows) -> float:
    """Worst difference of the log-probability of a token that has at least 5 %.

    Rows are compared as long as both answers have gone the same way.
    """
    worst = 0.0
    for a, b in zip(one, other, strict=True):
        first, second = (row - np.logaddexp.reduce(row.astype(np.float64)) for row in (a, b))
        likely = first >= np.log(0.05)
        worst = max(worst, float(np.abs(first - second)[likely].max()))
        if a.argmax() != b.argmax():
            break
    return worst


def test_a_prefix_that_is_taken_over_changes_no_likely_token(
    engine: Engine, runner: Recording
) -> None:
    fresh, none = logits(engine, runner, "one", prompt(runner, "The next pump is"))
    logits(engine, runner, "two", prompt(runner, "Which of them"))
    reused, count = logits(engine, runner, "two", prompt(runner, "The next pump is"))
    assert none == 0 and count > 550
    assert difference(fresh, reused) <= LIMIT


def test_a_prefix_that_is_another_one_is_caught(engine: Engine, runner: Recording) -> None:
    """The control: a tree that takes any two prompts for the same."""
    body = prompt(runner, "The next pump is")
    fresh, _ = logits(engine, runner, "one", body)
    logits(engine, runner, "two", [body[0], *reversed(body[1:])])
    tree = engine.cells._prefixes
    (leaf,) = (n for n in tree._nodes if n.scope[:2] == ("", "two"))
    tree._find = lambda sequence: (leaf, len(body) - 1)  # type: ignore[method-assign] # broken
    wrong, count = logits(engine, runner, "two", body)
    assert count > 550 and difference(fresh, wrong) > LIMIT
