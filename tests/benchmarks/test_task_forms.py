"""The tasks whose forms are measured: each can be read, and the peer's grammar says the same."""

import json
from pathlib import Path

from appliance.tasks import catalogue
from appliance.trust.bytes.directory import open_artifact
from benchmarks.task_forms import FORMS, Orders, gbnf, tasks


def orders() -> Orders:
    made = Orders.__new__(Orders)
    made.pairs = [("hose leaks", "hydraulics"), ("piston broken", "engine")]
    made.labels = ["engine", "hydraulics"]
    made.asked = ["pump noisy"]
    values = {"enum": ['Missing "/ Loose', None]}
    made.schema = {
        "type": "object", "properties": {"action": values}, "required": ["action"],
        "additionalProperties": False,
    }  # fmt: skip
    return made


def test_every_form_is_a_task_that_can_be_imported(tmp_path: Path) -> None:
    made = tasks(tmp_path, orders(), "ab" * 32)
    assert tuple(made) == FORMS
    for path in made.values():
        with open_artifact(path) as artifact:
            assert catalogue.vet(artifact).kept().kind == "task"


def test_the_grammar_of_the_peer_allows_the_same_answers() -> None:
    assert gbnf(orders(), "labels") == 'root ::= "A" | "B"'
    assert gbnf(orders(), "spelled") == 'root ::= "engine" | "hydraulics"'
    rule = gbnf(orders(), "json").splitlines()[1]
    first = rule.removeprefix("action ::= ").split(" | ")[0]
    assert json.loads(json.loads(first)) == 'Missing "/ Loose'
