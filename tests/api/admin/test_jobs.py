"""The jobs over the admin socket."""

import asyncio
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import ClassVar
from unittest import mock

import pytest

from appliance.api.admin.deps import demand
from appliance.app import Services
from appliance.client import AdminClient
from appliance.errors import ApplianceError, Forbidden, Refused
from appliance.jobs.kind import Context, JsonObject, Kind
from appliance.types import Role
from appliance.wire.admin.jobs import Job
from tests.api.admin.lab import LabData, Reports


class Steps(Kind):
    """Takes steps until it is let go."""

    name: ClassVar[str] = "steps"
    unit: ClassVar[str] = "steps"
    resumable: ClassVar[bool] = True

    def __init__(self) -> None:
        self.go = threading.Event()

    async def run(self, job: Context) -> JsonObject:
        done = (job.checkpoint or {"done": 0})["done"]
        while not self.go.is_set():
            job.report("stepping", done, 100)
            await job.in_thread(job.save, {"done": done + 1})
            done += 1
            await asyncio.sleep(0.001)
        return {"done": done}


@pytest.fixture
def steps(services: Services) -> Iterator[Steps]:
    made = Steps()
    services.jobs.add(made)
    yield made
    made.go.set()


def until(client: AdminClient, job_id: int, *states: str) -> Job:
    while (job := client.job(job_id)).state not in states:
        time.sleep(0.01)
    return job


def code_of(call: object) -> str:
    with pytest.raises(ApplianceError) as caught:
        call()  # type: ignore[operator]
    return caught.value.code


def test_a_job_from_its_start_to_its_result(client: AdminClient, steps: Steps) -> None:
    assert client.jobs().jobs == []
    job = client.start_job("steps", {"a": 1})
    assert (job.kind, job.params, job.heavy) == ("steps", {"a": 1}, False)
    while client.job(job.id).progress.rate is None:
        time.sleep(0.01)
    seen = client.job(job.id)
    assert (seen.state, seen.actions) == ("running", ["pause", "cancel"])
    told = seen.progress
    assert (told.phase, told.total, told.unit) == ("stepping", 100, "steps")
    assert client.steer_job(job.id, "pause").state in ("pausing", "paused")
    paused = until(client, job.id, "paused")
    assert (paused.actions, paused.code) == (["resume", "cancel"], "job_paused")
    assert "resume" in paused.hint
    steps.go.set()
    client.steer_job(job.id, "resume")
    done = until(client, job.id, "done")
    assert done.result is not None and done.result["done"] > 0
    assert (done.actions, done.code, done.hint) == ([], "", "")
    assert done.started and done.ended
    (listed,) = client.jobs().jobs
    assert (listed.id, listed.state, listed.result) == (job.id, "done", None)


def test_a_job_is_cancelled(client: AdminClient, steps: Steps) -> None:
    job = client.start_job("steps", {})
    client.steer_job(job.id, "cancel")
    assert until(client, job.id, "cancelled").code == "job_cancelled"
    assert code_of(lambda: client.steer_job(job.id, "cancel")) == "job_wrong_state"


def test_what_there_is_not(client: AdminClient) -> None:
    assert code_of(lambda: client.job(7)) == "unknown_job_id"
    assert code_of(lambda: client.steer_job(7, "pause")) == "unknown_job_id"
    assert code_of(lambda: client.start_job("nothing", {})) == "job_kind_unknown"
    assert code_of(lambda: client.start_job("import", {})) == "invalid_value"
    assert client.jobs().jobs == []


def test_a_kind_asks_for_its_role(services: Services, client: AdminClient) -> None:
    wanted: list[Role] = []

    def refuse(person: object, needed: Role) -> None:
        wanted.append(needed)
        raise Forbidden("forbidden", "no")

    verify = client.start_job("verify", {})
    assert demand is not refuse
    with mock.patch("appliance.api.admin.jobs.demand", refuse):
        for kind, params in (("import", {"path": "/x"}), ("verify", {})):
            assert code_of(lambda k=kind, p=params: client.start_job(k, p)) == "forbidden"
        for action in ("pause", "resume", "cancel"):
            assert code_of(lambda a=action: client.steer_job(verify.id, a)) == "forbidden"
    assert wanted == [Role.ADMIN, *4 * [Role.VIEWER]]
    assert len(client.jobs().jobs) == 1


def test_imports_and_verifications_are_jobs(
    lab: LabData, services: Services, client: AdminClient
) -> None:
    path = lab.artifact("tiny")
    client.import_model(path, "tiny", Reports())
    with pytest.raises(Refused):
        client.import_model(path, "tiny", Reports())
    jobs = client.jobs().jobs
    assert [(j.kind, j.state, j.code) for j in jobs] == [
        ("import", "failed", "model_id_taken"),
        ("import", "done", ""),
    ]
    assert {j.title for j in jobs} == {str(path)}
    assert jobs[0].actions == ["resume"]


def test_a_detached_export_is_a_job(client: AdminClient, tmp_path: Path) -> None:
    out = tmp_path / "out.csv"
    job = client.start_job("export", {"format": "csv", "out": str(out)})
    done = until(client, job.id, "done", "failed")
    assert done.result is not None
    assert len(out.read_text().splitlines()) == 1 + done.result["entries"] == 3
