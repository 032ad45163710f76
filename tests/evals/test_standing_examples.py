"""The standing examples: tasks that `task check` accepts and that fit every item of their data."""

import json
from pathlib import Path
from typing import Any

import pytest

from appliance.datasets.items import build
from appliance.evals import scoring
from appliance.tasks import catalogue
from appliance.trust.bytes.directory import open_artifact
from tests.conftest import CHECKOUT, example_set

EXAMPLES = CHECKOUT / "models" / "examples"
DATA = {
    "excavator-system": "excavators",
    "excavator-fields": "excavator-fields",
    "licence-id": "licences",
    "log-fields": "fail2ban",
}


def test_each_example_has_a_task() -> None:
    assert sorted(path.name for path in EXAMPLES.iterdir()) == sorted(DATA)


@pytest.mark.parametrize("name", DATA)
def test_a_task_is_accepted_and_fits_its_data(name: str) -> None:
    with open_artifact(EXAMPLES / name) as artifact:
        facts = catalogue.vet(artifact).kept()
        loaded = catalogue.read_artifact(artifact)
    assert facts.name == name and facts.model == "smollm2-135m"
    seen: set[str] = set()
    for row in _rows(example_set(DATA[name])):
        if "expected" not in row:
            continue
        item = build(row, row["id"])
        scoring.expected_of(loaded.task, item)
        sent = scoring.input_of(loaded.task, item)
        assert all(len(sent[f.name]) <= f.max_chars for f in loaded.task.input if f.name in sent)
        seen.add(row["split"])
    assert {"train", "dev", "test"} <= seen


def _rows(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text("utf-8").splitlines()]
