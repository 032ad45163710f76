"""Fixtures of tuning: the tuning set, a task and items that a model learns at once."""

import json
import shutil
import sys
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from appliance.app import Services, open_services
from appliance.config import TuningConfig
from appliance.trust.bytes.sealed import SealedFile
from appliance.tuning.served import Served, serving
from tests.evals.orders import WORDS, write_data, write_task
from tests.smol import SMALL
from tests.smol import sealed as sealed_model
from tests.tuning.runs import sealed

NO_SET = "SKIPPED WITHOUT THE TUNING SET: `make tune-setup` installs it, `make test-tune` runs this"


@pytest.fixture(scope="session")
def tuning_set() -> Path:
    """The directory; without it the test is skipped."""
    found = Path(sys.prefix) / "tuning"
    if not (found / "torch").is_dir():
        pytest.skip(NO_SET)
    return found


@pytest.fixture
def task(tmp_path: Path) -> Path:
    """Two labels of several tokens, for the default model."""
    return write_task(tmp_path / "task")


@pytest.fixture
def data(tmp_path: Path) -> Path:
    return write_data(tmp_path / "data", train=64, dev=24)


@pytest.fixture
def base(default_model_path: Path) -> Iterator[SealedFile]:
    found = sealed(default_model_path)
    yield found
    found.close()


@pytest.fixture
async def served(services: Services) -> AsyncIterator[Served]:
    model = sealed_model(services)
    async with serving(model, 256, services.supervisor.variant.get(), 1) as found:
        yield found
    model.close()


@pytest.fixture
def own(smol_data: Path, tmp_path: Path) -> Iterator[Services]:
    """For tests that put other artifacts into the store."""
    shutil.copytree(smol_data, tmp_path / "own")
    with open_services(tmp_path / "own", config=SMALL) as services:
        yield services


@pytest.fixture
async def opened(smol_data: Path, tuning_set: Path) -> AsyncIterator[Services]:
    config = replace(SMALL, tuning=TuningConfig(threads=1))
    with open_services(smol_data, config=config) as services:
        yield services
        await services.jobs.close()


@pytest.fixture
def orders(tmp_path: Path, excavators_path: Path) -> Path:
    path = write_data(tmp_path / "orders", train=1, dev=1)
    lines = [json.loads(line) for line in excavators_path.read_text().splitlines()]
    for split, count in (("train", 64), ("dev", 24)):
        found = [x for x in lines if x.get("split") == split and x.get("expected") in WORDS][:count]
        for item in found:
            del item["split"]
        (path / f"{split}.jsonl").write_text("".join(f"{json.dumps(x)}\n" for x in found))
    return path
