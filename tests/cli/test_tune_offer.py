"""`appliance tune offer`: the best candidate as a task, and no other adapter's."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from appliance.api.admin.app import create_admin_app
from appliance.api.admin.private import serve_in_thread
from appliance.app import open_services
from appliance.client import AdminClient, socket_path
from appliance.config import AuditConfig, Config
from appliance.jobs.kind import Context, JobKind
from appliance.tasks.definition import TaskAnswerer, parse
from appliance.trust.artifacts import signing
from appliance.types import Role
from appliance.wire.admin.results import AdapterTuned
from tests.api.admin.lab import LabData, start_job
from tests.cli.conftest import Run
from tests.cli.test_tune import CANDIDATES
from tests.evals.orders import write_task
from tests.jobs.shop import Nothing
from tests.tasks.example import coefficients
from tests.trust import forge
from tests.tuning.example import tuned


class Trained(JobKind[Nothing, AdapterTuned]):
    name = "tune"
    form = Nothing
    role = Role.OPERATOR

    def __init__(self, result: AdapterTuned) -> None:
        self._result = result

    async def run(self, job: Context[Nothing]) -> AdapterTuned:
        return self._result


@pytest.fixture
def trained(lab: LabData) -> Iterator[Path]:
    """Tuning 1 is done; its adapter is in the store as `tiny`."""
    with open_services(lab.data, config=Config(audit=AuditConfig(ballast_mib=0))) as services:
        adapter = lab.data.parent / "tiny"
        task = write_task(lab.data.parent / "task")
        (task / "classifier.json").write_text(coefficients("electrical"))
        told = tuned(candidates=CANDIDATES, best="blend").having(adapter=str(adapter))
        services.jobs._kinds["tune"] = Trained(told)
        with serve_in_thread(create_admin_app(services), socket_path(lab.data)):
            with AdminClient(socket_path(lab.data)) as client:
                assert start_job(client, "tune", {}).id == 1
                lab.approved(client)
            yield adapter
        socket_path(lab.data).unlink()


def test_the_best_candidate_becomes_a_task(trained: Path, run: Run, tmp_path: Path) -> None:
    digest = run("model", "show", "tiny", "--json").document["digest"]
    before = parse((trained.with_name("task") / "task.toml").read_bytes())
    done = run("tune", "offer", "1", tmp_path / "blend", "--as", "tiny", "--json")
    assert done.status == 0 and "task release" in done.err
    made = parse((tmp_path / "blend" / "task.toml").read_bytes())
    assert made.candidate == TaskAnswerer("blend", "tiny", digest, "classifier.json", 0.45)
    assert (made.prompt, made.version) == (before.prompt, before.version + 1)
    assert run("tune", "offer", "1", tmp_path / "alone", "--kind", "classifier").status == 0
    assert run("task", "check", tmp_path / "alone").status == 0
    assert run("tune", "offer", "1", tmp_path / "m", "--kind", "model", "--as", "tiny").status == 0
    assert sorted(p.name for p in (tmp_path / "m").iterdir()) == ["task.toml"]


def test_another_adapter_is_not_offered(
    trained: Path, run: Run, lab: LabData, tmp_path: Path
) -> None:
    new = tmp_path / "new"
    assert run("tune", "offer", "1", new).status == 2  # which adapter?
    forge.make_artifact(other := tmp_path / "other")
    (other / "more.txt").write_text("another digest")
    signing.sign_directory(other, lab.key("publisher").read_bytes(), forge.quiet)
    run("model", "import", other, "--id", "other")
    assert run("tune", "offer", "1", new, "--as", "other", "--json").code == (1, "tuning_invalid")
    (trained / "model.sig").unlink()
    done = run("tune", "offer", "1", new, "--as", "tiny", "--json")
    assert done.code == (1, "signature_missing") and not new.exists()
    new.mkdir()
    (new / "mine").touch()
    done = run("tune", "offer", "1", new, "--kind", "classifier", "--json")
    assert done.document["code"] == "data_exists" and [p.name for p in new.iterdir()] == ["mine"]
