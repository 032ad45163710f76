"""`task release`: each person's part, called again after every step, and its refusals."""

import json
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import click
import pytest

from appliance.api.admin.app import create_admin_app
from appliance.api.admin.private import serve_in_thread
from appliance.app import Services, initialise, open_services
from appliance.cli import job, release
from appliance.cli.output import Output
from appliance.cli.release import Release
from appliance.client import socket_path
from appliance.datasets import directory
from appliance.wire.admin.gates import LEDGER, Ledger
from appliance.wire.admin.jobs import JOBS, Job, JobList
from tests.api.admin.lab import LabData
from tests.cli.conftest import Done, run_command
from tests.evals.gates import signed, wanted
from tests.evals.sealed import write_dataset

STEPS = (
    "_data_stored", "_task_stored", "_data_approved", "_certified", "_task_approved", "_promoted",
)  # fmt: skip
EVERYBODY = ("publisher", "approver-1", "approver-2")


class Site:
    """A lab that asks for evidence, a dataset and the classifier that `task new` makes of it."""

    def __init__(self, data: Path, directory: Path, services: Services, groups: int) -> None:
        self.lab, self.services = LabData(data), services
        self.data = write_dataset(directory / "orders", groups=groups)
        self.task = directory / "system"
        said = ("--from", self.data, "--description", "Work order to system.", "--margin", "0.05")
        made = self.run("task", "new", self.task, "--classifier", *said, "--json")
        assert made.document["files"] == ["classifier.json", "task.toml"]

    def run(self, *arguments: str | Path) -> Done:
        return run_command(*arguments, data=self.lab.data)

    def release(self, *people: str, task: Path | None = None) -> Done:
        signers = [("--as", person, "--key", self.lab.key(person)) for person in people]
        given = [word for each in signers for word in each]
        said = ("--meaning", "labels and certificate read", "--json")
        return self.run("task", "release", task or self.task, "--data", self.data, *given, *said)

    def counted(self) -> dict[str, int]:
        """By the log."""
        bodies = [dict(entry.body) for entry in self.services.reader.tail(1_000)]
        events = [str(body.get("event") or body.get("action")) for body in bodies]
        counted = {name: events.count(name) for name in ("approval", "gate_look", "task_pointer")}
        works = [body.get("work") for body in bodies if "title" in body and "params" in body]
        return counted | {name: works.count(name) for name in ("import", "gate")}


ONCE = {"import": 2, "approval": 4, "gate": 1, "gate_look": 1, "task_pointer": 1}
"""What a release leaves in the log, however often it is called."""


@pytest.fixture
def services(tmp_path: Path) -> Iterator[Services]:
    initialise(tmp_path / "data", "lab", evaluated=True)
    with open_services(tmp_path / "data") as services:
        with serve_in_thread(create_admin_app(services), socket_path(tmp_path / "data")):
            yield services
        socket_path(tmp_path / "data").unlink()


@pytest.fixture
def site(services: Services, tmp_path: Path) -> Site:
    return Site(tmp_path / "data", tmp_path, services, groups=52)


def test_a_leak_is_told_before_anything_is_sealed(site: Site) -> None:
    first = (site.data / "train.jsonl").read_text().partition("\n")[0]
    leaked = {**json.loads(first), "id": "leaked", "group": "leaked"}
    with (site.data / "test.jsonl").open("a") as items:
        items.write(json.dumps(leaked) + "\n")
    done = site.release(*EVERYBODY)
    assert done.status == 1 and "is not sealed" in done.document["missing"]["why"]
    assert done.document["missing"]["next"].startswith("appliance dataset check ")
    assert directory.read(site.data).seal is None and site.counted()["import"] == 0


def test_everybody_at_once_ends_with_apps_that_are_answered(site: Site) -> None:
    done = site.release(*EVERYBODY)
    assert done.status == 0, done.err
    found = done.document
    assert (found["task"], found["name"], found["state"]) == ("system-1", "system", "serves")
    (quality,) = [words for words in found["done"] if words.startswith("exact_match on dev: ")]
    assert quality.endswith(" of 12 items wrong")
    live = site.run("task", "live", "--json").document["names"]
    assert [(n["name"], n["pointers"][0]["live"]["task"]) for n in live] == [("system", "system-1")]
    # another version is held against the one that answers
    text = (site.task / "task.toml").read_text()
    (site.task / "task.toml").write_text(text.replace("margin = 0.05", "margin = 0.06"))
    again = site.release(*EVERYBODY)
    assert again.code == (1, "model_id_taken")  # version was not counted up
    text = text.replace("version = 1", "version = 2")
    (site.task / "task.toml").write_text(text)
    done = site.release(*EVERYBODY)
    assert "not worse than system-1 by" in done.err


def test_each_person_does_a_part_and_it_says_who_is_next(site: Site) -> None:
    first = site.release("publisher")
    found = first.document
    assert (first.status, found["state"]) == (1, "waits")
    assert found["missing"]["why"] == "orders has 0 of 2 approvals"
    assert found["missing"]["people"] == ["approver-1", "approver-2"]
    assert "appliance task release" in found["missing"]["next"]
    for _ in range(2):  # one person, twice, is one person
        found = site.release("approver-1").document
        assert found["missing"]["why"] == "orders has 1 of 2 approvals"
    assert "approver-1" not in site.release("publisher").document["missing"]["people"]
    second = site.release("approver-2").document
    assert second["missing"]["why"] == "system-1 has 1 of 2 approvals"
    assert site.run("task", "live", "--json").document["names"] == []  # nobody is answered yet
    assert site.release().document["missing"]["why"] == "system-1 has 1 of 2 approvals"
    assert site.release("approver-1").status == 0
    assert site.counted() == ONCE


def test_stopped_before_each_step_it_goes_further_and_does_nothing_twice(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stop(_: Release) -> None:
        raise KeyboardInterrupt

    for step in STEPS:
        with monkeypatch.context() as patched:
            patched.setattr(Release, step, stop)
            assert site.release(*EVERYBODY).status != 0, step
    with monkeypatch.context() as patched:
        patched.setattr(Release, "_promoted", lambda _: None)
        site.release(*EVERYBODY)
    assert site.release(*EVERYBODY).status == 0
    assert site.counted() == ONCE
    assert site.release().status == 0  # it is done, and takes nobody


def test_a_gate_that_was_left_is_watched_and_not_begun_again(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    def left(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(job, "watched", left)
        assert site.release(*EVERYBODY).status != 0
    assert site.release(*EVERYBODY).status == 0
    assert site.counted() == ONCE


@pytest.mark.parametrize(("split", "taken"), [("test", True), ("unlabelled", False)])
def test_a_gate_of_another_split_is_none_of_its_own(split: str, taken: bool) -> None:
    """One that waits for labels has the same task and data, and another look."""
    raters = ("Ann", "Ben") if split == "unlabelled" else ()
    terms = wanted(task="system-1", dataset="orders", split=split, raters=raters)
    params = {"specification": signed(terms).decode()}
    waiting = Job(
        id=7, kind="gate", title="system-1 on orders", state="paused", actor="uid:0",
        created="2026-11-29T00:00:00Z", params=params,
    )  # fmt: skip
    told = {JOBS: JobList(jobs=[waiting]), LEDGER: Ledger(dataset="orders", splits=[])}
    client: Any = SimpleNamespace(call=lambda endpoint, **_: told[endpoint])
    path = Path("system")
    one = Release(Output(), client, path, "orders", "system-1", "system", "again", [], None)
    assert one._job(terms.task_digest) == (7 if taken else None)
    assert one._job("00" * 32) is None


def test_a_gate_that_did_not_pass_is_not_tried_again(services: Services, tmp_path: Path) -> None:
    site = Site(tmp_path / "data", tmp_path, services, groups=20)  # fewer than 50 decide nothing
    for _ in range(2):
        done = site.release(*EVERYBODY)
        found = done.document
        assert (done.status, found["state"], found["missing"]["people"]) == (1, "waits", [])
        assert "appliance eval report" in found["missing"]["next"]
    assert site.counted()["gate_look"] == 1
    assert site.services.store.inventory.record("system-1").state == "verified"


def test_a_terminal_is_asked_for_the_approvals(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    people = ("approver-1", "approver-2")
    said = iter([word for name in people for word in (name, site.lab.key(name))])
    asked: list[str] = []

    def prompt(question: str, **_: Any) -> Any:
        asked.append(question)
        return next(said, "")

    monkeypatch.setattr(release, "asks", lambda: True)
    monkeypatch.setattr(click, "prompt", prompt)
    done = site.release("publisher")
    assert done.status == 0, done.err
    assert [question.split()[0] for question in asked] == ["Signers", "That"] * 2
    assert site.counted() == ONCE


def test_a_key_without_a_role_signs_nothing(site: Site) -> None:
    given = ("--as", "approver-2", "--key", site.lab.key("approver-1"), "--json")
    done = site.run("task", "release", site.task, "--data", site.data, *given)
    assert done.status == 2 and "no role for approver-2" in done.err
    assert not (site.task / "model.sig").exists()
    assert not json.loads(site.run("model", "list", "--json").out)["models"]


def test_what_is_compared_with_nothing_needs_a_floor_before_anybody_signs(site: Site) -> None:
    text = (site.task / "task.toml").read_text()
    (site.task / "task.toml").write_text(text + 'baseline = "none"\n')
    assert site.release(*EVERYBODY).code == (1, "floor_missing")
    assert not (site.task / "model.sig").exists() and not (site.data / "model.sig").exists()
