"""From two directories to an adapter that serves: the whole job, and refusals of the proof."""

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest

from appliance.app import Services
from appliance.errors import TuningRefused
from appliance.jobs.kind import Stop
from appliance.trust.artifacts import signing
from appliance.tuning import dev_outcomes
from appliance.tuning import job as jobs
from appliance.tuning.job import TuningJob
from appliance.tuning.messages import TrainingOrder
from appliance.tuning.parameters import TuneWanted
from tests.smol import APPROVERS, ID, approve, key, quiet
from tests.smol import sealed as sealed_model
from tests.tuning.fields import write_fields
from tests.tuning.runs import SETTINGS, tuned

pytestmark = [pytest.mark.tune, pytest.mark.timeout(900)]


def params(task: Path, data: Path, **more: Any) -> dict[str, Any]:
    return {"task": str(task), "data": str(data), "dev": 12, "settings": SETTINGS, **more}


async def test_from_directories_to_an_adapter_that_is_served(
    opened: Services, task: Path, orders: Path
) -> None:
    result = await tuned(opened, params(task, orders))
    path = Path(result["adapter"])
    assert sorted(p.name for p in path.iterdir()) == [
        "adapter.gguf", "adapter.json", "training.json",
    ]  # fmt: skip
    losses = [point["dev"] for point in result["seeds"][0]["losses"]]
    assert len(losses) == 4 and min(losses) < 0.5  # of two tokens at most, one of them the end
    assert result["dev"]["value"] > 0.5
    told = result["checks"]
    assert 0 < told["forgotten"] < 1 < told["texts_untuned"]  # the control of one that forgets
    assert told["token_ids"] and told["stop_token"] == 1.0
    assert told["nll_gap"] <= told["nll_gap_most"] and told["greedy_places"] > 10
    record = json.loads((path / "training.json").read_text())
    model = sealed_model(opened)
    assert record["base"] == {"id": ID, "oms_root": model.digest, "gguf_sha256": model.gguf_sha256}
    model.close()
    data_bytes = (path / "adapter.gguf").read_bytes()
    assert record["adapter_sha256"] == hashlib.sha256(data_bytes).hexdigest()
    assert record["settings"]["rank"] == 8 and record["data"]["train"] == 64
    assert record["joules"] is None or record["joules"] > 0
    kept = dev_outcomes.read(path.parent, record["outcomes_sha256"])
    assert isinstance(kept, dev_outcomes.DevOutcomes) and kept.data == record["data"]["digest"]
    scores = [one.micros / 1e6 for one in kept.outcomes("model", kept.items)]
    assert len(scores) == 12 and set(kept.scores) == {"classifier", "model", "blend"}
    plain = next(one["plain"] for one in record["candidates"] if one["kind"] == "model")
    assert sum(scores) / 12 == pytest.approx(plain)
    signing.sign_directory(path, key(opened.data, "publisher"), quiet)
    adapter = f"{ID}:orders"
    found = opened.lifecycle.import_model("uid:0", path, adapter, quiet)
    assert found.state == "verified", found.message
    approve(opened, adapter, *APPROVERS)
    assert opened.lifecycle.record(adapter).state == "approved"


async def test_one_seed_gives_one_file_also_over_a_crash(
    opened: Services, task: Path, orders: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = await tuned(opened, params(task, orders))
    monkeypatch.setattr(jobs, "Order", _hurried)
    kind = opened.jobs.kind("tune")
    assert isinstance(kind, TuningJob)

    class Job:
        id, actor, resumed, created_us = 771, "uid:0", False, 0
        params: TuneWanted | None = None
        checkpoint = None
        stop_at = 5

        def report(self, phase: str, done: int, total: int) -> None:
            if phase.startswith("training") and done == self.stop_at:
                raise Stop("interrupted", "The server ended.")

        def check(self) -> None: ...

        def save(self, checkpoint: dict[str, Any]) -> None: ...

        async def unless_stopped(self, work: Any) -> Any:
            return await work

        async def in_thread(self, work: Any, *args: Any) -> Any:
            return work(*args)

    job: Any = Job()
    job.params = kind.read(json.dumps(params(task, orders)))
    with pytest.raises(Stop):
        await kind.run(job)
    directory = opened.data / "tuning" / "771"
    assert {p.name for p in directory.iterdir()} == {"seed-0.checkpoint", "seed-0.losses"}
    job.stop_at = -1
    rest = (await kind.run(job)).document
    assert rest["adapter_sha256"] == whole["adapter_sha256"]
    record = json.loads((Path(rest["adapter"]) / "training.json").read_text())
    assert [point["step"] for point in record["seeds"][0]["losses"]] == list(range(1, 17))
    assert len(rest["seeds"][0]["losses"]) == 4  # of the result, those with a loss on dev


def _hurried(**given: Any) -> Any:
    """With a checkpoint after each step."""
    return TrainingOrder(**given, every_s=0)


async def test_an_over_trained_adapter_is_refused_for_what_it_forgot(
    opened: Services, task: Path, orders: Path
) -> None:
    wild = {**SETTINGS, "rate": 0.01, "epochs": 3}  # it passes all other checks
    live = await opened.jobs.start("tune", params(task, orders, settings=wild), "uid:0")
    with pytest.raises(TuningRefused) as refused:
        await live.outcome()
    assert refused.value.code == "tuning_forgets"
    left = {path.suffix for path in (opened.data / "tuning" / str(live.job.id)).iterdir()}
    assert left == {".done", ".losses"}


async def test_fields_learn_their_values_and_stand_beside_the_untuned_model(
    opened: Services, tmp_path: Path, orders: Path
) -> None:
    task = write_fields(tmp_path / "fields", orders)
    result = await tuned(opened, params(task, orders))
    untuned, model = result["candidates"]
    assert (untuned["kind"], model["kind"], result["best"]) == ("untuned", "model", "model")
    assert model["value"] == result["dev"]["value"] > 0.5 and model["against"] == "untuned"
    side, system, whole = result["fields"]
    assert (side["field"], system["field"], side["stated"]) == ("side", "system", 0)
    assert side["value"] == 1 and system["stated"] == 12 and whole["value"] <= system["value"]
    assert result["checks"]["stop_token"] == 1.0
    assert not (Path(result["adapter"]).with_name("task") / "classifier.json").exists()


async def test_seeds_have_a_spread_and_the_best_is_kept(
    opened: Services, task: Path, orders: Path
) -> None:
    few = {**SETTINGS, "epochs": 1}
    result = await tuned(opened, params(task, orders, seeds=2, limit=24, settings=few))
    first, second = result["seeds"]
    assert (first["seed"], second["seed"]) == (0, 1) and first["dev_nats"] != second["dev_nats"]
    assert result["seed"] == min(result["seeds"], key=lambda seed: seed["dev_nats"])["seed"]
    assert result["spread_nats"] == pytest.approx(abs(first["dev_nats"] - second["dev_nats"]))
