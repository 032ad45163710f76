"""LFM2's kind: layers whose state is no run of cells, with small random weights in the real engine.

A sequence depends on its own tokens alone: not on neighbours, cuts of its prompt, or preemptions.
"""

import os
from pathlib import Path

import numpy as np
import pytest

from appliance.engine.cells import Cells
from appliance.engine.labels import Labels
from appliance.engine.loop import Engine
from appliance.engine.runner import Library, ModelRunner, RunnerConfig
from appliance.engine.scheduler import Scheduler
from appliance.trust.gguf.gguf import vet
from tests.engine.test_labels import answer, asking, echoed
from tests.engine.test_runner import Prompts, play, positions, worst
from tests.fuzz.tiny_models import EMBD, FF, HEAD, KV_HEADS, lfm2
from tests.minilm import Floats, write_gguf


def weights() -> dict[str, Floats]:
    random = np.random.default_rng(5)
    return {
        str(one.name): (
            random.standard_normal(one.shape[::-1]) * 0.05 + ("norm.weight" in str(one.name))
        ).astype(np.float32)
        for one in lfm2().tensors
    }


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    pairs = {str(key): value for key, value in lfm2().pairs.items()}
    return write_gguf(tmp_path_factory.mktemp("lfm2") / "model.gguf", pairs, weights())


def runner(library: Library, model: Path, *, reproducible: bool = False) -> ModelRunner:
    config = RunnerConfig(
        n_ctx=64, slots=3, threads=1, n_batch=67, reproducible=reproducible, kept=4
    )
    return ModelRunner(library, os.open(model, os.O_RDONLY), config)


PROMPTS: Prompts = {n: [(7 * n + i) % 250 for i in range(9 + n)] for n in (1, 2, 3)}


def test_it_is_vetted_and_its_cells_are_counted(model: Path) -> None:
    facts = vet(model.read_bytes())
    assert (facts.architecture, facts.kind) == ("lfm2", "generate")
    # The account has cells for every layer; a convolution's state is two rows for each sequence.
    assert (facts.n_layer, facts.n_head_kv, facts.head_dim_k) == (2, KV_HEADS, HEAD)
    assert facts.n_wide == 3 * EMBD > FF


@pytest.mark.parametrize("reproducible", [False, True])
def test_neighbours_and_cuts_change_nothing(
    library: Library, model: Path, reproducible: bool
) -> None:
    made = runner(library, model, reproducible=reproducible)
    assert made.config.kept == 0  # no state is shared
    alone = {number: play(made, {number: tokens}) for number, tokens in PROMPTS.items()}
    assert len({tuple(run.taken[number]) for number, run in alone.items()}) == len(PROMPTS)
    together = play(made, PROMPTS, arrivals={2: 1, 3: 4})
    assert worst(alone, together) < (1e-6 if reproducible else 1e-2)


def test_a_preempted_sequence_is_computed_again(library: Library, model: Path) -> None:
    made = runner(library, model)
    alone = {number: play(made, {number: tokens}) for number, tokens in PROMPTS.items()}
    tight = play(made, PROMPTS, capacity=40)  # the last one has to wait or to make room
    assert worst(alone, tight) < 1e-2


@pytest.mark.parametrize("reproducible", [False, True])
def test_each_label_begins_from_the_state_after_the_prompt(
    library: Library, model: Path, reproducible: bool
) -> None:
    """No state of the label before is left, nor its cells; answers beside continue."""
    made = runner(library, model, reproducible=reproducible)
    prompt, labels = tuple(PROMPTS[1]), [(1, 2, 3), (1, 2, 4), (5, 6), (7,)]
    engine = Engine(made, Scheduler(Cells(64, 3, separate=reproducible), 16))
    engine.add(answer(1, tuple(PROMPTS[2]), 20))
    engine.add(asking(2, prompt, Labels(labels)))
    rows = [row for _ in range(40) if engine.busy() for row in engine.step().rows]
    assert sum(row.tokens for row in rows if row.id == 1) == 20
    (values,) = (np.frombuffer(row.vector, "<f4") for row in rows if row.id == 2)
    alone = [echoed(made, engine, prompt, label) for label in labels]
    assert values == pytest.approx(alone, abs=1e-4 if reproducible else 1e-2)
    assert values.max() - values.min() > 0.1
    assert engine.cells.used == 0 and all(positions(made, slot) == 0 for slot in range(3))
