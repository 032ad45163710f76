"""The estimate of memory is within 15 % of what the real worker has at its peak."""

import asyncio
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from appliance.config import ModelConfig
from appliance.trust.gguf.gguf import vet
from benchmarks.estimate import SHAPES, Peak, data_of, peak
from benchmarks.models import gguf
from tests.requantised import as_q4_0

pytestmark = pytest.mark.executed  # a forked worker has the memory of its parent, too
WITHIN = 0.15
SETTINGS = ModelConfig(n_ctx=2048)

MODELS: dict[str, Callable[[Path], Path]] = {
    "smollm2": lambda _: gguf("smollm2"),  # Q4_1
    "q4_0": lambda place: as_q4_0(gguf("smollm2"), place / "q4_0.gguf"),
    "gemma": lambda _: gguf("gemma"),  # Q4_K_M
}


# The copies of weights of each type are held against llama.cpp in tests/workers/test_repacking.py.
SLOW = [pytest.param(name, marks=pytest.mark.slow) for name in ("q4_0", "gemma")]


@pytest.fixture(scope="module", params=["smollm2", *SLOW])
def model(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def file(model: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return MODELS[model](tmp_path_factory.mktemp(model))


@pytest.fixture(scope="module")
def data(model: str, file: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return data_of(tmp_path_factory.mktemp(f"estimate-{model}"), file, model)


@pytest.fixture(scope="module")
def found(data: Path, model: str) -> Peak:
    return asyncio.run(peak(data, model, SETTINGS))


def test_the_estimate_is_within_15_percent_of_the_peak(found: Peak) -> None:
    assert found.ratio == pytest.approx(1, abs=WITHIN), found.row()


def test_an_estimate_that_knew_no_types_of_weights_would_not_be(
    found: Peak, file: Path, model: str
) -> None:
    """The control: the bound does not hold when no weight counts, or every one twice."""
    every = sum(vet(file.read_bytes()).matrices.values())
    wrong = [replace(found.estimate, weights=size) for size in (0, 2 * every)]
    ratios = [estimate.total / found.measured for estimate in wrong]
    assert any(ratio != pytest.approx(1, abs=WITHIN) for ratio in ratios), ratios


@pytest.mark.slow
@pytest.mark.parametrize("shape", SHAPES)
async def test_it_is_so_in_every_shape(data: Path, model: str, shape: str) -> None:
    found = await peak(data, model, SHAPES[shape])
    assert found.ratio == pytest.approx(1, abs=WITHIN), found.row()
