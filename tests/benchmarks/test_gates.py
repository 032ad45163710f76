"""The script of the gate's verdicts: its tasks and its table. No model is asked."""

import json
from pathlib import Path

import pytest

from appliance.tasks import definition
from benchmarks import gates
from benchmarks.gates import CANDIDATES, CHECKOUT, FIELDS, TASKS, Row

DIGEST = "ab" * 32


@pytest.mark.parametrize("data", TASKS)
def test_each_candidate_is_a_task_without_a_floor(data: str) -> None:
    standing = (CHECKOUT / "models" / "examples" / TASKS[data] / "task.toml").read_text()
    for name, candidate in gates.candidates(data).items():
        task = definition.parse(
            gates.task_text(standing, candidate, "bench:tuned", DIGEST).encode()
        )
        assert task.candidate.kind == candidate.kind and task.gate.floor == 0, name
        assert bool(task.prompt.examples) == bool(candidate.shots)
        assert task.gate.margin == 0.05


def test_five_candidates_and_more_hold_a_language_model() -> None:
    assert sum(bool(each.model) for each in CANDIDATES.values()) >= 5 and FIELDS


def test_solved_items_are_short_ones_of_every_label() -> None:
    items = [
        {"id": f"i{n}", "expected": label, "input": {"text": text}}
        for n, (label, text) in enumerate(
            [("a", "x"), ("a", "one two three"), ("a", "one two three four"), ("b", "short")]
        )
    ]
    assert [item["id"] for item in gates.shown(items, 1)] == ["i1", "i3"]


def row(**changes: object) -> Row:
    given = {
        "data": "licences", "candidate": "regression", "incumbent": "majority", "verdict": "pass",
        "low": -0.02, "high": 0.03, "groups": 571, "groups_needed": 0, "items": "all",
        "regression": 0.9, "answer": "Pass.", "seconds": 1, "when": "2026-11-27", "commit": "x",
    }  # fmt: skip
    return Row(**{**given, **changes})  # type: ignore[arg-type]


def test_a_row_replaces_an_earlier_one(tmp_path: Path) -> None:
    sheet = tmp_path / "gates.json"
    gates.keep(row(verdict="fail"), sheet)
    gates.keep(row(data="excavators"), sheet)
    gates.keep(row(verdict="underpowered", groups_needed=900), sheet)
    kept = json.loads(sheet.read_text())
    assert [(each["data"], each["verdict"]) for each in kept] == [
        ("excavators", "pass"), ("licences", "underpowered"),
    ]  # fmt: skip
    said = sheet.with_suffix(".md").read_text()
    assert "| licences | regression | majority | underpowered |" in said
    assert "| -2 to 3 | 571 | all | 90% |" in said
