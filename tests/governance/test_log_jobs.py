"""Verification and export of the log as jobs."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from appliance.app import Services, open_services
from appliance.errors import BadRequest, Unavailable
from appliance.governance.log_jobs import Exporting, VerificationJob
from appliance.jobs.kind import JsonObject, dumps
from appliance.jobs.states import JobState
from appliance.wire.admin.models import Verification as Verdict
from tests.api.admin.lab import LabData, make_lab


@pytest.fixture
def lab(tmp_path: Path) -> LabData:
    return make_lab(tmp_path)


@pytest.fixture
def services(lab: LabData) -> Iterator[Services]:
    with open_services(lab.data) as opened:
        yield opened


async def test_a_verification_is_a_job_with_the_verdict_as_its_result(services: Services) -> None:
    live = await services.jobs.start("verify", {}, "uid:1")
    verdict = Verdict.model_validate((await live.outcome()).document)
    assert (verdict.ok, verdict.entries, verdict.problems) == (True, 2, [])
    assert (live.progress.phase, live.progress.unit) == ("verifying", "entries")
    assert live.job.title == "entries 0 to the newest"


async def test_a_log_that_cannot_be_written_can_still_be_verified(services: Services) -> None:
    services.audit.close()
    live = await services.jobs.start("verify", {"last": 0}, "uid:1")
    assert (await live.outcome()).document["ok"]
    assert (await services.jobs.get(live.job.id)).job.state is JobState.DONE


@pytest.mark.parametrize("form", ["csv", "tiles"])
async def test_an_export_writes_what_the_log_has_and_is_recorded(
    services: Services, tmp_path: Path, form: str
) -> None:
    out = tmp_path / "out"
    live = await services.jobs.start("export", {"format": form, "out": str(out)}, "uid:1")
    result = (await live.outcome()).document
    assert result == {"format": form, "out": str(out), "entries": 2}
    if form == "csv":
        assert len(out.read_text().splitlines()) == 3  # with its head
    (entry,) = (e for e in services.reader.tail(9) if e.kind == "export")
    assert (entry.body["actor"], entry.body["format"]) == ("uid:1", form)
    assert live.progress.done == live.progress.total == 2


@pytest.mark.parametrize("form", ["csv", "tiles"])
async def test_an_export_that_is_cancelled_leaves_nothing(
    services: Services, tmp_path: Path, form: str
) -> None:
    out = tmp_path / "out"
    live = await services.jobs.start("export", {"format": form, "out": str(out)}, "uid:1")
    live.asked = "leave"  # before its first entry
    with pytest.raises(Unavailable):
        await live.outcome()
    assert not out.exists()
    assert not [e for e in services.reader.tail(9) if e.kind == "export"]


async def test_an_export_overwrites_nothing(services: Services, tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.write_text("mine")
    live = await services.jobs.start("export", {"format": "csv", "out": str(out)}, "uid:1")
    with pytest.raises(Exception, match="exists already"):
        await live.outcome()
    assert out.read_text() == "mine"
    assert (await services.jobs.get(live.job.id)).job.code == "data_exists"


@pytest.mark.parametrize(
    ("kind", "params"),
    [
        (VerificationJob, {"first": "x"}),
        (VerificationJob, {"first": 0, "what": 1}),
        (Exporting, {}),
        (Exporting, {"format": "csv"}),
        (Exporting, {"format": "csv", "out": ""}),
    ],
)
def test_parameters_that_cannot_be_meant_are_refused(
    services: Services, kind: type[VerificationJob] | type[Exporting], params: JsonObject
) -> None:
    with pytest.raises(BadRequest) as caught:
        services.jobs.kind(kind.name).read(dumps(params))
    assert caught.value.code == "invalid_value"
