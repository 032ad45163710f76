"""Three models and two adapters, a budget for two models: all answer, and memory stays flat."""

import random
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.smol import ID
from tests.system import leaking
from tests.system.conftest import Server
from tests.system.mixed import FLAT, IDS, Run, Sample, growth, mixed, three_models

pytestmark = pytest.mark.executed  # a forked program has the pages of what it was forked from
SPOILED = ("-m", "tests.system.leaking")


@pytest.fixture(scope="module")
def served(
    tmp_path_factory: pytest.TempPathFactory, default_model_path: Path
) -> Iterator[tuple[Server, float]]:
    """A server that leaks if a prompt asks it to, and is the product otherwise."""
    with three_models(tmp_path_factory.mktemp("mixed"), default_model_path, SPOILED) as made:
        yield made


async def test_every_request_is_answered_by_its_own_model_and_memory_stays_flat(
    served: tuple[Server, float],
) -> None:
    run = await mixed(*served, 100)
    assert run.problems() == []
    assert set(run.happened("serving")) <= set(IDS) and set(run.happened("evict")) <= set(IDS)


async def test_a_server_that_leaks_is_found_out(served: tuple[Server, float]) -> None:
    """The control: the same check, and requests that are never forgotten."""
    run = await mixed(*served, 100, ids=(ID,), word=leaking.WORD)
    assert any("the server grew" in problem for problem in run.problems())


def run_of(server: list[float], workers: float = 100.0) -> Run:
    run = Run(len(server), budget_mib=200.0, events=Counter({("evict", "two"): 1}))
    run.samples = [Sample(n, 0.0, size, workers) for n, size in enumerate(server)]
    return run


def test_flat_is_what_moves_about_and_does_not_grow() -> None:
    dice = random.Random(1)
    noisy = [100 + dice.uniform(-4, 4) for _ in range(50)]
    assert run_of([60, 70, 80, 90, *noisy]).problems() == []  # warming up is no leak
    leak = [size * (1 + 0.002 * n) for n, size in enumerate(noisy)]
    assert growth(leak) > FLAT and run_of(leak).problems()
    with pytest.raises(ValueError, match="4 samples"):
        growth(noisy[:4])


def test_each_thing_that_must_not_be_is_a_problem() -> None:
    good = [100.0] * 10
    assert run_of(good).problems() == []
    assert "of 200 MiB" in run_of(good, workers=201.0).problems()[0]
    wrong, refused, still = run_of(good), run_of(good), run_of(good)
    wrong.wrong, refused.refused["queue_full"] = 1, 1
    still.events.clear()
    for run in (wrong, refused, still):
        assert len(run.problems()) == 1


@pytest.mark.slow
async def test_five_thousand_requests(tmp_path: Path, default_model_path: Path) -> None:
    with three_models(tmp_path, default_model_path) as served:
        run = await mixed(*served, 5_000)
    assert run.problems() == []
