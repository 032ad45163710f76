"""`appliance task weights`: words of a classifier, and the reasons of an answer."""

from pathlib import Path

from tests.cli.conftest import run_command
from tests.evals.orders import FITTED, TASK, write_task
from tests.tasks.example import coefficients


def test_the_words_of_each_label_and_of_a_text(tmp_path: Path) -> None:
    path = write_task(tmp_path / "orders", FITTED, classifier_json=coefficients("electrical"))
    told = run_command("task", "weights", path)
    assert told.status == 0, told.err
    head, *rows = told.out.splitlines()
    assert head.split() == ["LABEL", "SPEAKS", "FOR", "IT"] and len(rows) == 2
    one = run_command("task", "weights", path, "--label", "engine", "--json").document
    assert list(one["labels"]) == ["engine"] and one["labels"]["engine"][0]["weight"] > 0
    why = run_command("task", "weights", path, "--text", "hose leaks").out
    assert why.startswith("hydraulics (confidence ") and "before engine" in why
    wrong = run_command("task", "weights", path, "--label", "cab", "--json")
    assert wrong.code == (1, "task_invalid")


def test_a_task_without_coefficients_has_none(tmp_path: Path) -> None:
    path = write_task(tmp_path / "orders", TASK)
    assert run_command("task", "weights", path, "--json").code == (1, "task_invalid")
