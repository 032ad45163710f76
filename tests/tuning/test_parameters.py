"""Parameters of a tuning: impossible ones, the base, the task's files."""

import json
from pathlib import Path
from typing import Any

import pytest

from appliance.errors import TuningRefused
from appliance.tasks import definition
from appliance.tuning.job import TuningJob
from appliance.tuning.parameters import TuneWanted, check, task_files
from tests.evals.orders import FITTED, TASK, write_task
from tests.tuning.fields import write_fields


def refused(call: Any, *given: Any) -> str:
    with pytest.raises(TuningRefused) as caught:
        call(*given)
    assert caught.value.code == "tuning_invalid"
    return caught.value.message


@pytest.mark.parametrize(
    "change",
    [
        {"seeds": 0},
        {"seeds": 17},
        {"dev": 0},
        {"limit": -1},
        {"split": "test"},
        {"seeds": "1"},
        {"most_forgotten": 0},
        {"most_forgotten": float("nan")},
        {"most_forgotten": float("inf")},
    ],
)
def test_parameters_that_cannot_be_meant_are_refused(change: dict[str, Any]) -> None:
    kind = TuningJob(None)  # type: ignore[arg-type]

    def read(**change: object) -> TuneWanted:
        asked = kind.read(json.dumps({"task": "/t", "data": "/d", **change}))
        check(asked)
        return asked

    assert read() == TuneWanted("/t", "/d")
    assert "Parameters: " in refused(lambda: read(**change))


def test_train_and_dev_have_limits_of_their_own() -> None:
    wanted = TuneWanted("/t", "/d", limit=5, dev=7)
    assert (wanted.split("train").limit, wanted.split("dev").limit) == (5, 7)


def test_the_base_is_named_or_answers_for_the_task() -> None:
    task, fitted = (definition.parse(text.encode()) for text in (TASK, FITTED))
    assert TuneWanted("/t", "/d").base_of(task) == "smol"
    assert TuneWanted("/t", "/d", base="other").base_of(fitted) == "other"
    assert "name a base" in refused(TuneWanted("/t", "/d").base_of, fitted)


def test_the_definition_is_read_alone(tmp_path: Path) -> None:
    path = write_task(tmp_path / "task")
    assert TuneWanted(str(path), "/d").definition().id == definition.parse(TASK.encode()).id
    assert "No such file" in refused(TuneWanted(str(tmp_path), "/d").definition)


def test_a_task_has_the_files_that_any_candidate_of_it_needs(tmp_path: Path, data: Path) -> None:
    path = write_fields(tmp_path / "fields", data)
    (path / "classifier.json").write_text("{}")
    task = TuneWanted(str(path), "/d").definition()
    assert set(task_files(path, task)) == {"task.toml", "schema.json"}
