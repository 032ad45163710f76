"""Evaluation as a job, over the real model: the same items for all, resumed to the item."""

import json
from pathlib import Path
from typing import Any

import pytest

from appliance.app import Services
from appliance.errors import ApplianceError, EvaluationRefused
from appliance.evals import job as jobs
from appliance.evals.asking import Asking
from appliance.evals.job import DIRECTORY, Evaluation
from appliance.evals.outcomes import parse
from appliance.jobs.kind import Stop
from tests.evals.orders import item, write_data, write_task
from tests.smol import ID


@pytest.fixture
def task(tmp_path: Path) -> Path:
    return write_task(tmp_path / "task")


@pytest.fixture
def data(tmp_path: Path) -> Path:
    return write_data(tmp_path / "data")


async def evaluated(services: Services, **params: Any) -> dict[str, Any]:
    live = await services.jobs.start("evaluation", params, "uid:0")
    return await live.outcome()


async def test_every_candidate_answers_every_item(ready: Services, task: Path, data: Path) -> None:
    live = await ready.jobs.start("evaluation", {"task": str(task), "data": str(data)}, "uid:0")
    result = await live.outcome()
    rows = {row["name"]: row for row in result["candidates"]}
    assert list(rows) == ["majority", "logistic regression, n=100", "logistic regression", ID]
    assert rows["logistic regression"]["quality"] == 1
    assert rows["majority"]["quality"] == 0.5
    assert 0 <= rows[ID]["quality"] <= 1 and rows[ID]["failures"] == {}
    assert all(row["groups"] == 6 and row["interval"][0] < 1 for row in rows.values())
    assert rows["logistic regression"]["interval"][0] < 0.9  # 12 of 12 is no certainty
    assert result["baseline"] == "logistic regression"
    assert result["digests"]["task"] != result["digests"]["dataset"]
    assert result["digests"][f"model {ID}"] == ready.supervisor.served()[0].digest
    page = (ready.data / DIRECTORY / str(live.job.id) / "report.html").read_text()
    assert result["answer"].split(":")[0] in page and "logistic regression, n=100" in page


async def test_answers_are_recorded_like_those_of_apps(
    ready: Services, task: Path, data: Path
) -> None:
    first = ready.reader.size
    await evaluated(ready, task=str(task), data=str(data), baselines=False, limit=3)
    entries = [entry.body for entry in ready.reader.tail(20) if entry.seq >= first]
    told = [body for body in entries if body.get("key_id") == "evaluation"]
    assert sorted(str(body["kind"]) for body in told) == ["intent"] * 3 + ["outcome"] * 3
    lines = [
        parse(line)
        for path in (ready.data / DIRECTORY).rglob("000.jsonl")
        for line in path.read_bytes().splitlines()
    ]
    assert {line.item for line in lines} <= {f"dev{n:03}" for n in range(12)}
    assert all(line.answer in ("hydraulics", "engine") and line.confidence_micros for line in lines)


async def test_an_interrupted_evaluation_resumes_at_the_item(
    ready: Services, task: Path, data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(jobs, "_BATCH", 4)
    kind = ready.jobs.kind("evaluation")
    assert isinstance(kind, Evaluation)
    reports: list[int] = []
    asked: list[str] = []
    real = Asking.outcome

    async def counted(self: Asking, one: Any) -> Any:
        asked.append(one.id)
        return await real(self, one)

    monkeypatch.setattr(Asking, "outcome", counted)

    class Job:
        id, actor, resumed, created_us = 77, "uid:0", False, 0
        params = {"task": str(task), "data": str(data), "baselines": False}  # noqa: RUF012
        checkpoint: dict[str, Any] | None = None
        stop_at = 2

        def report(self, phase: str, done: int, total: int) -> None:
            reports.append(done)
            if len(reports) == self.stop_at:
                raise Stop("job_interrupted", "The server ended.")

        def check(self) -> None: ...

        def save(self, checkpoint: dict[str, Any]) -> None:
            self.checkpoint = checkpoint

        async def in_thread(self, work: Any, *args: Any) -> Any:
            return work(*args)

    job: Any = Job()
    with pytest.raises(Stop):
        await kind.run(job)
    assert len(asked) == 4
    kept = ready.data / DIRECTORY / "77" / "000.jsonl"
    kept.write_bytes(kept.read_bytes() + b'{"item": "dev')  # a crash cut this line short
    job.stop_at = -1
    result = await kind.run(job)
    assert len(asked) == 12 and len(set(asked)) == 12
    assert result["candidates"][0]["name"] == ID
    (told,) = [row["outcomes"] for row in result["candidates"]]
    assert len(kept.read_bytes().splitlines()) == 12 and len(told) == 64


async def test_a_failure_of_the_candidate_is_an_outcome(
    ready: Services, tmp_path: Path, data: Path
) -> None:
    long = json.dumps(item(0, "dev", input={"text": "word " * 90}))
    (data / "dev.jsonl").write_text(f"{long}\n{json.dumps(item(1, 'dev'))}\n")
    big = write_task(tmp_path / "big")
    text = (big / "task.toml").read_text()
    (big / "task.toml").write_text(text.replace('user = "', 'user = "' + "x " * 600))
    result = await evaluated(ready, task=str(big), data=str(data), baselines=False)
    (row,) = result["candidates"]
    assert row["failures"] == {"context_length_exceeded": 2}
    assert row["quality"] == 0


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"split": "test"}, "evaluation_invalid"),
        ({"split": "certify"}, "evaluation_invalid"),
        ({"task": "/nowhere"}, "evaluation_invalid"),
        ({"models": "smol"}, "evaluation_invalid"),
        ({"surprise": 1}, "evaluation_invalid"),
    ],
)
async def test_parameters_that_cannot_be_meant_start_no_job(
    services: Services, task: Path, data: Path, change: dict[str, Any], code: str
) -> None:
    before = await services.jobs.newest(1)
    with pytest.raises(ApplianceError) as caught:
        await evaluated(services, **{"task": str(task), "data": str(data), **change})
    assert caught.value.code == code
    assert await services.jobs.newest(1) == before


@pytest.mark.parametrize(
    ("line", "code"),
    [
        (item(1, "dev", expected="wings"), "item_unfit"),
        (item(1, "dev", input={"words": "x"}), "item_unfit"),
    ],
)
async def test_items_that_do_not_fit_the_task_end_the_job(
    services: Services, task: Path, data: Path, line: dict[str, Any], code: str
) -> None:
    (data / "dev.jsonl").write_text(json.dumps(line) + "\n")
    with pytest.raises(EvaluationRefused) as caught:
        await evaluated(services, task=str(task), data=str(data))
    assert caught.value.code == code


async def test_an_example_must_be_an_item_of_train(
    services: Services, tmp_path: Path, data: Path
) -> None:
    text = write_task(tmp_path / "plain").joinpath("task.toml").read_text()
    shown = text.replace("[output]", 'examples = "examples.jsonl"\n[output]', 1)
    lines = json.dumps(item(0, "dev"))
    task = write_task(tmp_path / "shown", shown, examples_jsonl=lines)
    with pytest.raises(EvaluationRefused, match="no item of the split train"):
        await evaluated(services, task=str(task), data=str(data))
