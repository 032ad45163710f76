"""64 adapters on one base, interleaved with none: each answers as it does alone."""

import os
import random
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from appliance.app import Services
from appliance.engine.cells import Cells
from appliance.engine.loop import Engine
from appliance.engine.runner import Library, ModelRunner, RunnerConfig
from appliance.engine.scheduler import Scheduler
from appliance.engine.sequence import Sequence
from appliance.engine.text.textstream import TextStream
from appliance.types import Sampling
from appliance.workers.cpu_variants import best_variant, library_directory
from tests.lora import add_adapter, write_lora
from tests.smol import ID
from tests.system.conftest import CONFIG, Server, serving
from tests.system.test_adapter_cells import Forced, Recording

COUNT = 64
ADAPTERS = tuple(f"adapter-{n:02}" for n in range(COUNT))
EVERYBODY = ("", *ADAPTERS)
TOKENS = 2
CONTEXT = RunnerConfig(n_ctx=64, slots=8, threads=1, n_batch=512, reproducible=True)


@pytest.fixture(scope="module")
def runner(shallow_path: Path, tmp_path_factory: pytest.TempPathFactory) -> Recording:
    library = Library(best_variant(library_directory()))
    made = Recording(library, os.open(shallow_path, os.O_RDONLY), CONTEXT)
    place = tmp_path_factory.mktemp("many")
    for seed, adapter in enumerate(ADAPTERS):
        path = place / adapter
        write_lora(shallow_path, path, seed, rank=1)
        made.attach(adapter, os.open(path, os.O_RDONLY))
        path.unlink()
    return made


def answers(runner: Recording, adapters: list[str]) -> list[NDArray[np.float32]]:
    cells = Cells(CONTEXT.n_ctx, CONTEXT.slots, 0, separate=True)
    engine = Engine(runner, Scheduler(cells, 64, fixed_chunks=True))
    engine.adapters = frozenset(ADAPTERS)
    runner.rows.clear()
    prompt = runner.tokenize("The pump", add_special=True, parse_special=False)
    for number, adapter in enumerate(adapters):
        sequence = Sequence(
            number, list(prompt), Sampling(), TOKENS, TextStream(), ignore_eos=True,
            scope="app", adapter=adapter,
        )  # fmt: skip
        sequence.sampler = Forced()  # type: ignore[assignment] # as much of it as is used
        engine.add(sequence)
    while engine.busy():
        engine.step()
    runner.follow(engine.cells.take_operations())
    return [np.concatenate(runner.rows[number]) for number in range(len(adapters))]


def interleaved() -> list[str]:
    order = list(EVERYBODY)
    random.Random(5).shuffle(order)
    return [
        name
        for n, adapter in enumerate(order)
        for name in ((adapter, "") if n % 8 == 7 else (adapter,))
    ]


@pytest.fixture(scope="module")
def alone(runner: Recording) -> dict[str, NDArray[np.float32]]:
    return {adapter: answers(runner, [adapter])[0] for adapter in EVERYBODY}


def test_each_of_64_answers_as_it_does_alone(
    runner: Recording, alone: dict[str, NDArray[np.float32]]
) -> None:
    order = interleaved()
    assert len(order) == 73
    for adapter, found in zip(order, answers(runner, order), strict=True):
        assert np.array_equal(found, alone[adapter]), adapter
    assert len({row.tobytes() for row in alone.values()}) == len(EVERYBODY)


def test_a_step_with_the_adapter_of_the_last_one_is_caught(
    runner: Recording, alone: dict[str, NDArray[np.float32]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The control: every ninth change of the adapter does not happen."""
    use, changes = ModelRunner._use, 0

    def sticking(self: ModelRunner, adapter: str) -> None:
        nonlocal changes
        changes += adapter != self._adapter
        if changes % 9:
            use(self, adapter)

    monkeypatch.setattr(ModelRunner, "_use", sticking)
    order = interleaved()[:20]
    found = answers(runner, order)
    mixed = [a for a, row in zip(order, found, strict=True) if not np.array_equal(row, alone[a])]
    assert mixed and len(mixed) < len(order)


def many(services: Services) -> None:
    for seed, name in enumerate(ADAPTERS):
        add_adapter(services, name, seed, rank=1, strength=1.0)


@pytest.mark.slow
def test_64_that_were_signed_imported_and_approved_answer_apps_each_for_itself(
    tmp_path: Path, default_model_path: Path
) -> None:
    config = CONFIG.replace("slots = 4", "slots = 8").replace("n_ctx = 512", "n_ctx = 128")
    with serving(tmp_path, default_model_path, config, many) as server:
        (worker,) = server.command("status")["workers"]
        assert len(worker["adapters"]) == COUNT
        single = {adapter: said(server, adapter) for adapter in EVERYBODY}
        assert len(set(single.values())) > COUNT // 2  # texts of few tokens may be equal
        order = interleaved()
        with ThreadPoolExecutor(12) as apps:
            together = list(apps.map(lambda adapter: said(server, adapter), order))
        assert together == [single[adapter] for adapter in order]


def said(server: Server, adapter: str) -> str:
    model = f"{ID}:{adapter}" if adapter else ID
    body = {"model": model, "prompt": "The pump", "max_tokens": 6, "temperature": 0,
            "ignore_eos": True}  # fmt: skip
    with server.client() as client:
        answer = client.post("/completions", json=body)
    assert answer.status_code == 200, answer.text
    text: str = answer.json()["choices"][0]["text"]
    return text
