"""`appliance tune list|show|compare|report`: tunings and their results."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from appliance.api.admin.app import create_admin_app
from appliance.api.admin.private import serve_in_thread
from appliance.app import open_services
from appliance.cli.job import watched
from appliance.cli.tune_runs import losses
from appliance.client import AdminClient, socket_path
from appliance.config import AuditConfig, Config
from appliance.tuning import losses as kept
from appliance.tuning import record
from appliance.tuning.exporting import ADAPTER, DIRECTORY
from appliance.tuning.losses import LossAt
from appliance.wire.admin.jobs import JOB
from appliance.wire.admin.tunings import CompareTunings, Losses, LossRun
from tests.api.admin.lab import LabData, start_job
from tests.api.admin.test_tunings import Trained
from tests.cli.conftest import Run
from tests.evals.orders import write_data, write_task
from tests.guide_blocks import typed
from tests.tui.scripted import side_by_side
from tests.tuning import example


@pytest.fixture
def tuned(lab: LabData) -> Iterator[Path]:
    """A server with a plan (1) and two tunings (2 and 3) that are done; the directory of them."""
    settings = {**example.result()["settings"], "rank": 32}
    with open_services(lab.data, config=Config(audit=AuditConfig(ballast_mib=0))) as services:
        services.jobs._kinds["tune"] = Trained()
        with serve_in_thread(create_admin_app(services), socket_path(lab.data)):
            with AdminClient(socket_path(lab.data)) as client:
                for params in (
                    {"plan": True},
                    {"result": {"seconds": 10.5}},
                    {"result": {"settings": settings}},
                ):
                    watched(client, start_job(client, "tune", params).id)
            yield lab.data / DIRECTORY
        socket_path(lab.data).unlink()


def test_tunings_are_listed_shown_and_compared(tuned: Path, run: Run) -> None:
    listed = run("tune", "list")
    assert listed.out.count("train") == 2 and listed.out.count("plan") == 1
    assert [job["id"] for job in run("tune", "list", "--json").document["tunings"]] == [3, 2, 1]
    shown = run("tune", "show", "2")
    assert shown.out.startswith("The blend reaches 86 %")
    assert "appliance tune report 2 --out" in shown.err
    found = run("tune", "compare", "2", "3")
    assert "rank" in found.out and "0.793 to 0.885" in found.out and "10 s" in found.out
    assert "licences from notices" in found.out
    assert "3 minus 2: not comparable: tuning 3 kept no outcomes" in found.out
    document = run("tune", "compare", "3", "2", "--json").document
    assert document["differing"] == [{"name": "rank", "values": ["32", "16"]}]
    assert run("tune", "compare", "2").status == 2
    assert run("tune", "compare", "2", "1", "--json").code == (1, "report_missing")


def test_differences_are_printed_in_pairs(tuned: Path, run: Run, tmp_path: Path) -> None:
    def kept_by(_self: AdminClient, _at: object, wanted: CompareTunings, *_: object) -> object:
        return side_by_side(*wanted.tunings)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(AdminClient, "answer", kept_by)
        found = run("tune", "compare", "2", "3").out
        assert "3 minus 2, paired on 335 items of dev in 237 groups; 12 left out" in found
        (row,) = [line for line in found.splitlines() if line.startswith("tuned model")]
        assert row.split()[2:] == ["-2.0", "-5.1", "to", "+1.2", "0.21", "14", "against", "21"]
    for number in (2, 3):
        adapter = tuned / str(number) / ADAPTER
        adapter.mkdir(parents=True)
        (adapter / record.FILE).write_bytes(record.document(example.kept()))
    page = tmp_path / "page.html"
    assert run("tune", "report", "3", "--against", "2", "--out", page).status == 0
    assert "Not comparable: tuning 3 kept no outcomes" in page.read_text()


def test_the_page_of_the_newest_or_of_a_named_one_is_written(
    tuned: Path, run: Run, tmp_path: Path
) -> None:
    page = tmp_path / "page.html"
    assert run("tune", "report", "--out", page, "--json").code == (1, "report_missing")
    assert not page.exists()
    for number in (2, 3):
        adapter = tuned / str(number) / ADAPTER
        adapter.mkdir(parents=True)
        (adapter / record.FILE).write_bytes(record.document(example.kept()))
    assert run("tune", "report", "--out", page).status == 0 and "Tuning 3" in page.read_text()
    assert run("tune", "report", "2", "--out", page).status == 0 and "Tuning 2" in page.read_text()
    assert run("tune", "report", "9", "--out", page, "--json").code == (1, "unknown_job_id")


def test_the_blocks_of_the_guide_on_tunings_that_are_done(
    tuned: Path, run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    write_task(tmp_path / "TASK_DIR")
    write_data(tmp_path / "DATASET_DIR")
    for number in (2, 3):
        adapter = tuned / str(number) / ADAPTER
        adapter.mkdir(parents=True)
        (adapter / record.FILE).write_bytes(record.document(example.kept()))
    numbers = {"5": "2", "7": "3"}
    plan, _, show = typed("tuning-guide", "appliance tune plan", numbers)
    report, compare, against = typed("tuning-guide", "appliance tune report", numbers)
    for words in (plan, show, report, compare, against):
        assert run(*words).status == 0, words
    assert "Not comparable" in (tmp_path / "report.html").read_text()


def test_losses_of_one_that_has_no_result_are_shown(
    tuned: Path, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    def without(self, at, *given):  # type: ignore[no-untyped-def]
        found = whole(self, at, *given)
        changes = {"result": None, "state": "running"}
        return found.model_copy(update=changes) if at == JOB else found

    whole = AdminClient.answer
    monkeypatch.setattr(AdminClient, "answer", without)
    (tuned / "3").mkdir(parents=True)
    kept.write(tuned / "3" / "seed-0.losses", [LossAt(1, 3.0), LossAt(2, 2.5, 2.25)])
    shown = run("tune", "show", "3").out.splitlines()
    assert shown[0] == "tuning 3: running"
    assert shown[-1].split() == ["seed-0", "2", "2.500", "2.2500"]
    document = run("tune", "show", "3", "--json").document
    assert document["runs"][0]["points"] == [[1, 3.0, None], [2, 2.5, 2.25]]


def test_of_many_steps_some_are_printed_with_the_last_and_all_of_dev() -> None:
    points = [(n, 1.0, 0.5 if n == 13 else None) for n in range(1, 101)]
    said = losses(Losses(runs=[LossRun(name="seed-0", points=points)]))
    assert said[0].split() == ["RUN", "STEP", "LOSS", "DEV"] and len(said) < 14
    steps = [line.split()[1] for line in said[1:]]
    assert steps[0] == "1" and "13" in steps and steps[-1] == "100"
    assert losses(Losses(runs=[])) == []
