"""`appliance queue` by commands."""

import json
from pathlib import Path

from appliance.app import open_services
from appliance.routing.people import Form
from tests.api.admin.lab import LabData
from tests.api.admin.test_queue import put
from tests.cli.conftest import Run
from tests.smol import SMALL


def test_a_person_answers(lab: LabData, run: Run, tmp_path: Path) -> None:
    assert run("queue", "list").out.startswith("No items. Routes with")
    with open_services(lab.data, config=SMALL) as services:
        one = put(services).id
        two = put(services, "req-2", Form(schema={"type": "object"})).id
    assert one in run("queue", "list").out
    shown = run("queue", "show", one).out
    assert "leak, noise" in shown and "order: It drips, req-1." in shown
    assert run("queue", "answer", one, "rust", "--json").code == (1, "queue_answer_unfit")
    assert "answered by uid:" in run("queue", "answer", one, "leak").out
    assert run("queue", "answer", one, "leak", "--json").code == (1, "queue_item_closed")
    assert run("queue", "answer", two, "not json").status == 2
    assert run("queue", "answer", two, '{"part": "pump"}').status == 0
    out = tmp_path / "answers.jsonl"
    assert "2 labelled items" in run("queue", "labels", "orders", "--out", out).out
    lines = [json.loads(line) for line in out.read_text().splitlines()]
    assert {line["id"]: line["expected"] for line in lines} == {
        "req-1": "leak", "req-2": {"part": "pump"},
    }  # fmt: skip
    again = run("queue", "labels", "orders", "--out", out, "--json")
    assert again.code == (1, "data_exists")
    assert "answered" in run("queue", "list", "--all").out
