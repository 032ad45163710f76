"""Tuning as a job: what is refused before anything is stored, and what it takes."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from appliance.app import Services
from appliance.errors import TuningRefused
from appliance.tuning.job import Tuning
from tests.evals.orders import FITTED, write_task
from tests.smol import ID


def kind(services: Services, tuning_set: Path) -> Tuning:
    """The job with another tuning set."""
    found = services.jobs.kind("tune")
    assert isinstance(found, Tuning)
    return Tuning(replace(found._parts, tuning_set=tuning_set))


@pytest.fixture
def pretended(tmp_path: Path) -> Path:
    """A directory that looks like a tuning set."""
    path = tmp_path / "set"
    (path / "torch").mkdir(parents=True)
    (path / "torch" / "version.py").touch()
    return path


def test_without_the_tuning_set_it_says_what_to_carry_in(
    services: Services, task: Path, data: Path, tmp_path: Path
) -> None:
    with pytest.raises(TuningRefused) as refused:
        kind(services, tmp_path / "none").check({"task": str(task), "data": str(data)})
    assert refused.value.code == "tuning_set_missing"
    assert "lock-tune.txt" in refused.value.hint


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({}, ""),
        ({"settings": {"method": "dora"}}, "tuning_method"),
        ({"settings": {"rank": 0}}, "tuning_invalid"),
        ({"seeds": 0}, "tuning_invalid"),
        ({"split": "test"}, "tuning_invalid"),
        ({"data": "/nowhere"}, "tuning_invalid"),
        ({"data": "."}, "tuning_invalid"),
    ],
)
def test_parameters_that_cannot_be_meant_are_refused(
    services: Services, task: Path, data: Path, pretended: Path, change: dict[str, Any], code: str
) -> None:
    params = {"task": str(task), "data": str(data), **change}
    if not code:
        return kind(services, pretended).check(params)
    with pytest.raises(TuningRefused) as refused:
        kind(services, pretended).check(params)
    assert refused.value.code == code


def test_its_memory_is_known_before_a_row_is_read(
    services: Services, task: Path, data: Path, pretended: Path
) -> None:
    tuning = kind(services, pretended)
    params = {"task": str(task), "data": str(data)}
    by_task, by_name = tuning.needs(params), tuning.needs({**params, "base": ID})
    assert by_task == by_name > 1 << 30
    larger = tuning.needs({**params, "settings": {"tokens": 4096}})
    assert larger > by_name > tuning.needs({**params, "settings": {"recompute": True}})


def test_a_task_that_a_classifier_answers_needs_a_named_base(
    services: Services, tmp_path: Path, data: Path, pretended: Path
) -> None:
    fitted = write_task(tmp_path / "fitted", FITTED)
    tuning = kind(services, pretended)
    params = {"task": str(fitted), "data": str(data)}
    with pytest.raises(TuningRefused) as refused:
        tuning.needs(params)
    assert refused.value.code == "tuning_invalid" and "base" in str(refused.value)
    assert tuning.needs({**params, "base": ID}) > 1 << 30


@pytest.mark.parametrize("plan", [True, pytest.param(False, marks=pytest.mark.slow)])
async def test_a_trainer_that_cannot_start_ends_the_job_and_leaves_no_adapter(
    services: Services, task: Path, data: Path, pretended: Path, plan: bool
) -> None:
    tuning = kind(services, pretended)  # there is no torch in it
    services.jobs._kinds["tune"] = tuning
    params = {"task": str(task), "data": str(data), "limit": 8, "dev": 8}  # the fewest rows
    live = await services.jobs.start("tune", {**params, "plan": plan}, "uid:0")
    with pytest.raises(TuningRefused) as refused:
        await live.outcome()
    assert refused.value.code == "tuning_failed"
    assert list((services.data / "tuning").rglob("adapter*")) == []
