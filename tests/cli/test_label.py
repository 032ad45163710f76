"""`appliance label …`: from unlabelled items to a dataset with its agreement, by commands."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from appliance.api.admin.deps import Person
from appliance.datasets.directory import read, write
from tests.cli.conftest import Run
from tests.datasets.examples import dataset, orders
from tests.evals.orders import write_task
from tests.guide_blocks import typed

RATERS = ("--rater", "anna", "--rater", "ben")


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """Nothing is labelled."""
    items = [replace(item, expected=None) for item in orders(30)]
    write(tmp_path / "orders", dataset(items))
    return tmp_path / "orders"


def test_from_zero_to_a_dataset(run: Run, source: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert run("label", "list").out.startswith("No label queues.")
    made = run("label", "new", source, *RATERS, "--label", "hose", "--label", "pump", "--limit", 4)
    assert made.status == 0, made.err
    assert made.out.splitlines()[0] == "orders: 4 items, anna 0, ben 0"
    assert "each for themselves" in made.out
    for rater in ("anna", "ben"):
        monkeypatch.setattr(Person, "name", rater)
        for number in range(4):
            shown = run("label", "next", "orders", "--json").document
            assert "said" not in shown and shown["labels"] == ["hose", "pump"]
            chosen = "pump" if number == 0 and rater == "ben" else "hose"
            done = run("label", "set", source, shown["item"], chosen)
            assert done.status == 0, done.err
        assert "has labelled 4 of 4 items" in run("label", "next", "orders").out
        assert f"{rater} has" in run("label", "next", "orders").out
    compared = run("label", "show", "orders").out
    assert "agreement 75 %, 1 not settled" in compared and "ANNA" in compared
    (differs,) = run("label", "show", "orders", "--json").document["differences"]
    settled = run("label", "set", "orders", differs["item"], "pump", "--together")
    assert settled.status == 0 and "0 not settled" in settled.out
    written = run("label", "finish", "orders", source, "--dev", "0.5")
    assert written.status == 0, written.err
    assert "4 items labelled, 0 not settled" in written.out and "kappa 0.00" in written.out
    found = read(source)
    assert sum(len(found.splits[name]) for name in ("train", "dev")) == 4
    assert len(found.splits["unlabelled"]) == 26
    told = json.loads((source / "labelling.json").read_text())
    assert (told["agreement"], told["settled_together"]) == (0.75, 1)
    again = run("label", "finish", "orders", source, "--json")
    assert again.code == (1, "item_unknown")
    assert run("label", "remove", "orders").status == 0
    assert run("label", "show", "orders", "--json").code == (1, "label_queue_unknown")


@pytest.mark.parametrize(
    ("page", "begins", "name"),
    [
        ("datasets", "appliance label new plant", "plant"),
        ("method-guide", "appliance label next new-orders", "new-orders"),
    ],
)
def test_two_people_type_the_block_of_a_guide(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, page: str, begins: str, name: str
) -> None:
    monkeypatch.chdir(tmp_path)
    write_task(tmp_path / "excavator-task")
    write(tmp_path / name, dataset([replace(item, expected=None) for item in orders(2)]))
    *new, next_, put, finish = typed(page, begins)
    made = run(*(new[0] if new else ("label", "new", name, *RATERS, "--task", "excavator-task")))
    assert made.status == 0, made.err
    for rater in ("anna", "ben"):
        monkeypatch.setattr(Person, "name", rater)
        for _ in range(2):
            item = str(run(*next_, "--json").document["item"])
            done = run(*(item if word in ("ITEM", "n1") else word for word in put))
            assert done.status == 0, done.err
    done = run(*finish)
    assert done.status == 0 and "2 items labelled, 0 not settled" in done.out, done.err


def test_the_labels_of_a_task_or_of_the_dataset(run: Run, source: Path, tmp_path: Path) -> None:
    task = write_task(tmp_path / "task")
    made = run("label", "new", source, *RATERS, "--task", task, "--json").document
    assert made["labels"] == ["hydraulics", "engine"]
    none = run("label", "new", source, *RATERS, "--name", "other", "--json")
    assert none.code == (1, "label_unknown")
    items = orders(33)
    mixed = [*items[:30], *(replace(item, expected=None) for item in items[30:])]
    write(tmp_path / "mixed", dataset(mixed))
    found = run("label", "new", tmp_path / "mixed", *RATERS, "--json").document
    assert set(found["labels"]) == {item.label for item in items[:30]}


def test_a_dataset_stays_as_it_was_while_raters_are_at_work(run: Run, source: Path) -> None:
    run("label", "new", source, *RATERS, "--label", "hose", "--label", "pump")
    before = {path.name: path.read_bytes() for path in source.iterdir()}
    assert run("label", "finish", "orders", source, "--json").code == (1, "labels_unfinished")
    assert run("label", "next", "orders", "--json").code == (1, "labels_unfinished")  # a third one
    assert {path.name: path.read_bytes() for path in source.iterdir()} == before


def test_hostile_texts_do_not_reach_the_terminal(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Person, "name", "anna")
    items = [
        replace(item, expected=None, input={"text": f"\x1b]0;owned\x07 {item.text}"})
        for item in orders(3)
    ]
    write(tmp_path / "bad", dataset(items))
    run("label", "new", tmp_path / "bad", *RATERS, "--label", "hose", "--label", "pump")
    shown = run("label", "next", "bad").out
    assert "owned" in shown and "\x1b" not in shown
