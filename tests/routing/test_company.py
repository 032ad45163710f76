"""By how much other requests in the batch move what is known of an answer; the real model."""

import asyncio
import json
import random
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from appliance.app import Services, open_services
from appliance.config import AuditConfig, Config, EngineConfig, ModelConfig
from appliance.routing.confidence import FIELDS, LABELS, P_TRUE, Features, features, may_turn, moved
from appliance.tasks.backend import TaskBackend
from appliance.types import GenerationRequest
from tests.evals.test_gate_simulation import told
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


@pytest_asyncio.fixture(scope="module", loop_scope="module", params=[False, True])
async def engine(
    smol_data: Path, request: pytest.FixtureRequest
) -> AsyncIterator[tuple[Services, bool]]:
    mode = ModelConfig(
        n_ctx=512 if request.param else 4096, slots=SLOTS, reproducible=request.param
    )
    config = Config(
        engine=EngineConfig(threads=2), models={"default": mode}, audit=AuditConfig(ballast_mib=0)
    )
    with open_services(smol_data, config=config) as opened:
        async with with_model(opened):
            yield opened, request.param


async def known(over: TaskBackend, text: str) -> tuple[str, Features]:
    asked = GenerationRequest(
        model="t", messages=({"role": "user", "content": text},), decisions=True, p_true=True
    )
    *_, last = await answered(over, asked)
    assert last.about is not None
    found = features(last.about)
    assert found is not None
    return last.text, found


@pytest.mark.parametrize("form", ["labels", "fields"])
async def test_company_moves_no_feature_further_than_there_is_room_for(
    engine: tuple[Services, bool], form: str
) -> None:
    """Alone, then beside seven others, in three orders; a reproducible model moves nothing."""
    services, reproducible = engine
    if form == "labels":
        over = await backend(services, loaded(example.LABELS))
    else:
        over = await backend(services, loaded(example.FIELDS, schema_json=json.dumps(SIDES)))
    seen = [[await known(over, text)] for text in TEXTS]
    for seed in range(3):
        order = random.Random(seed).sample(range(len(TEXTS)), len(TEXTS))
        for start in range(0, len(order), SLOTS):
            part = order[start : start + SLOTS]
            beside = await asyncio.gather(*(known(over, TEXTS[place]) for place in part))
            for place, found in zip(part, beside, strict=True):
                seen[place].append(found)
    turned = [each for each in seen if len({text for text, _ in each}) > 1]
    assert all(any(may_turn(found) for _, found in each) for each in turned)
    names = (*(LABELS if form == "labels" else FIELDS), P_TRUE)
    most = dict.fromkeys(names, 0.0)
    outside: list[tuple[str, list[float]]] = []
    for each in seen:
        same = [found for text, found in each if text == each[0][0]]
        for place, name in enumerate(names):
            values = [found[place] for found in same]
            most[name] = max(most[name], max(values) - min(values))
            low, high = moved(name, values[0])
            if not all(low - 1e-6 <= value <= high + 1e-6 for value in values):
                outside.append((name, values))
    told(f"{form}, reproducible={reproducible}: {len(turned)} of {len(TEXTS)} turned, {most}")
    assert not outside
    assert not reproducible or (not turned and not any(most.values()))
    assert reproducible or max(most.values()) > 0.05  # the control: company does move them
