"""`appliance doctor`."""

import platform
from dataclasses import replace
from pathlib import Path

import pysqlite3.dbapi2
import pytest

from appliance.app import SCHEMA
from appliance.cli import doctor
from appliance.cli.doctor import find_problems
from appliance.cli.gpu import GpuReport
from appliance.host.hardware import HostFacts
from tests.api.admin.lab import LabData
from tests.cli.conftest import Run, run_command
from tests.host.test_hardware import GOOD

HOST = replace(GOOD, memory=1 << 40, disk_free=1 << 40)


def codes(data: Path, facts: HostFacts = HOST) -> list[str]:
    return [problem.code for problem in find_problems(data, facts)]


def test_a_healthy_lab_has_no_problem(lab: LabData) -> None:
    assert codes(lab.data) == []


def test_the_report_has_facts_and_problems(lab: LabData, run: Run) -> None:
    (lab.key("publisher")).chmod(0o644)
    done = run("doctor", "--json")
    assert done.status == 1
    assert done.document["host"]["cores"] >= 1
    (problem,) = [p for p in done.document["problems"] if p["code"] == "file_too_open"]
    assert "publisher.pem" in problem["message"] and problem["hint"]
    assert "[!] file_too_open: " in run("doctor").out


def test_the_address_and_the_host_are_named(lab: LabData, run: Run) -> None:
    (lab.data / "appliance.toml").write_text("[server]\nport = 8181\n")
    document = run("doctor", "--json").document
    assert (document["url"], document["serving"]) == ("http://127.0.0.1:8181", False)
    assert document["host"]["name"] == platform.node()
    said = run("doctor").out
    assert f"host      {platform.node()}" in said
    assert "server    will listen on http://127.0.0.1:8181" in said
    assert "engines" in document["unseen"]
    assert "unseen    needs a running server: engines, upstream" in said


def test_the_backend_of_the_processor_is_named_or_a_problem(
    lab: LabData, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    document, said = run("doctor", "--json").document, run("doctor").out
    library, kernels = document["processor_backend"], document["processor_kernels"]
    multiplies = f"kernels {kernels}" if kernels else "no kernels of ours"
    assert Path(library).is_file() and f"backend   {library}, {multiplies}" in said
    monkeypatch.setattr(doctor, "library_directory", lambda: lab.data)
    done = run("doctor", "--json")
    assert (done.status, done.document["processor_backend"]) == (1, None)
    assert "model_load_failed" in [problem["code"] for problem in done.document["problems"]]


@pytest.mark.parametrize(
    ("settings", "found"),
    [
        ('[models.default]\ndevice = "auto"\n', []),
        ('[models.default]\ndevice = "cuda"\n', ["gpu_driver_missing"]),
        ('[models.m]\ndevice = "cuda"\n', ["gpu_driver_missing"]),
    ],
)
def test_cuda_without_a_driver_is_a_problem(lab: LabData, settings: str, found: list[str]) -> None:
    (lab.data / "appliance.toml").write_text(settings)
    assert [p.code for p in find_problems(lab.data, HOST, GpuReport())] == found


def test_a_directory_that_is_none_is_one_problem(tmp_path: Path) -> None:
    done = run_command("doctor", "--json", data=tmp_path / "none")
    assert done.status == 1
    assert "data_missing" in [problem["code"] for problem in done.document["problems"]]
    assert not (tmp_path / "none").exists()


def test_every_problem_is_found_in_one_run(lab: LabData) -> None:
    (lab.data / "appliance.toml").write_text(
        '[engine]\nmemory_mib = 16777216\n[admin.roles]\nviewer = ["nobody9"]\n'
    )
    (lab.data / "trust" / "policy.json").write_bytes(b"{}")
    (lab.data / "appliance.db").write_bytes(b"no database" * 100)
    lab.key("root").chmod(0o640)
    facts = replace(HOST, memory=1 << 30, disk_free=0, landlock_abi=0)
    assert sorted(codes(lab.data, facts)) == [
        "database_unusable",
        "file_too_open",
        "host_unsuitable",
        "insufficient_disk",
        "insufficient_memory",
        "policy_signature",
        "role_name_unknown",
    ]


def test_a_database_of_a_newer_release(lab: LabData) -> None:
    newer = pysqlite3.dbapi2.connect(str(lab.data / "appliance.db"))
    newer.execute(f"PRAGMA user_version = {SCHEMA + 1}")
    newer.close()
    assert codes(lab.data) == ["database_newer"]


def test_a_configuration_that_cannot_be_read(lab: LabData) -> None:
    (lab.data / "appliance.toml").write_text("[sever]\n")
    assert codes(lab.data) == ["config_invalid"]


def test_it_changes_nothing(lab: LabData, run: Run) -> None:
    files = [path for path in lab.data.rglob("*") if path.is_file()]
    before = [(path.stat().st_mode, path.read_bytes()) for path in files]
    run("doctor")
    assert [(path.stat().st_mode, path.read_bytes()) for path in files] == before


@pytest.mark.parametrize("name", ["signing.pem", "kek"])
def test_the_keys_of_the_log_are_watched(lab: LabData, name: str) -> None:
    (lab.data / "audit" / name).chmod(0o644)
    assert codes(lab.data) == ["file_too_open"]
