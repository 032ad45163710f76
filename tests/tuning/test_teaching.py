"""Teaching as a job, over the real model: needs, questions and output."""

import json
from pathlib import Path
from typing import Any

import pytest

from appliance.app import Services
from appliance.datasets import directory
from appliance.errors import ApplianceError, TuningRefused
from appliance.host import at_rest
from tests.evals.orders import item
from tests.smol import ID

TERMS = "Apache-2.0: outputs are free"


@pytest.fixture
def waiting(data: Path) -> Path:
    lines = [{**item(n, "u"), "expected": None} for n in range(100, 104)]
    kept = [{k: v for k, v in line.items() if v is not None} for line in lines]
    (data / "unlabelled.jsonl").write_text("".join(f"{json.dumps(line)}\n" for line in kept))
    return data


def params(task: Path, data: Path, **more: Any) -> dict[str, Any]:
    given = {"teacher": ID, "licence": TERMS, "shots": 2, "held": 4, "least": 0}
    return {"task": str(task), "data": str(data), **given, **more}


async def teach(services: Services, params: dict[str, Any]) -> dict[str, Any]:
    live = await services.jobs.start("teach", params, "uid:0")
    return (await live.outcome()).document


async def test_a_dataset_comes_of_it_that_says_who_answered(
    ready: Services, task: Path, waiting: Path
) -> None:
    before = {path.name: path.read_bytes() for path in waiting.iterdir()}
    result = await teach(ready, params(task, waiting))
    assert {path.name: path.read_bytes() for path in waiting.iterdir()} == before
    assert result["asked"] == 4 and result["agreement"]["items"] == 4
    assert result["taken"] + sum(result["dropped"].values()) == 4 and result["taken"] > 0
    made = directory.read(Path(result["dataset"]))
    found = [one for one in made.splits["train"] if one.teacher is not None]
    digest = ready.lifecycle.record(ID).digest
    assert len(found) == result["taken"] and {one.teacher for one in found} == {digest}
    assert made.manifest.version == 2 and ID in made.manifest.source
    record = json.loads(at_rest.read(Path(result["dataset"]) / "teaching.json"))
    assert record["teacher"] == {"id": ID, "digest": digest, "shots": 2}
    assert record["licence"] == TERMS and record["share_dropped"] == result["share_dropped"]


async def test_a_teacher_that_disagrees_teaches_nothing(
    ready: Services, task: Path, waiting: Path
) -> None:
    before = sorted((ready.data / "teaching").glob("*/dataset"))
    with pytest.raises(TuningRefused) as refused:
        # untuned, it is not always right
        await teach(ready, params(task, waiting, least=1.0, held=12))
    assert refused.value.code == "teacher_disagrees"
    assert sorted((ready.data / "teaching").glob("*/dataset")) == before


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"licence": " "}, "teacher_licence"),
        ({"teacher": "nobody"}, "model_not_found"),
        ({"data": "/nowhere"}, "tuning_invalid"),
        ({"least": 2}, "tuning_invalid"),
        ({"held": 0}, "tuning_invalid"),
        ({"split": "dev"}, "tuning_invalid"),
    ],
)
async def test_what_cannot_be_meant_is_refused_before_anything_is_asked(
    services: Services, task: Path, waiting: Path, change: dict[str, Any], code: str
) -> None:
    with pytest.raises(ApplianceError) as refused:
        await services.jobs.start("teach", {**params(task, waiting), **change}, "uid:0")
    assert refused.value.code == code


async def test_without_unlabelled_items_there_is_nothing_to_teach(
    services: Services, task: Path, data: Path
) -> None:
    with pytest.raises(TuningRefused) as refused:
        await teach(services, params(task, data))
    assert refused.value.code == "tuning_rows"
