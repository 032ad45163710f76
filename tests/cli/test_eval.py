"""`appliance eval …`: from two directories to a page, by commands."""

import contextlib
from collections.abc import Iterator
from pathlib import Path

import pytest

from appliance.api.admin.app import create_admin_app
from appliance.api.admin.private import serve_in_thread
from appliance.app import open_services
from appliance.client import socket_path
from tests.api.admin.lab import LabData
from tests.cli.conftest import Run
from tests.evals.orders import TASK, write_data, write_task

CLASSIFIER = TASK.replace("[candidate]", '[candidate]\nkind = "classifier"')


@contextlib.contextmanager
def serving(lab: LabData) -> Iterator[None]:
    with open_services(lab.data) as services:
        with serve_in_thread(create_admin_app(services), socket_path(lab.data)):
            yield
        socket_path(lab.data).unlink()


@pytest.fixture
def task(tmp_path: Path) -> Path:
    """A task that no language model answers for, so that none is loaded."""
    return write_task(tmp_path / "task", CLASSIFIER)


@pytest.fixture
def dataset(tmp_path: Path) -> Path:
    return write_data(tmp_path / "orders")


def test_from_directories_to_a_page(
    lab: LabData, run: Run, task: Path, dataset: Path, tmp_path: Path
) -> None:
    with serving(lab):
        assert run("eval", "list").out.startswith("No evaluations. Start one with")
        done = run("eval", "run", task, "--data", dataset)
        assert done.status == 0, done.err
        answer, facts, head, *rows = done.out.splitlines()
        assert "logistic regression" in answer
        assert facts == "exact_match on dev: 12 items, 6 groups"
        assert head.split() == ["CANDIDATE", "QUALITY", "95", "%", "DOCUMENTS/S", "P95", "FAILURES"]
        assert [row.split("  ")[0] for row in rows][-1] == "majority"
        (listed,) = run("eval", "list", "--json").document["evaluations"]
        number = str(listed["id"])
        shown = run("eval", "show", number, "--json").document
        assert shown["baseline"] == "logistic regression" and len(shown["candidates"]) == 3
        page = tmp_path / "report.html"
        assert run("eval", "report", number, "--out", page).status == 0
        assert "<svg" in page.read_text()
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
    assert run("eval", "run", task, "--data", dataset, "--split", "test").status == 2
    assert run("eval", "run", task, "--data", dataset, "--json").status == 3
