"""Evaluation as a job, over the real model: the same items for all, resumed to the item."""

import json
from pathlib import Path
from typing import Any

import msgspec
import pytest

from appliance.app import Services, open_services
from appliance.errors import ApplianceError, EvaluationRefused
from appliance.evals import job as jobs
from appliance.evals.asking import Asking
from appliance.evals.job import DIRECTORY, EvaluationJob
from appliance.evals.outcomes import parse
from appliance.evals.packs.items import items
from appliance.evals.parameters import EvaluationWanted
from appliance.evals.store import NEIGHBOURS
from appliance.host import at_rest
from appliance.host.energy import EnergyMeter
from appliance.jobs.kind import Stop
from appliance.looks import answers
from appliance.tasks.classifiers.document import read
from appliance.tasks.classifiers.neighbours import NeighbourModel
from tests.evals.orders import FITTED, TASK, item, write_data, write_task
from tests.several import config, make_models
from tests.smol import ID
from tests.tasks.example import BLEND, FIELDS, coefficients

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest.fixture
def services(shared: Services) -> Services:
    return shared


@pytest.fixture
def ready(shared: Services) -> Services:
    return shared


@pytest.fixture
def task(tmp_path: Path) -> Path:
    return write_task(tmp_path / "task")


@pytest.fixture
def data(tmp_path: Path) -> Path:
    return write_data(tmp_path / "data")


class Job:
    id, actor, resumed, created_us = 77, "uid:0", False, 0

    def __init__(self, params: dict[str, Any], stop_at: int) -> None:
        self.params, self.stop_at = msgspec.convert(params, EvaluationWanted), stop_at
        self.checkpoint: dict[str, Any] | None = None
        self.reports: list[int] = []

    def report(self, phase: str, done: int, total: int) -> None:
        self.reports.append(done)
        if len(self.reports) == self.stop_at:
            raise Stop("job_interrupted", "The server ended.")

    def check(self) -> None: ...

    def save(self, checkpoint: dict[str, Any]) -> None:
        self.checkpoint = checkpoint

    async def unless_stopped(self, work: Any) -> Any:
        return await work

    async def in_thread(self, work: Any, *args: Any) -> Any:
        return work(*args)


async def evaluated(services: Services, **params: Any) -> dict[str, Any]:
    live = await services.jobs.start("evaluation", params, "uid:0")
    return (await live.outcome()).document


async def test_every_candidate_answers_every_item(
    ready: Services, task: Path, data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(EnergyMeter, "joules", lambda self: 1.0)
    params = {"task": str(task), "data": str(data)}
    live = await ready.jobs.start("evaluation", params, "uid:0")
    result = (await live.outcome()).document
    rows = {row["name"]: row for row in result["candidates"]}
    assert list(rows) == [
        "majority", "logistic regression, n=100", "logistic regression", ID,
        f"{ID}, 4 examples", f"{ID}, 8 examples", f"{ID}, without labels",
    ]  # fmt: skip
    assert rows["logistic regression"]["quality"] == 1
    assert rows["majority"]["quality"] == 0.5
    assert 0 <= rows[ID]["quality"] <= 1 and rows[ID]["failures"] == {}
    assert all(row["groups"] == 6 and row["interval"][0] < 1 for row in rows.values())
    assert rows["logistic regression"]["interval"][0] < 0.9  # 12 of 12 is no certainty
    assert rows[ID]["adherence"][0] == 1 >= rows[f"{ID}, without labels"]["adherence"][0]
    assert rows[ID]["memory_bytes"] > 50 << 20 > rows["logistic regression"]["memory_bytes"] > 0
    assert rows[ID]["joules"] == rows["logistic regression"]["joules"] == pytest.approx(1 / 12)
    assert set(rows[ID]["slices"]) == {"north", "south"}
    assert result["baseline"] == "logistic regression" and result["candidate"] == ID
    assert result["drafts"] == ["task", "dataset"]
    assert "no embedding model" in result["notes"][0]
    assert result["digests"]["task"] != result["digests"]["dataset"]
    assert result["digests"][f"model {ID}"] == ready.supervisor.served()[0].digest
    directory = ready.data / DIRECTORY / str(live.job.id)
    page = at_rest.read(directory / "report.html").decode()
    assert result["answer"].split(":")[0] in page and "logistic regression, n=100" in page
    assert "no embedding model" in page and "Speed and memory" in page
    assert json.loads(at_rest.read(directory / "result.json")) == result
    unheld = [*map(parse, at_rest.read_lines(directory / "006.jsonl"))]
    assert all(line.tokens >= 1 for line in unheld)


async def test_fields_are_measured_with_and_without_their_schema(
    ready: Services, tmp_path: Path
) -> None:
    source = TASK.split("[output]")[0] + "[output]" + FIELDS.split("[output]")[1]
    schema = {
        "type": "object", "required": ["part", "side"], "additionalProperties": False,
        "properties": {"part": {"enum": ["hose", "pump"]}, "side": {"enum": ["left", None]}},
    }  # fmt: skip
    task = write_task(tmp_path / "task", source, schema_json=json.dumps(schema))
    data = write_data(tmp_path / "data", train=12, dev=4)
    for split in ("train", "dev"):
        rows = [json.loads(line) for line in (data / f"{split}.jsonl").read_text().splitlines()]
        for number, row in enumerate(rows):
            row["expected"] = {"part": ("hose", "pump")[number % 2], "side": None}
        (data / f"{split}.jsonl").write_text("\n".join(map(json.dumps, rows)) + "\n")
    result = await evaluated(ready, task=str(task), data=str(data))
    found = {row["name"]: row for row in result["candidates"]}
    assert found["logistic regression"]["fields"]["side"][0] == 1
    assert found[ID]["adherence"][0] == 1
    assert found[f"{ID}, without schema"]["adherence"][0] <= 1
    assert set(found[ID]["fields"]) == {"part", "side"} and found[ID]["macro_f1"] is None


async def test_packs_are_measured_with_the_model_alone(
    ready: Services, task: Path, data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(jobs, "pack_items", lambda pack: items(pack)[:2])
    result = await evaluated(
        ready, task=str(task), data=str(data), baselines=False, packs=True, limit=1
    )
    packs = result["packs"][ID]
    assert packs["general"]["items"] == packs["refusals"]["items"] == 2
    assert packs["frozen"]["en"]["tokens"] > 100 and packs["frozen"]["en"]["failed"] == 0
    assert 1 < packs["frozen"]["en"]["nats_per_token"] < 8


async def test_answers_are_recorded_like_those_of_apps(
    ready: Services, task: Path, data: Path
) -> None:
    first = ready.reader.size
    params = {"task": str(task), "data": str(data), "baselines": False, "limit": 3}
    live = await ready.jobs.start("evaluation", params, "uid:0")
    await live.outcome()
    entries = [entry.body for entry in ready.reader.tail(20) if entry.seq >= first]
    told = [body for body in entries if body.get("key_id") == "evaluation"]
    assert sorted(str(body["kind"]) for body in told) == ["intent"] * 3 + ["outcome"] * 3
    lines = [
        parse(line)
        for path in (ready.data / DIRECTORY / str(live.job.id)).glob("*.jsonl")
        for line in at_rest.read_lines(path)
    ]
    assert len({line.item for line in lines} & {f"dev{n:03}" for n in range(12)}) == 3
    assert all(line.answer in ("hydraulics", "engine") and line.confidence_micros for line in lines)


async def test_an_interrupted_evaluation_resumes_at_the_item(
    ready: Services, task: Path, data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(answers, "BATCH", 4)
    kind = ready.jobs.kind("evaluation")
    assert isinstance(kind, EvaluationJob)
    asked: list[str] = []
    real = Asking.outcome

    async def counted(self: Asking, one: Any) -> Any:
        asked.append(one.id)
        return await real(self, one)

    monkeypatch.setattr(Asking, "outcome", counted)

    job: Any = Job({"task": str(task), "data": str(data), "baselines": False}, stop_at=2)
    with pytest.raises(Stop):
        await kind.run(job)
    assert len(asked) == 4
    kept = ready.data / DIRECTORY / "77" / "000.jsonl"
    kept.write_bytes(kept.read_bytes() + b'{"item": "dev')  # a crash cut this line short
    job.stop_at = -1
    result = (await kind.run(job)).document
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
        ({"models": ["nosuch"]}, "model_not_found"),
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
    with pytest.raises(EvaluationRefused) as caught:
        await evaluated(services, task=str(task), data=str(data))
    assert caught.value.code == "example_not_train"


@pytest.mark.parametrize("baselines", [True, False])
async def test_a_model_that_is_not_approved_ends_the_job_before_anything_is_measured(
    services: Services, tmp_path: Path, data: Path, baselines: bool
) -> None:
    task = write_task(tmp_path / "other", TASK.replace('"smol"', '"other"'))
    live = await services.jobs.start(
        "evaluation", {"task": str(task), "data": str(data), "baselines": baselines}, "uid:0"
    )
    with pytest.raises(ApplianceError) as caught:
        await live.outcome()
    assert caught.value.code == "model_not_found"
    assert not (services.data / DIRECTORY / str(live.job.id)).exists()


async def test_an_evaluation_that_resumes_on_another_dataset_is_refused(
    ready: Services, task: Path, data: Path
) -> None:
    kind = ready.jobs.kind("evaluation")
    params = {"task": str(task), "data": str(data), "baselines": False, "limit": 1}
    job: Any = Job(params, stop_at=1)
    with pytest.raises(Stop):
        await kind.run(job)
    with (data / "train.jsonl").open("a") as file:
        file.write(json.dumps(item(500, "train")) + "\n")
    job.stop_at = -1
    with pytest.raises(EvaluationRefused) as caught:
        await kind.run(job)
    assert caught.value.code == "evaluation_changed"


async def test_nearest_neighbours_by_a_real_embedding_model(
    tmp_path: Path, data: Path, embedder_path: Path
) -> None:
    task = write_task(tmp_path / "task", FITTED, classifier_json=coefficients("electrical"))
    home = make_models(tmp_path / "home", {"minilm": embedder_path})
    with open_services(home, config=config()) as services:
        try:
            result = await evaluated(services, task=str(task), data=str(data))
        finally:
            await services.pool.close()
            await services.supervisor.close()
    (row,) = [row for row in result["candidates"] if row["kind"] == "neighbours"]
    assert row["name"] == "nearest neighbours, minilm" and row["model"] == "minilm"
    assert row["quality"] == 1 and row["failures"] == {}
    assert row["memory_bytes"] > 20 << 20
    assert result["notes"] == []
    compared = {found["candidate"]: found["difference"] for found in result["comparisons"]}
    assert list(compared) == [row["name"], "the task's classifier"]
    assert compared[row["name"]] == 0
    (own,) = [row for row in result["candidates"] if row["kind"] == "own"]
    assert 0.5 < own["quality"] < 1 and own["tokens"] == 0 and result["candidate"] == own["name"]
    assert own["calibration_error"] is not None
    (kept,) = (home / DIRECTORY).glob(f"*/{NEIGHBOURS}")
    learned = read(at_rest.read(kept))
    assert isinstance(learned, NeighbourModel) and len(learned.vectors) == 120
    assert learned.embedder == result["digests"]["model minilm"]


async def test_a_tasks_own_blend_is_measured_as_it_is_served(
    ready: Services, data: Path, tmp_path: Path
) -> None:
    text = BLEND.replace(', "electrical"', "").replace("smollm2-135m", ID)
    task = write_task(tmp_path / "task", text, classifier_json=coefficients("electrical"))
    result = await evaluated(ready, task=str(task), data=str(data), baselines=False)
    own, alone = result["candidates"]
    assert (own["name"], own["kind"], own["model"]) == ("the task's blend", "own", ID)
    assert (alone["name"], alone["kind"]) == (ID, "model")
    assert own["quality"] >= alone["quality"] and own["failures"] == {}
    assert result["candidate"] == own["name"]
