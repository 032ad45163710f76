"""Imports as jobs: paused, resumed and killed in the middle, nothing is copied twice."""

import json
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from appliance.app import Services, open_services
from appliance.errors import ApplianceError, BadRequest, Unavailable
from appliance.jobs.kind import Context, JsonObject, Stop
from appliance.jobs.states import JobState
from appliance.registry.import_job import Importing
from appliance.trust.artifacts import signing
from appliance.trust.bytes.sealed import BLOCK
from appliance.wire.admin.models import ModelImport
from appliance.wire.admin.results import ArtifactImported
from tests.api.admin.lab import LabData, make_lab
from tests.trust import forge

LARGE = 5 * BLOCK
Stops = Callable[[str, int], bool]


@pytest.fixture
def lab(tmp_path: Path) -> LabData:
    return make_lab(tmp_path)


@pytest.fixture
def services(lab: LabData) -> Iterator[Services]:
    with open_services(lab.data) as opened:
        yield opened


def large(lab: LabData, name: str = "big") -> Path:
    path = lab.data.parent / name
    forge.make_artifact(path)
    (path / "large.bin").write_bytes(bytes(LARGE))
    signing.sign_directory(path, lab.key("publisher").read_bytes(), forge.quiet)
    return path


def context(
    services: Services, params: JsonObject, stops: Stops = lambda phase, done: False, **more: bool
) -> Context:
    newest = [("", 0)]

    def report(phase: str, done: int, total: int) -> None:
        newest[0] = (phase, done)

    def check() -> None:
        if stops(*newest[0]):
            raise Stop("job_paused", "Job 1 was paused.")

    made = services.clock.wall_us() if not more else 0
    return Context(
        1,
        "uid:1",
        ModelImport.of(**params),
        None,
        more.get("resumed", False),
        made,
        report,
        check,
        lambda _: None,
    )


async def test_an_import_says_what_came_of_it(lab: LabData, services: Services) -> None:
    path = large(lab)
    result = await Importing(services.lifecycle).run(context(services, {"path": str(path)}))
    assert (result.id, result.state, result.code) == ("big", "verified", None)
    assert {f.name for f in result.files} >= {"large.bin", "model.sig", "tiny.gguf"}


@pytest.mark.parametrize(
    "params", [{}, {"path": 3}, {"path": "/x", "id": 4}, {"path": "/x", "y": 1}]
)
def test_parameters_that_cannot_be_meant_are_refused(
    services: Services, params: JsonObject
) -> None:
    with pytest.raises(BadRequest) as caught:
        Importing(services.lifecycle).read(json.dumps(params))
    assert caught.value.code == "invalid_value"


def test_the_same_artifact_under_the_same_id_is_the_same_job(services: Services) -> None:
    kind = Importing(services.lifecycle)
    assert kind.key(ModelImport(path="/a/b")) == kind.key(ModelImport(path="/a/b", id="b"))
    assert kind.key(ModelImport(path="/a/b")) != kind.key(ModelImport(path="/a/b", id="c"))
    assert kind.key(ModelImport(path="/a/b")) != kind.key(ModelImport(path="/c/b"))
    assert kind.title(ModelImport(path="/a/b")) == "/a/b"


async def test_an_import_that_stops_in_its_copy_continues_there(
    lab: LabData, services: Services
) -> None:
    path, kind = large(lab), Importing(services.lifecycle)
    with pytest.raises(Stop):
        await kind.run(context(services, {"path": str(path)}, lambda p, d: d >= 2 * BLOCK))
    assert services.lifecycle.records() == []
    result = await kind.run(context(services, {"path": str(path)}, resumed=True))
    assert result.state == "verified"
    (file,) = (f for f in result.files if f.name == "large.bin")
    assert 0 < file.copied < LARGE  # the positive control: all of it the first time
    assert file.size == LARGE


async def test_an_import_that_stops_in_its_checks_makes_them_again(
    lab: LabData, services: Services
) -> None:
    path, kind = large(lab), Importing(services.lifecycle)
    with pytest.raises(Stop):
        await kind.run(context(services, {"path": str(path)}, lambda p, d: p == "hashing"))
    assert [r.state for r in services.lifecycle.records()] == ["vetted"]
    result = await kind.run(context(services, {"path": str(path)}, resumed=True))
    assert (result.state, result.files) == ("verified", [])


async def test_an_import_that_was_finished_meanwhile_is_done(
    lab: LabData, services: Services
) -> None:
    path, kind = large(lab), Importing(services.lifecycle)
    with pytest.raises(Stop):
        await kind.run(context(services, {"path": str(path)}, lambda p, d: p == "hashing"))
    services.lifecycle.recover()  # as the opening of the data directory does
    result = await kind.run(context(services, {"path": str(path)}, resumed=True))
    assert result.state == "verified"


async def test_a_model_that_was_there_before_is_not_taken_for_the_work_of_the_job(
    lab: LabData, services: Services
) -> None:
    path, kind = large(lab), Importing(services.lifecycle)
    await kind.run(context(services, {"path": str(path)}))
    later = context(services, {"path": str(path)})
    later.resumed = True
    with pytest.raises(ApplianceError) as caught:
        await kind.run(later)
    assert caught.value.code == "model_id_taken"


async def test_an_import_whose_caller_went_away_is_resumed(
    lab: LabData, services: Services
) -> None:
    path, jobs = large(lab), services.jobs
    live = await jobs.start("import", {"path": str(path)}, "uid:1")
    with jobs.watching(live):
        pass
    with pytest.raises(Unavailable):
        await live.outcome()
    await jobs.resume(live.job.id, "uid:1")
    again = jobs.live(live.job.id)
    assert again is not None
    assert (await again.outcome()).document["state"] == "verified"


_KILLED = """# forked
import asyncio, sys, threading
from pathlib import Path
from appliance.app import open_services
from appliance.jobs.live import Live
from appliance.trust.bytes.sealed import BLOCK

plain = Live.report

def report(self, phase, done, total):
    plain(self, phase, done, total)
    if done >= 2 * BLOCK:
        print("ready", flush=True)
        threading.Event().wait()

Live.report = report

async def main(data, path):
    with open_services(data) as services:
        await services.jobs.serve()
        live = await services.jobs.start("import", {"path": path}, "uid:1")
        await live.outcome()

asyncio.run(main(Path(sys.argv[1]), sys.argv[2]))
"""


async def test_after_a_kill_the_next_server_imports_the_rest(lab: LabData) -> None:
    path = large(lab)
    arguments = [sys.executable, "-c", _KILLED, str(lab.data), str(path)]
    with subprocess.Popen(arguments, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        process.send_signal(signal.SIGKILL)
    with open_services(lab.data) as services:
        (shown,) = await services.jobs.newest()
        assert (shown.job.state, shown.job.progress.phase) == (JobState.QUEUED, "")
        await services.jobs.serve()
        live = services.jobs.live(shown.job.id)
        assert live is not None
        result = ArtifactImported.model_validate(await live.outcome())
        assert result.state == "verified"
        (file,) = (f for f in result.files if f.name == "large.bin")
        assert 0 < file.copied < LARGE
