"""`appliance model places`, `plan` and `demo`; no server runs."""

from pathlib import Path

import pytest

from tests.api.admin.lab import LabData
from tests.cli.conftest import Run, run_command
from tests.trust import forge


def test_places_lists_what_lies_in_a_directory(lab: LabData) -> None:
    path = lab.artifact("pump\x1b[2J")
    forge.make_artifact(lab.data.parent / "bare")
    done = run_command("model", "places", path.parent, "--json")
    place = done.document["places"][0]
    assert [(a["name"], a["signed"]) for a in place["artifacts"]] == [
        ("bare", False), ("pump\x1b[2J", True),
    ]  # fmt: skip
    plain = run_command("model", "places", path.parent)
    assert "not signed" in plain.out and "\x1b" not in plain.out


def test_plan_says_what_an_import_would_do_and_does_nothing(lab: LabData, run: Run) -> None:
    path = lab.artifact()
    done = run("model", "plan", path, "--json")
    assert (done.status, done.document["ok"]) == (0, True)
    assert "2 approvals needed" in run("model", "plan", path).out
    (path / "LICENSE").write_text("changed")
    refused = run("model", "plan", path, "--json")
    assert refused.code == (1, "file_changed")
    assert "file_changed" in run("model", "plan", path).out
    assert run("model", "list", "--json").document["models"] == []


def test_plan_shows_what_differs(lab: LabData, run: Run) -> None:
    assert run("model", "import", lab.artifact("pump")).status == 0
    found = run("model", "plan", lab.artifact("pump-v2"), "--against", "pump", "--json").document
    assert found["against"] == "pump"
    assert "differs from pump" in run("model", "plan", lab.data.parent / "pump-v2").out


def test_demo_signs_imports_and_approves(lab: LabData, run: Run, tmp_path: Path) -> None:
    source = tmp_path / "SmolLM2-135M-Instruct.Q4_1.gguf"
    forge.make_artifact(tmp_path / "a")
    source.write_bytes((tmp_path / "a" / "tiny.gguf").read_bytes())
    done = run("model", "demo", "--from", source, "--json")
    assert (done.document["id"], done.document["state"]) == ("smollm2-135m-instruct", "approved")
    again = run("model", "demo", "--from", source, "--json")
    assert again.code == (1, "model_id_taken")


def test_demo_without_a_model_or_without_the_lab(
    lab: LabData, run: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("sys.prefix", str(tmp_path / "nowhere"))
    assert run("model", "demo", "--json").code == (1, "demo_model_missing")
    (lab.data / "keys" / "lab" / "publisher.pem").unlink()
    assert run("model", "demo", "--json").code == (2, "profile_unsupported")
