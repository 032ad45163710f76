"""Tuning as a job: refusals before anything is stored, and its needs."""

import json
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, NoReturn

import msgspec
import pytest
from msgspec import structs

from appliance.app import Services
from appliance.datasets import directory
from appliance.errors import Refused, TuningRefused, Unavailable
from appliance.jobs.states import JobState
from appliance.trust.artifacts import signing
from appliance.tuning.job import TuningJob
from appliance.tuning.parameters import TuneWanted
from appliance.tuning.settings import TuneSettings
from tests.evals.orders import FITTED, item, write_task
from tests.evals.sealed import sealing_key
from tests.smol import APPROVERS, ID, approve, key, quiet, until
from tests.tuning import shapes
from tests.tuning.runs import subject_of

Plant = Callable[[Path, Services], None]


def kind(services: Services, tuning_set: Path) -> TuningJob:
    found = services.jobs.kind("tune")
    assert isinstance(found, TuningJob)
    return TuningJob(replace(found._parts, tuning_set=tuning_set))


def check(tuning: TuningJob, params: dict[str, Any]) -> None:
    tuning.check(tuning.read(json.dumps(params)))


@pytest.fixture
def pretended(tmp_path: Path) -> Path:
    path = tmp_path / "set"
    (path / "torch").mkdir(parents=True)
    (path / "torch" / "version.py").touch()
    return path


def test_without_the_tuning_set_it_says_what_to_carry_in(
    services: Services, task: Path, data: Path, tmp_path: Path
) -> None:
    with pytest.raises(TuningRefused) as refused:
        kind(services, tmp_path / "none").check(TuneWanted(str(task), str(data)))
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
        ({"task": "."}, "tuning_invalid"),
        ({"settings": {"longest": 9_000}}, "tuning_invalid"),  # the base reads 8,192 tokens
        ({"base": "nobody"}, "unknown_model_id"),
    ],
)
def test_parameters_that_cannot_be_meant_are_refused(
    services: Services, task: Path, data: Path, pretended: Path, change: dict[str, Any], code: str
) -> None:
    params = {"task": str(task), "data": str(data), **change}
    if not code:
        return check(kind(services, pretended), params)
    with pytest.raises(Refused) as refused:
        check(kind(services, pretended), params)
    assert refused.value.code == code


def test_an_architecture_that_is_not_trained_is_refused_before_anything_is_stored(
    services: Services, task: Path, data: Path, pretended: Path
) -> None:
    tuning = kind(services, pretended)
    facts = structs.replace(tuning._parts.facts(ID), architecture="gemma3")
    other = TuningJob(replace(tuning._parts, facts=lambda _: facts))
    with pytest.raises(TuningRefused, match=r"'gemma3' .* llama and qwen2 can") as refused:
        other.check(TuneWanted(str(task), str(data)))
    assert refused.value.code == "tuning_architecture"


def add(data: Path, split: str, **change: object) -> None:
    line = json.dumps({**item(7, "more"), **change})
    with (data / f"{split}.jsonl").open("a") as file:
        file.write(f"{line}\n")


def in_test(data: Path, _: Services) -> None:
    add(data, "test")
    add(data, "train", id="copy")


def in_sealed_test(data: Path, services: Services) -> None:
    add(data, "test")
    directory.seal(data, directory.read(data), sealing_key(services))
    add(data, "train", id="copy")


def in_dev(data: Path, _: Services) -> None:
    add(data, "train", group="dev-g0")


def twice(data: Path, _: Services) -> None:
    add(data, "train", id="dev000", group="new")


def taught_dev(data: Path, _: Services) -> None:
    add(data, "dev", teacher="ab" * 32)


def no_dev(data: Path, _: Services) -> None:
    (data / "dev.jsonl").unlink()


def changed_since(data: Path, services: Services) -> None:
    signing.sign_directory(data, key(services.data, "publisher"), quiet)
    add(data, "train")


@pytest.mark.parametrize(
    ("plant", "code"),
    [
        (in_test, "group_in_two_splits"),
        (in_sealed_test, "group_in_two_splits"),
        (changed_since, "file_changed"),
        *(
            pytest.param(plant, code, marks=pytest.mark.slow)  # each is one of the datasets', too
            for plant, code in (
                (in_dev, "group_in_two_splits"),
                (twice, "item_duplicate"),
                (taught_dev, "item_taught"),
                (no_dev, "evaluation_empty"),
            )
        ),
    ],
)
async def test_a_dataset_that_cannot_judge_is_refused_before_the_base_is_read(
    services: Services, task: Path, data: Path, pretended: Path, plant: Plant, code: str
) -> None:
    plant(data, services)
    assert await ended(services, pretended, {"task": str(task), "data": str(data)}) == code


async def test_a_dataset_is_named_by_its_id_once_it_is_approved(
    own: Services, task: Path, data: Path, pretended: Path
) -> None:
    signing.sign_directory(data, key(own.data, "publisher"), quiet)
    own.lifecycle.import_model("uid:0", data, "orders", quiet)
    params = {"task": str(task), "data": "orders"}
    assert await ended(own, pretended, params) == "not_approved"
    assert await ended(own, pretended, {**params, "data": "none"}) == "unknown_model_id"
    approve(own, "orders", *APPROVERS)
    subject = subject_of(own, TuneWanted(str(task), "orders").split("train"))
    assert len(subject.items) == 64 and subject.drafts == ("task",)


async def test_what_does_not_fit_into_the_memory_is_refused(
    services: Services, task: Path, data: Path, pretended: Path
) -> None:
    deep = structs.replace(shapes.facts(), n_layer=100_000)
    params = {"task": str(task), "data": str(data)}
    assert await ended(services, pretended, params, facts=lambda _: deep) == "insufficient_memory"


async def test_of_two_at_once_the_second_waits(
    services: Services, task: Path, data: Path, pretended: Path
) -> None:
    going, begun = threading.Event(), threading.Event()

    def held(_: str) -> NoReturn:
        begun.set()
        going.wait()
        raise TuningRefused("tuning_failed", "Held.")

    tuning = kind(services, pretended)
    parts = replace(tuning._parts, seal=held, facts=lambda _: shapes.facts())
    services.jobs._kinds["tune"] = TuningJob(parts)
    params = {"task": str(task), "data": str(data)}
    first, second = [await services.jobs.start("tune", params, "uid:0") for _ in range(2)]
    assert first.job.id != second.job.id
    await until(begun.is_set)
    assert (await services.jobs.get(second.job.id)).job.state is JobState.QUEUED
    await services.jobs.cancel(second.job.id, "uid:0")
    going.set()
    for live, error in ((second, Unavailable), (first, TuningRefused)):
        with pytest.raises(error):
            await live.outcome()


async def ended(services: Services, pretended: Path, params: dict[str, Any], **parts: Any) -> str:
    tuning = kind(services, pretended)
    known = {"facts": lambda _: shapes.facts(), **parts}  # the file need not be read for these
    services.jobs._kinds["tune"] = TuningJob(replace(tuning._parts, **known))
    before = sorted((services.data / "tuning").rglob("*"))
    live = await services.jobs.start("tune", params, "uid:0")
    with pytest.raises(Refused) as refused:
        await live.outcome()
    assert sorted((services.data / "tuning").rglob("*")) == before
    return refused.value.code


def test_its_memory_is_known_before_a_row_is_read(
    services: Services, task: Path, data: Path, pretended: Path
) -> None:
    tuning = kind(services, pretended)
    params = TuneWanted(str(task), str(data))
    by_task, by_name = tuning.needs(params), tuning.needs(msgspec.structs.replace(params, base=ID))
    assert by_task == by_name > 1 << 30
    larger = tuning.needs(msgspec.structs.replace(params, settings=TuneSettings(tokens=4096)))
    smaller = msgspec.structs.replace(params, settings=TuneSettings(recompute=True))
    assert larger > by_name > tuning.needs(smaller)


def test_a_task_that_a_classifier_answers_needs_a_named_base(
    services: Services, tmp_path: Path, data: Path, pretended: Path
) -> None:
    fitted = write_task(tmp_path / "fitted", FITTED)
    tuning = kind(services, pretended)
    params = TuneWanted(str(fitted), str(data))
    with pytest.raises(TuningRefused) as refused:
        tuning.needs(params)
    assert refused.value.code == "tuning_invalid" and "base" in str(refused.value)
    assert tuning.needs(msgspec.structs.replace(params, base=ID)) > 1 << 30


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
