"""The appliance tests itself: real policy, real store, real worker, real log."""

import asyncio
import shutil
from pathlib import Path

import pytest

from appliance.app import Services, initialise, open_services
from appliance.errors import AuditUnavailable
from appliance.serving.selftest import Installed
from appliance.workers.memory_estimate import MIB
from tests.several import config, make_models
from tests.smol import ID, SMALL, quiet, until


async def test_it_loads_verifies_generates_records_and_unloads(services: Services) -> None:
    report = await services.selftest.run("uid:0", Installed("2.0", "ab" * 32, "cd" * 32))
    assert report.problems == []
    assert (report.policy, report.models, report.token) == (1, 1, ID)
    assert report.engine.startswith("libggml-cpu-")
    assert not services.lifecycle.is_loaded(ID)
    assert report.entry is not None
    entry = services.reader.entry(report.entry)
    assert (entry.body["action"], entry.body["ok"]) == ("selftest", True)
    assert (entry.body["release"], entry.body["manifest"]) == ("2.0", "ab" * 32)


async def test_a_loaded_model_answers_and_stays(ready: Services) -> None:
    report = await ready.selftest.run("uid:0", Installed())
    assert report.token == ID and report.problems == []
    assert ready.lifecycle.is_loaded(ID)


async def test_it_gets_room_within_the_budget_from_a_model_that_is_idle(
    tmp_path: Path, default_model_path: Path, embedder_path: Path
) -> None:
    data = make_models(tmp_path, {"minilm": embedder_path, "smol": default_model_path})
    with open_services(data, config=config()) as services:
        sizes = [services.pool.model(name).needs for name in ("minilm", "smol")]
    most = max(size.total for size in sizes if size) // MIB + 1
    with open_services(data, config=config(most)) as services:
        await services.pool.load("uid:0", "minilm", quiet)
        report = await services.selftest.run("uid:0", Installed())
        assert (report.problems, report.token) == ([], "smol")
        assert services.pool.model("minilm").unloaded == "uid:0 loads smol"
        assert services.supervisor.budget.taken == 0  # it is unloaded again
        await services.pool.close()


async def test_a_load_that_others_have_begun_is_waited_for_and_stays(services: Services) -> None:
    loading = asyncio.create_task(services.pool.load("uid:7", ID, quiet))
    await until(lambda: services.pool.model(ID).activity == "loading")
    report = await services.selftest.run("uid:0", Installed())
    await loading
    assert (report.problems, report.token) == ([], ID)
    assert services.lifecycle.is_loaded(ID)
    await services.pool.close()
    await services.supervisor.close()


async def test_without_a_model_the_engine_computes_and_says_so(tmp_path: Path) -> None:
    initialise(tmp_path / "data", "lab")
    with open_services(tmp_path / "data", config=SMALL) as services:
        report = await services.selftest.run("uid:0", Installed())
    assert (report.token, report.models, report.problems) == (None, 0, [])
    assert report.engine and report.entry is not None


async def test_a_changed_model_is_a_problem_and_generates_nothing(
    smol_data: Path, tmp_path: Path
) -> None:
    shutil.copytree(smol_data, tmp_path / "data")
    weights = next((tmp_path / "data" / "models").rglob("*.gguf"))
    weights.chmod(0o600)
    with weights.open("r+b") as file:
        file.seek(5_000_000)
        changed = bytes(byte ^ 1 for byte in file.read(8))
        file.seek(5_000_000)
        file.write(changed)
    with open_services(tmp_path / "data", config=SMALL) as services:
        report = await services.selftest.run("uid:0", Installed())
        assert report.entry is not None
        assert services.reader.entry(report.entry).body["ok"] is False
    assert {problem.code for problem in report.problems} == {"file_changed"}
    assert report.token is None


async def test_a_log_that_cannot_be_written_is_no_verdict(
    services: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise AuditUnavailable("audit_unavailable", "full")

    monkeypatch.setattr(services.audit, "append", refuse)
    with pytest.raises(AuditUnavailable):
        await services.selftest.run("uid:0", Installed())
