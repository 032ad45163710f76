"""The check as a job: the report of the command, with the tokens of a model."""

import json
from pathlib import Path
from typing import Any

import pytest

from appliance.app import Services
from appliance.datasets.job import MOST, bounded
from appliance.errors import ApplianceError
from appliance.wire.admin.results import DatasetChecked
from tests.evals.orders import item, write_data
from tests.smol import ID


async def checked(services: Services, **params: Any) -> dict[str, Any]:
    live = await services.jobs.start("dataset-check", params, "uid:0")
    return (await live.outcome()).document


async def test_inputs_longer_than_the_context_are_an_error(ready: Services, tmp_path: Path) -> None:
    data = write_data(tmp_path / "orders")
    found = await checked(ready, data=str(data), model=ID)
    assert found["tokens"]["max"] >= found["tokens"]["median"] >= 4
    with (data / "dev.jsonl").open("a") as file:
        long = item(90, "dev", input={"text": "word " * 600})
        file.write(json.dumps(long) + "\n")
    found = await checked(ready, data=str(data), model=ID)
    assert not found["ok"]
    (problem,) = [p for p in found["problems"] if p["code"] == "input_too_long"]
    assert problem["examples"] == ["dev090"] and "512" in problem["message"]


async def test_without_a_model_no_tokens_are_counted(services: Services, tmp_path: Path) -> None:
    found = await checked(services, data=str(write_data(tmp_path / "orders")))
    assert "tokens" not in found and found["summary"]["items"]["dev"] == 12


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"data": "/nowhere"}, "dataset_unreadable"),
        ({"model": "nosuch"}, "model_not_found"),
        ({"near": 0.2}, "dataset_check_invalid"),
        ({"surprise": 1}, "dataset_check_invalid"),
    ],
)
async def test_what_cannot_be_checked_starts_no_job(
    services: Services, tmp_path: Path, change: dict[str, Any], code: str
) -> None:
    before = await services.jobs.newest(1)
    with pytest.raises(ApplianceError) as caught:
        await checked(services, **{"data": str(tmp_path), **change})
    assert caught.value.code == code
    assert await services.jobs.newest(1) == before


def test_a_report_is_bounded_and_its_counts_are_whole() -> None:
    problem: dict[str, Any] = {
        "code": "leak_near",
        "level": "warning",
        "count": MOST + 5,
        "message": "Items are alike.",
        "examples": tuple(range(MOST + 5)),
    }
    labels = {"repeated_texts": 0, "agreement": None, "ceiling": None}
    report = DatasetChecked.model_validate({
        "ok": True, "problems": [problem], "splits": {}, "labels": labels, "personal_data": {},
        "not_looked_for": "names",
    })  # fmt: skip
    found = bounded(report).document
    assert len(found["problems"][0]["examples"]) == MOST
    assert found["problems"][0]["count"] == MOST + 5
    assert len(report.problems[0].examples) == MOST + 5
