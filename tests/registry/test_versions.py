"""Versions of one model, and those served before another."""

from pathlib import Path

import pytest

from appliance.app import Services, initialise, open_services
from appliance.facts import read
from appliance.registry.audit_entries import Edges
from appliance.registry.versions import served_before, versions
from appliance.trust.artifacts.records import ModelRecord
from appliance.trust.artifacts.store import load_policy
from appliance.types import Json
from tests.smol import SMALL

GENERATE: dict[str, Json] = {"kind": "generate", "name": ""}


def record(model_id: str, created_us: int, **facts: str) -> ModelRecord:
    digest = f"{created_us:064x}"
    return ModelRecord(
        model_id, "approved", digest, created_us=created_us, facts=read({**GENERATE, **facts})
    )


@pytest.mark.parametrize(
    ("other", "like"),
    [
        (record("pump", 1), True),
        (record("pump-v1", 1), True),
        (record("pump-1.2", 1), True),
        (record("valve", 1), False),
        (record("valve", 1, name="Pump 7B"), True),
        (record("pump-v1", 1, kind="embed"), False),
        (ModelRecord("pump-v1", "refused", facts=read(GENERATE)), False),
    ],
)
def test_what_is_a_version_of_a_model(other: ModelRecord, like: bool) -> None:
    found = versions("pump-v2", read({**GENERATE, "name": "Pump 7B"}), [other])
    assert found == ([other] if like else [])


def test_the_newest_comes_first() -> None:
    old, new = record("pump-v1", 1), record("pump-v2", 2)
    assert versions("pump-v3", read(GENERATE), [old, new]) == [new, old]


def test_served_is_what_the_log_says(tmp_path: Path) -> None:
    initialise(tmp_path / "data", "lab")
    models = [record(f"pump-v{number}", number) for number in (1, 2, 3, 4, 5)]
    with open_services(tmp_path / "data", config=SMALL) as services:
        for model in models[:2] + models[4:]:
            serve(services, model)
        before = served_before(models[3], models, services.reader)
        assert [model.id for model in before] == ["pump-v2", "pump-v1"]  # 3 never was, 5 is newer


def serve(services: Services, model: ModelRecord) -> None:
    policy = load_policy(services.data / "trust")
    Edges(services.audit).record("uid:0", model, "serving", policy)
