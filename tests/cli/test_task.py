"""`appliance task …`: from a directory to the store, by commands."""

import json
import time
from pathlib import Path
from typing import NoReturn

import click
import pytest

from appliance.cli import output
from appliance.registry.import_preview import plan
from appliance.tasks import catalogue
from appliance.trust.artifacts import signing
from appliance.trust.artifacts.store import load_policy
from tests.api.admin.lab import LabData
from tests.cli.conftest import Run
from tests.evals.orders import TASK, write_data, write_task
from tests.smol import quiet
from tests.tasks.example import FIELDS


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


def test_a_schema_that_cannot_be_enforced_is_seen_before_signing(
    lab: LabData, run: Run, tmp_path: Path
) -> None:
    text = TASK.split("[output]")[0] + "[output]" + FIELDS.split("[output]")[1]
    text = text.replace('"values"', '"json"')
    rule = {"type": "array", "items": {"type": "string"}, "uniqueItems": True}
    schema = {"type": "object", "properties": {"part": rule}, "additionalProperties": False}
    path = write_task(tmp_path / "orders", text, schema_json=json.dumps(schema))
    checked = run("task", "check", path, "--json")
    assert checked.code == (1, "task_schema_invalid") and "uniqueItems" in checked.out
    signed = run("task", "sign", path, "--key", lab.key("publisher"), "--json")
    assert signed.code == (1, "task_schema_invalid") and not (path / "model.sig").exists()


def no_model(*_: object) -> NoReturn:
    raise AssertionError("a task is no model")


def test_a_metric_of_another_form_is_neither_signed_nor_imported_nor_drafted(
    lab: LabData, run: Run, tmp_path: Path
) -> None:
    """It was scored as exact match, and a certificate would have carried its name."""
    text = TASK.split("[output]")[0] + '[output]\nform = "text"\n[gate]' + TASK.split("[gate]")[1]
    good = write_task(tmp_path / "good", text)
    assert run("task", "check", good).status == 0  # the control
    path = write_task(tmp_path / "orders", text.replace("exact_match", "field_accuracy"))
    assert run("task", "check", path, "--json").code == (1, "task_metric_unfit")
    signed = run("task", "sign", path, "--key", lab.key("publisher"), "--json")
    assert signed.code == (1, "task_metric_unfit") and not (path / "model.sig").exists()
    signing.sign_directory(path, lab.key("publisher").read_bytes(), quiet)  # by another program
    now, policy = time.time_ns() // 1_000, load_policy(lab.data / "trust")
    previewed = plan(
        path, "orders", policy, no_model, [], now, quiet, no_model,
        other_kind=lambda model_id, artifact: catalogue.vet,
    )  # fmt: skip
    assert not previewed.ok and previewed.code == "task_metric_unfit"
    assert run("task", "import", path, "--json").code == (1, "task_metric_unfit")
    data, new = write_data(tmp_path / "labelled"), tmp_path / "new"
    made = run("task", "new", new, "--from", data, *SAID, "--metric", "field_accuracy", "--json")
    assert made.code == (1, "task_metric_unfit") and not new.exists()


DIGEST = "16399c58348341f1727030d1fc312a7fb25819f69fcbb6d15fd0687f698a49c4"
SAID = ("--description", "Work order to system.", "--model", "smol", "--digest", DIGEST)


def test_a_new_task_passes_the_check_and_shows_items_of_train(
    lab: LabData, run: Run, tmp_path: Path
) -> None:
    data, path = write_data(tmp_path / "orders"), tmp_path / "new"
    made = run("task", "new", path, "--from", data, *SAID, "--shots", "3", "--json")
    assert made.document["files"] == ["examples.jsonl", "task.toml"]
    assert run("task", "check", path, "--from", data, "--json").document["form"] == "labels"
    shown = [json.loads(line)["id"] for line in (path / "examples.jsonl").read_text().splitlines()]
    assert len(shown) == 3 and all(name.startswith("train") for name in shown)
    assert "# " in (path / "task.toml").read_text()
    again = run("task", "new", path, "--from", data, *SAID, "--json")
    assert again.code == (2, "data_exists")


def test_an_example_of_another_split_does_not_pass(lab: LabData, run: Run, tmp_path: Path) -> None:
    data, path = write_data(tmp_path / "orders"), tmp_path / "new"
    run("task", "new", path, "--from", data, *SAID)
    line = (data / "dev.jsonl").read_text().splitlines()[0]
    row = {k: v for k, v in json.loads(line).items() if k in ("id", "input", "expected")}
    (path / "examples.jsonl").write_text(json.dumps(row) + "\n")
    assert run("task", "check", path, "--json").status == 0
    assert run("task", "check", path, "--from", data, "--json").code == (1, "example_not_train")


def test_a_terminal_is_asked_and_a_script_is_not(
    lab: LabData, run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data, path = write_data(tmp_path / "orders"), tmp_path / "new"
    missing = run("task", "new", path, "--from", data, "--digest", DIGEST)
    assert missing.status == 2 and "The task in a sentence" in missing.err
    asked: list[str] = []

    def prompt(question: str, default: object = None, err: bool = False) -> object:
        asked.append(question)
        return "Orders to systems." if default is None else default

    monkeypatch.setattr(output, "asks", lambda: True)
    monkeypatch.setattr(click, "prompt", prompt)
    done = run("task", "new", path, "--from", data, "--digest", DIGEST)
    assert done.status == 0, done.err
    assert len(asked) == 3
    text = (path / "task.toml").read_text()
    assert "Orders to systems." in text and 'model = "smollm2-135m"' in text


def test_the_digest_comes_from_the_data_directory(lab: LabData, run: Run, tmp_path: Path) -> None:
    data = write_data(tmp_path / "orders")
    said = ("--description", "x", "--model", "nosuch", "--from", data, "--json")
    assert run("task", "new", tmp_path / "new", *said).code == (1, "unknown_model_id")
    assert not (tmp_path / "new").exists()


def test_a_new_task_with_a_classifier_needs_no_hand(lab: LabData, run: Run, tmp_path: Path) -> None:
    data, path = write_data(tmp_path / "orders"), tmp_path / "new"
    asked = ("task", "new", path, "--classifier", "--from", data, "--description", "Orders.")
    assert run(*asked, "--model", "smol").status == 2
    made = run(*asked, "--json").document
    assert made["files"] == ["classifier.json", "task.toml"]
    assert made["labels"] == {"hydraulics": 60, "engine": 60}
    checked = run("task", "check", path, "--from", data, "--json").document
    assert (checked["candidate"], checked["needs"]) == ("classifier", "")
    fitted = (path / "classifier.json").read_bytes()
    assert run("task", "fit", path, "--data", data).status == 0
    assert (path / "classifier.json").read_bytes() == fitted  # as the command by itself does it
