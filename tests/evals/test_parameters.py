"""Parameters of an evaluation: ids or directories, and no sealed split."""

import json
from pathlib import Path
from typing import Any, Final

import pytest

from appliance.errors import EvaluationRefused
from appliance.evals.job import EvaluationJob
from appliance.evals.parameters import EvaluationWanted, check, is_path

KIND: Final = EvaluationJob(None)  # type: ignore[arg-type]


def test_ids_and_directories(tmp_path: Path) -> None:
    asked = EvaluationWanted("orders-task", str(tmp_path))
    check(asked)
    assert (asked.split, asked.baselines, asked.packs, asked.limit) == ("dev", True, False, 0)
    assert not is_path(asked.task) and is_path(asked.data)


@pytest.mark.parametrize(
    "change",
    [
        {"split": "test"},
        {"split": "certify"},
        {"split": "unlabelled"},
        {"task": "/nowhere"},
        {"data": "./nowhere"},
        {"models": "smol"},
        {"surprise": 1},
        {"limit": "all"},
    ],
)
def test_what_cannot_be_meant_is_refused(change: dict[str, Any]) -> None:
    with pytest.raises(EvaluationRefused) as caught:
        check(KIND.read(json.dumps({"task": "t", "data": "d", **change})))
    assert caught.value.code == "evaluation_invalid"
