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
from appliance.jobs.kind import Context, JobKind
from appliance.types import Role
from appliance.wire.admin.base import Verbatim
from appliance.wire.admin.jobs import JOB, JOB_CANCEL, JOB_PAUSE, JOB_RESUME, JOBS, Job
from appliance.wire.admin.results import FORMS
from tests.api.admin.lab import LabData, import_model, start_job
from tests.jobs.shop import Nothing


class Taken(Verbatim):
    done: int


class Steps(JobKind[Nothing, Taken]):
    name: ClassVar[str] = "steps"
    form = Nothing
    unit: ClassVar[str] = "steps"
    resumable: ClassVar[bool] = True

    def __init__(self) -> None:
        self.go = threading.Event()

    async def run(self, job: Context[Nothing]) -> Taken:
        done = (job.checkpoint or {"done": 0})["done"]
        while not self.go.is_set():
            job.report("stepping", done, 100)
            await job.in_thread(job.save, {"done": done + 1})
            done += 1
            await asyncio.sleep(0.001)
        return Taken(done=done)


@pytest.fixture
def steps(services: Services) -> Iterator[Steps]:
    made = Steps()
    services.jobs.add(made)
    yield made
    made.go.set()


def until(client: AdminClient, job_id: int, *states: str) -> Job:
    while (job := client.call(JOB, job_id=job_id)).state not in states:
        time.sleep(0.01)
    return job


def code_of(call: object) -> str:
    with pytest.raises(ApplianceError) as caught:
        call()  # type: ignore[operator]
    return caught.value.code


def test_each_kind_has_a_form_of_its_result(services: Services) -> None:
    assert set(services.jobs._kinds) == set(FORMS)


def test_a_job_from_its_start_to_its_result(client: AdminClient, steps: Steps) -> None:
    assert client.call(JOBS).jobs == []
    job = start_job(client, "steps", {"a": 1})
    assert (job.kind, job.params, job.heavy) == ("steps", {"a": 1}, False)
    while client.call(JOB, job_id=job.id).progress.rate is None:
        time.sleep(0.01)
    seen = client.call(JOB, job_id=job.id)
    assert (seen.state, seen.actions) == ("running", ["pause", "cancel"])
    told = seen.progress
    assert (told.phase, told.total, told.unit) == ("stepping", 100, "steps")
    assert client.call(JOB_PAUSE, job_id=job.id).state in ("pausing", "paused")
    paused = until(client, job.id, "paused")
    assert (paused.actions, paused.code) == (["resume", "cancel"], "job_paused")
    assert "resume" in paused.hint
    steps.go.set()
    client.call(JOB_RESUME, job_id=job.id)
    done = until(client, job.id, "done")
    assert done.told["done"] > 0
    assert (done.actions, done.code, done.hint) == ([], "", "")
    assert done.started and done.ended
    (listed,) = client.call(JOBS).jobs
    assert (listed.id, listed.state, listed.result) == (job.id, "done", None)


def test_a_job_is_cancelled(client: AdminClient, steps: Steps) -> None:
    job = start_job(client, "steps", {})
    client.call(JOB_CANCEL, job_id=job.id)
    assert until(client, job.id, "cancelled").code == "job_cancelled"
    assert code_of(lambda: client.call(JOB_CANCEL, job_id=job.id)) == "job_wrong_state"


def test_what_there_is_not(client: AdminClient) -> None:
    assert code_of(lambda: client.call(JOB, job_id=7)) == "unknown_job_id"
    assert code_of(lambda: client.call(JOB_PAUSE, job_id=7)) == "unknown_job_id"
    assert code_of(lambda: start_job(client, "nothing", {})) == "job_kind_unknown"
    assert code_of(lambda: start_job(client, "import", {})) == "invalid_value"
    assert client.call(JOBS).jobs == []


def test_a_kind_asks_for_its_role(services: Services, client: AdminClient) -> None:
    wanted: list[Role] = []

    def refuse(person: object, needed: Role) -> None:
        wanted.append(needed)
        raise Forbidden("forbidden", "no")

    verify = start_job(client, "verify", {})
    assert demand is not refuse
    with mock.patch("appliance.api.admin.jobs.demand", refuse):
        for kind, params in (("import", {"path": "/x"}), ("verify", {})):
            assert code_of(lambda k=kind, p=params: start_job(client, k, p)) == "forbidden"
        for at in (JOB_PAUSE, JOB_RESUME, JOB_CANCEL):
            assert code_of(lambda at=at: client.call(at, job_id=verify.id)) == "forbidden"
    assert wanted == [Role.ADMIN, *4 * [Role.VIEWER]]
    assert len(client.call(JOBS).jobs) == 1


def test_imports_and_verifications_are_jobs(
    lab: LabData, services: Services, client: AdminClient
) -> None:
    path = lab.artifact("tiny")
    import_model(client, path, "tiny")
    with pytest.raises(Refused):
        import_model(client, path, "tiny")
    jobs = client.call(JOBS).jobs
    assert [(j.kind, j.state, j.code) for j in jobs] == [
        ("import", "failed", "model_id_taken"),
        ("import", "done", ""),
    ]
    assert {j.title for j in jobs} == {str(path)}
    assert jobs[0].actions == ["resume"]


def test_a_detached_export_is_a_job(client: AdminClient, tmp_path: Path) -> None:
    out = tmp_path / "out.csv"
    job = start_job(client, "export", {"format": "csv", "out": str(out)})
    done = until(client, job.id, "done", "failed")
    assert done.result is not None
    assert len(out.read_text().splitlines()) == 1 + done.told["entries"] == 3
