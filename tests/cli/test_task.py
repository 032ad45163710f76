"""`appliance task …`: from a directory to the store, by commands."""

from pathlib import Path

from tests.api.admin.lab import LabData
from tests.cli.conftest import Run
from tests.evals.orders import TASK, write_task


def test_a_task_is_checked_signed_imported_and_listed(
    lab: LabData, run: Run, tmp_path: Path
) -> None:
    path = write_task(tmp_path / "orders")
    assert run("task", "list").out.startswith("No tasks.")
    assert run("task", "check", path, "--json").document["form"] == "labels"
    assert "model: smol" in run("task", "check", path).out
    assert run("task", "sign", path, "--key", lab.key("publisher")).status == 0
    assert run("task", "import", path, "--json").document["state"] == "verified"
    (listed,) = run("task", "list", "--json").document["tasks"]
    assert (listed["id"], listed["state"]) == ("orders", "verified")


def test_a_task_that_is_wrong_is_neither_signed_nor_imported(
    lab: LabData, run: Run, tmp_path: Path
) -> None:
    path = write_task(tmp_path / "orders", TASK.replace("margin = 0.05", "margin = 5"))
    assert run("task", "check", path, "--json").code == (1, "task_invalid")
    signed = run("task", "sign", path, "--key", lab.key("publisher"), "--json")
    assert signed.code == (1, "task_invalid")
    assert not (path / "model.sig").exists()
    unsigned = write_task(tmp_path / "unsigned")
    assert run("task", "import", unsigned, "--json").code == (1, "signature_missing")
    (listed,) = run("task", "list", "--json").document["tasks"]
    assert listed["state"] == "refused"
