"""`appliance eval …`: from two directories to a page, by commands."""

import contextlib
from collections.abc import Iterator
from pathlib import Path

import pytest

from appliance.api.admin.app import create_admin_app
from appliance.api.admin.private import serve_in_thread
from appliance.app import open_services
from appliance.client import socket_path
from tests.api.admin.lab import APPROVERS, LabData
from tests.cli.conftest import Run
from tests.evals.orders import FITTED, write_data, write_task
from tests.tasks.example import CLASSIFIER, coefficients


@contextlib.contextmanager
def serving(lab: LabData) -> Iterator[None]:
    with open_services(lab.data) as services:
        with serve_in_thread(create_admin_app(services), socket_path(lab.data)):
            yield
        socket_path(lab.data).unlink()


@pytest.fixture
def task(tmp_path: Path) -> Path:
    """No language model answers, so that none is loaded."""
    return write_task(tmp_path / "task", FITTED, classifier_json=coefficients("electrical"))


@pytest.fixture
def dataset(tmp_path: Path) -> Path:
    return write_data(tmp_path / "orders")


def test_a_task_may_be_measured_by_its_three_likeliest_labels(
    lab: LabData, run: Run, dataset: Path, tmp_path: Path
) -> None:
    """Of three labels every candidate names the right one, even the commonest one; not by one."""
    with serving(lab):
        for metric, all_right in (("top_3", True), ("exact_match", False)):
            text = CLASSIFIER.replace("exact_match", metric)
            task = write_task(tmp_path / metric, text, classifier_json=coefficients())
            assert run("eval", "run", task, "--data", dataset).status == 0
            number = run("eval", "list", "--json").document["evaluations"][0]["id"]
            shown = run("eval", "show", str(number), "--json").document
            assert shown["metric"] == metric
            rows = {row["name"]: row["quality"] for row in shown["candidates"]}
            assert (rows["majority"] == 1) == all_right
            assert (set(rows.values()) == {1}) == all_right


def test_from_directories_to_a_page(
    lab: LabData, run: Run, task: Path, dataset: Path, tmp_path: Path
) -> None:
    with serving(lab):
        assert run("eval", "list").out.startswith("No evaluations. Start one with")
        done = run("eval", "run", task, "--data", dataset)
        assert done.status == 0, done.err
        answer, facts, head, *rows, note = done.out.splitlines()
        assert note.startswith("note: Nearest neighbours are not measured")
        assert answer.startswith("Not enough data: 44 more independent groups.")
        assert facts.startswith("exact_match on dev: 12 items; QUALITY weights its 6 groups alike")
        assert head.split()[:5] == ["CANDIDATE", "QUALITY", "95", "%", "WRONG"]
        assert [row.split("  ")[0] for row in rows][-1] == "majority"
        listing = run("eval", "list", "--json").document
        (listed,), gates = listing["evaluations"], listing["gates"]
        assert gates == []
        number = str(listed["id"])
        shown = run("eval", "show", number, "--json").document
        assert shown["baseline"] == "logistic regression" and len(shown["candidates"]) == 4
        assert shown["candidate"] == "the task's classifier"
        best = f"{number}:logistic regression"
        same = run("eval", "compare", best, f"{number}:majority", "--json")
        assert same.status == 0, same.err
        found = same.document
        assert found["first"] == f"{number}: logistic regression" and found["items"] == 12
        assert (found["difference"], found["gained"], found["lost"]) == (0.5, 6, 0)
        assert {flip["right"] for flip in found["flips"]} == {"first"}
        told = run("eval", "compare", best, f"{number}:majority").out
        assert "+50.0 points" in told and "McNemar p = 0.031" in told and "dev" in told
        errors = run("eval", "errors", f"{number}:majority", "--json").document
        assert (errors["wrong"], errors["items"], errors["unread"]) == (6, 12, "")
        assert [r["wrong"] for r in shown["candidates"] if r["name"] == "majority"] == [6]
        worst = errors["shown"][0]
        assert worst["input"].startswith("replace ") and worst["expected"] != worst["answered"]
        cell = ("--expected", worst["expected"], "--answered", worst["answered"])
        assert run("eval", "errors", f"{number}:majority", *cell, "--json").document["kept"] == 6
        said = run("eval", "errors", f"{number}:majority", "--most", "2").out
        assert "6 of 12 items wrong (50 %)" in said and "4 more with --most" in said
        assert worst["input"] in said and worst["input"] in told
        wrong = run("eval", "compare", number, f"{number}:nosuch", "--json")
        assert wrong.code == (1, "candidate_unknown")
        assert run("eval", "compare", number, "x").status == 2
        page = tmp_path / "report.html"
        assert run("eval", "report", number, "--out", page).status == 0
        assert "<svg" in page.read_text()
        newest = tmp_path / "newest.html"
        assert run("eval", "report", "--out", newest).status == 0
        assert newest.read_text() == page.read_text()
        assert run("eval", "show").out == run("eval", "show", number).out
        begun = run("eval", "run", task, "--data", dataset, "--no-wait", "--json").document
        assert begun["kind"] == "evaluation"


def test_what_is_no_dataset_or_no_evaluation_is_refused(
    lab: LabData, run: Run, task: Path, dataset: Path, tmp_path: Path
) -> None:
    with serving(lab):
        done = run("eval", "run", task, "--data", task, "--json")
        assert done.status == 1
        assert done.document["code"] == "dataset_unreadable"
        assert run("eval", "show", "99", "--json").status == 1
        wanted = ("eval", "report", "1", "--out", tmp_path / "r.html", "--json")
        assert run(*wanted).code == (1, "report_missing")
        assert not (tmp_path / "r.html").exists()
        assert run("eval", "show", "--json").code == (1, "report_missing")
        unknown = run("eval", "run", "nosuch", "--data", dataset, "--json")
        assert unknown.code == (1, "unknown_model_id")
    assert run("eval", "run", task, "--data", dataset, "--split", "test").status == 2
    assert run("eval", "run", task, "--data", dataset, "--json").status == 3


def test_approved_artifacts_are_named_by_id(
    lab: LabData, run: Run, dataset: Path, tmp_path: Path
) -> None:
    task = write_task(tmp_path / "task")
    for path, kind, people in ((dataset, "dataset", APPROVERS), (task, "task", ())):
        assert run(kind, "sign", path, "--key", lab.key("publisher")).status == 0
        assert run(kind, "import", path).status == 0
        for name in people:
            done = run(
                *("model", "approve", path.name, "--as", name, "--key", lab.key(name)),
                *("--meaning", "labels checked"),
            )
            assert done.status == 0, done.err
    draft = write_task(tmp_path / "draft", FITTED, classifier_json=coefficients("electrical"))
    with serving(lab):
        refused = run("eval", "run", "task", "--data", "orders", "--json")
        assert refused.code == (1, "not_approved")
        done = run("eval", "run", draft, "--data", "orders", "--json")
        assert done.status == 0, done.err
        assert done.document["drafts"] == ["task"]
        checked = run("dataset", "check", "orders", "--json")
        assert checked.document["summary"]["name"] == "orders"
        unknown = run("dataset", "check", "orders", "--model", "nosuch", "--json")
        assert unknown.code == (1, "model_not_found")
