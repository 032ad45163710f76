"""`appliance task fit`: coefficients out of a dataset, or nothing."""

import hashlib
from pathlib import Path

import numpy as np

from appliance.evals.job import DIRECTORY
from appliance.evals.store import OutcomeFiles
from appliance.tasks.classifiers import document
from appliance.tasks.classifiers.neighbours import fit_neighbours
from appliance.wire.admin.results import EvaluationResult
from tests.api.admin.lab import LabData
from tests.cli.conftest import Run
from tests.cli.test_eval import serving
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


def test_nearest_neighbours_come_out_of_an_evaluation(
    lab: LabData, run: Run, tmp_path: Path
) -> None:
    vectors = np.eye(4, dtype=np.float32)
    written = document.write(fit_neighbours(vectors, ["engine", "hydraulics"] * 2, "e" * 64))
    files = OutcomeFiles(lab.data / DIRECTORY / "5")
    row = {"name": "neighbours", "kind": "neighbours", "model": "minilm", "quality": 0.5,
           "interval": [0.4, 0.6]}  # fmt: skip
    result = {"candidates": [row], "digests": {"model minilm": "e" * 64}}
    files.write_report("", EvaluationResult.model_validate(result))
    path = write_task(tmp_path / "orders", CLASSIFIER.replace(', "electrical"', ""))
    other = write_task(tmp_path / "other", CLASSIFIER)
    with serving(lab):
        missing = run("task", "fit", path, "--neighbours", "5", "--json")
        assert missing.code == (1, "neighbours_missing")
        files.write_neighbours(written)
        wrong = run("task", "fit", other, "--neighbours", "5", "--json")
        assert wrong.code == (1, "task_invalid") and not (other / "classifier.json").exists()
        told = run("task", "fit", path, "--neighbours", "5").out.splitlines()
    assert (path / "classifier.json").read_bytes() == written
    at = told.index("  [candidate]")
    candidate = "\n".join(line.strip() for line in told[at:])
    text = (path / "task.toml").read_text()
    before, after = text.split("[candidate]")[0], text.split("[prompt]")[1]
    (path / "task.toml").write_text(f"{before}{candidate}\n\n[prompt]{after}")
    # The check reads the vectors' model out of the file and holds it against `digest`.
    assert run("task", "check", path, "--json").document["candidate"] == "classifier"


def test_one_source_must_be_named(run: Run, tmp_path: Path) -> None:
    path = write_task(tmp_path / "orders", CLASSIFIER)
    assert run("task", "fit", path).status == 2
    assert run("task", "fit", path, "--data", path, "--neighbours", "5").status == 2
