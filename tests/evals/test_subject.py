"""Measured artifacts: approved ones by id, drafts by directory, and nothing else."""

import json
import shutil
from pathlib import Path

import pytest

from appliance.errors import ApplianceError
from appliance.evals.parameters import EvaluationWanted
from appliance.evals.subject import (
    ApprovedArtifacts,
    EvaluationSubject,
    read_data,
    read_subject,
    some,
)
from appliance.tasks.drafting import TaskDraft, files, write
from appliance.trust.artifacts.signing import sign_directory
from appliance.trust.artifacts.store import load_policy
from appliance.trust.bytes import ecdsa
from tests.api.admin.lab import LabData, approve_model, import_model, make_lab, opened
from tests.evals.orders import TASK, item, write_data, write_task
from tests.trust.forge import new_key, quiet


@pytest.fixture
def lab(tmp_path: Path) -> LabData:
    return make_lab(tmp_path)


def read(lab: LabData, task: str | Path, data: str | Path, **more: object) -> EvaluationSubject:
    wanted = EvaluationWanted(str(task), str(data), **more)  # type: ignore[arg-type]
    with opened(lab) as (services, _):
        store = ApprovedArtifacts(services.store, lambda: load_policy(lab.data / "trust"))
        return read_subject(store, wanted)


def code_of(lab: LabData, task: str | Path, data: str | Path, **more: object) -> str:
    with pytest.raises(ApplianceError) as caught:
        read(lab, task, data, **more)
    return caught.value.code


def signed(lab: LabData, path: Path) -> Path:
    sign_directory(path, lab.key("publisher").read_bytes(), quiet)
    return path


def brought_in(lab: LabData, path: Path, *people: str) -> str:
    with opened(lab) as (_, client):
        import_model(client, path, path.name)
        for name in people:
            approve_model(client, path.name, lab.approval(client, path.name, name))
    return path.name


def test_directories_are_drafts(lab: LabData, tmp_path: Path) -> None:
    task, data = write_task(tmp_path / "task"), write_data(tmp_path / "orders")
    found = read(lab, task, data)
    assert found.drafts == ("task", "dataset")
    assert (len(found.train), len(found.items)) == (120, 12)
    assert len(found.loaded.digest) == len(found.data_digest) == 64
    assert read(lab, task, data, limit=5).items == some(found.items, 5)


def test_approved_ones_are_read_by_id(lab: LabData, tmp_path: Path) -> None:
    draft = read(lab, write_task(tmp_path / "task"), write_data(tmp_path / "orders"))
    people = ("approver-1", "approver-2")
    task = brought_in(lab, signed(lab, tmp_path / "task"), *people)
    data = brought_in(lab, signed(lab, tmp_path / "orders"), *people)
    found = read(lab, task, data)
    assert found.drafts == ()
    assert found.items == draft.items and found.train == draft.train
    assert found.loaded.task.id == task
    # A signed draft has the digest of what it is a copy of.
    again = read(lab, tmp_path / "task", tmp_path / "orders")
    assert (again.loaded.digest, again.data_digest) == (found.loaded.digest, found.data_digest)


def test_what_is_not_approved_or_of_another_kind_is_refused(lab: LabData, tmp_path: Path) -> None:
    task = brought_in(lab, signed(lab, write_task(tmp_path / "task")))
    write_data(tmp_path / "orders")
    assert code_of(lab, task, tmp_path / "orders") == "not_approved"
    assert code_of(lab, "nosuch", tmp_path / "orders") == "unknown_model_id"
    with opened(lab) as (services, _):
        store = ApprovedArtifacts(services.store, lambda: load_policy(lab.data / "trust"))
        with pytest.raises(ApplianceError) as caught:
            read_data(store, task)
    assert caught.value.code == "artifact_kind"


def test_a_dataset_that_was_changed_after_signing(lab: LabData, tmp_path: Path) -> None:
    task, data = write_task(tmp_path / "task"), write_data(tmp_path / "orders")
    (tmp_path / "key.pem").write_bytes(ecdsa.private_pem(new_key()))
    sign_directory(data, (tmp_path / "key.pem").read_bytes(), quiet)
    read(lab, task, data)
    with (data / "dev.jsonl").open("a") as file:
        file.write(json.dumps(item(50, "dev")) + "\n")
    assert code_of(lab, task, data) == "file_changed"
    (data / "model.sig").unlink()
    assert len(read(lab, task, data).items) == 13


def test_what_is_no_dataset_is_refused(lab: LabData, tmp_path: Path) -> None:
    task = write_task(tmp_path / "task")
    assert code_of(lab, task, task) == "dataset_unreadable"
    data = write_data(tmp_path / "orders")
    (data / "dev.jsonl").unlink()
    assert code_of(lab, task, data) == "evaluation_empty"


def test_an_example_of_another_split_is_refused(lab: LabData, tmp_path: Path) -> None:
    data = write_data(tmp_path / "orders")
    shown = TASK.replace("[output]", 'examples = "examples.jsonl"\n[output]', 1)
    for split, code in (("dev", "example_not_train"), ("train", "")):
        task = write_task(tmp_path / split, shown, examples_jsonl=json.dumps(item(0, split)))
        if code:
            assert code_of(lab, task, data) == code
        else:
            assert read(lab, task, data).loaded.example_ids == ("train000",)


def test_the_draft_of_a_dataset_measures_on_it(lab: LabData, tmp_path: Path) -> None:
    data = write_data(tmp_path / "orders")
    first = read(lab, write_task(tmp_path / "task"), data)
    shutil.rmtree(tmp_path / "task")
    made = files(TaskDraft("new", "Made of items.", "smol", "0" * 64), first.train, first.train[:2])
    write(tmp_path / "new", made)
    found = read(lab, tmp_path / "new", data)
    assert found.loaded.example_ids == ("train000", "train001")
    assert found.items == first.items
