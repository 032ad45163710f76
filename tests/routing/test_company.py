"""Other requests in the batch move no feature of an answer; the real model."""

import asyncio
import json
import random
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from appliance.app import Services, open_services
from appliance.config import AuditConfig, Config, EngineConfig, ModelConfig
from appliance.routing.confidence import Features, features
from appliance.tasks.backend import TaskBackend
from appliance.types import GenerationRequest, TaskNeeds
from tests.smol import loaded as with_model
from tests.tasks import example
from tests.tasks.test_backend import SIDES, answered, backend
from tests.tasks.test_loaded import loaded

pytestmark = [pytest.mark.slow, pytest.mark.asyncio(loop_scope="module")]
SLOTS = 8
PARTS = (
    "battery",
    "hose",
    "pump",
    "turbo",
    "lamp",
    "piston",
    "cable",
    "cylinder",
    "filter",
    "boom",
)
STATES = ("flat", "leaks oil", "torn", "noisy at the left side after 1,200 hours", "no start")
TEXTS = [f"{part} {state}" for part in PARTS for state in STATES]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def services(smol_data: Path) -> AsyncIterator[Services]:
    config = Config(
        engine=EngineConfig(threads=2),
        models={"default": ModelConfig(n_ctx=4096, slots=SLOTS)},
        audit=AuditConfig(ballast_mib=0),
    )
    with open_services(smol_data, config=config) as opened:
        async with with_model(opened):
            yield opened


async def known(over: TaskBackend, text: str) -> tuple[str, Features]:
    asked = GenerationRequest(
        model="t",
        messages=({"role": "user", "content": text},),
        task=TaskNeeds(decisions=True, p_true=True),
    )
    *_, last = await answered(over, asked)
    assert last.about is not None
    found = features(last.about)
    assert found is not None
    return last.text, found


@pytest.mark.parametrize("form", ["labels", "fields"])
async def test_company_moves_no_feature_at_all(services: Services, form: str) -> None:
    """Alone, then beside seven others, in three orders, by our kernels."""
    if form == "labels":
        over = await backend(services, loaded(example.LABELS))
    else:
        over = await backend(services, loaded(example.FIELDS, schema_json=json.dumps(SIDES)))
    alone = [await known(over, text) for text in TEXTS]
    for seed in range(3):
        order = random.Random(seed).sample(range(len(TEXTS)), len(TEXTS))
        for start in range(0, len(order), SLOTS):
            part = order[start : start + SLOTS]
            beside = await asyncio.gather(*(known(over, TEXTS[place]) for place in part))
            assert beside == [alone[place] for place in part]
    assert len({found for _, found in alone}) == len(TEXTS)  # the measure tells texts apart
