"""`appliance task fit`: coefficients out of a dataset, or nothing."""

import hashlib
from pathlib import Path

from tests.api.admin.lab import LabData
from tests.cli.conftest import Run
from tests.evals.orders import TASK, write_data, write_task
from tests.tasks.example import CLASSIFIER

FREE = TASK.split("[output]")[0] + '[output]\nform = "text"\n[gate]' + TASK.split("[gate]")[1]


def test_a_classifier_is_fitted_named_signed_and_imported(
    lab: LabData, run: Run, tmp_path: Path
) -> None:
    data = write_data(tmp_path / "examples")
    path = write_task(tmp_path / "orders", CLASSIFIER.replace(', "electrical"', ""))
    assert run("task", "check", path).status == 1  # its coefficients are not there yet
    fitted = run("task", "fit", path, "--data", data, "--json").document
    written = (path / "classifier.json").read_bytes()
    assert fitted["digest"] == hashlib.sha256(written).hexdigest()
    assert fitted["items"] == 120
    assert "kind =" in run("task", "fit", path, "--data", data).out
    assert (path / "classifier.json").read_bytes() == written
    assert run("task", "check", path, "--json").document["candidate"] == "classifier"
    assert run("task", "sign", path, "--key", lab.key("publisher")).status == 0
    assert run("task", "import", path, "--json").document["state"] == "verified"


def test_what_cannot_be_fitted_writes_nothing(run: Run, tmp_path: Path) -> None:
    data = write_data(tmp_path / "examples")
    more = write_task(tmp_path / "more", CLASSIFIER)  # a label that no item has
    free = write_task(tmp_path / "free", FREE)
    assert run("task", "fit", more, "--data", data, "--json").code == (1, "evaluation_empty")
    assert run("task", "fit", free, "--data", data, "--json").code == (1, "task_invalid")
    assert not any((path / "classifier.json").exists() for path in (more, free))
