"""`appliance job …`, with a server and without one."""

import contextlib
import hashlib
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from appliance.api.admin.app import create_admin_app
from appliance.api.admin.private import serve_in_thread
from appliance.app import Services, open_services
from appliance.cli.job import result_of
from appliance.cli.output import Output
from appliance.client import socket_path
from appliance.wire.admin.jobs import Job
from appliance.wire.admin.results import ModelLoaded
from tests.api.admin.lab import LabData, start_job
from tests.api.admin.test_jobs import Steps
from tests.cli.conftest import Run


@pytest.fixture
def steps() -> Iterator[Steps]:
    made = Steps()
    yield made
    made.go.set()


@contextlib.contextmanager
def serving(lab: LabData, steps: Steps) -> Iterator[Services]:
    """The admin socket of a server that has nothing else."""
    with open_services(lab.data) as services:
        services.jobs.add(steps)
        with serve_in_thread(create_admin_app(services), socket_path(lab.data)):
            yield services
            steps.go.set()
        socket_path(lab.data).unlink()


def start(run: Run, lab: LabData) -> str:
    """`steps` has no command, so the client starts the job."""
    from appliance.client import AdminClient

    with AdminClient(socket_path(lab.data)) as client:
        return str(start_job(client, "steps", {}).id)


def until(run: Run, job: str, state: str) -> None:
    while run("job", "show", job, "--json").document["state"] != state:
        time.sleep(0.01)


def test_a_job_is_listed_paused_resumed_watched(lab: LabData, run: Run, steps: Steps) -> None:
    with serving(lab, steps):
        assert run("job", "list").out.startswith("No jobs. Start one")
        job = start(run, lab)
        assert run("job", "pause", job).status == 0
        until(run, job, "paused")
        shown = run("job", "show", job)
        assert f"job {job} [~] paused steps: " in shown.out
        assert "job_paused: Job 1 was paused." in shown.out
        assert "allows: resume, cancel" in shown.out
        watched = run("job", "watch", job)  # it does not wait for a person
        assert watched.status == 1
        assert run("job", "resume", job, "--json").document["state"] in ("queued", "running")
        threading.Timer(0.3, steps.go.set).start()
        watched = run("job", "watch", job, "--json")
        assert (watched.status, watched.document["state"]) == (0, "done")
        assert "stepping" in watched.err
        (row,) = run("job", "list", "--json").document["jobs"]
        assert (row["id"], row["kind"], row["state"]) == (1, "steps", "done")
        assert "[-] done" in run("job", "list").out


def test_a_job_is_cancelled_once(lab: LabData, run: Run, steps: Steps) -> None:
    with serving(lab, steps):
        job = start(run, lab)
        assert run("job", "cancel", job).status == 0
        until(run, job, "cancelled")
        result = run("job", "result", job, "--out", lab.data / "none.json", "--json")
        assert result.code == (1, "job_wrong_state") and not (lab.data / "none.json").exists()
        again = run("job", "cancel", job, "--json")
        assert again.code == (1, "job_wrong_state")
        assert again.document["hint"]


def test_an_import_and_an_export_are_left_to_the_server(
    lab: LabData, run: Run, steps: Steps, tmp_path: Path
) -> None:
    out = tmp_path / "log.csv"
    with serving(lab, steps):
        imported = run("model", "import", lab.artifact("tiny"), "--detach", "--json").document
        exported = run("audit", "export", "--format", "csv", "--out", out, "--detach").out
        assert (imported["kind"], imported["params"]["id"]) == ("import", None)
        assert exported.startswith("job 2 ")
        assert run("job", "watch", "1").status == run("job", "watch", "2").status == 0
        (model,) = run("model", "list", "--json").document["models"]
        assert (model["id"], model["state"]) == ("tiny", "verified")
    assert out.read_text()


def test_without_a_server_jobs_are_looked_at_and_cancelled_but_not_run(
    lab: LabData, run: Run, steps: Steps
) -> None:
    with serving(lab, steps):
        job = start(run, lab)
        run("job", "pause", job)
        until(run, job, "paused")
    assert run("job", "list", "--json").document["jobs"][0]["state"] == "paused"
    for command in ("resume", "watch"):
        assert run("job", command, job, "--json").code == (3, "server_required")
    assert run("model", "import", "/x", "--detach", "--json").code == (3, "server_required")
    # Its kind is not known to this process, so nobody but this version's own may steer it.
    assert run("job", "cancel", job, "--json").code == (1, "job_kind_unknown")


def test_an_id_that_cannot_be_is_wrong_usage_and_one_that_is_not_there_is_refused(
    run: Run,
) -> None:
    for command in ("show", "pause", "cancel"):
        assert run("job", command, "7", "--json").code == (1, "unknown_job_id")
        assert run("job", command, "x", "--json").status == 2
        assert run("job", command, "0", "--json").status == 2


def test_an_import_without_a_server_is_a_job_too(lab: LabData, run: Run) -> None:
    assert run("model", "import", lab.artifact("tiny")).status == 0
    (job,) = run("job", "list", "--json").document["jobs"]
    assert (job["kind"], job["state"]) == ("import", "done")


def test_the_log_names_the_result_that_is_written(lab: LabData, run: Run, tmp_path: Path) -> None:
    assert run("model", "import", lab.artifact("tiny")).status == 0
    file = tmp_path / "job-1.json"
    written = run("job", "result", "1", "--out", file, "--json").document
    assert written["result_sha256"] == hashlib.sha256(file.read_bytes()).hexdigest()
    (entry,) = run("audit", "search", "--kind", "job_end", "--json").document["entries"]
    assert entry["body"]["result_sha256"] == written["result_sha256"]


def test_a_job_without_a_result_is_told_with_its_reason_and_the_command_fails(
    capsys: pytest.CaptureFixture[str],
) -> None:
    done = Job.model_validate({"id": 4, "kind": "load", "title": "t", "state": "done", "actor": "a",
                               "created": "", "result": {"model": "m", "seconds": 1}})  # fmt: skip
    assert result_of(Output(), done, ModelLoaded).model == "m"
    why = {"code": "tuning_invalid", "message": "It agrees too seldom.", "hint": "Take another."}
    failed = done.model_copy(update={"state": "failed", "result": None, **why})
    with pytest.raises(click.exceptions.Exit) as caught:
        result_of(Output(), failed, ModelLoaded)
    assert caught.value.exit_code == 1
    said = capsys.readouterr().out.splitlines()
    assert said == ["job 4: failed tuning_invalid", "It agrees too seldom.", "Take another."]
