"""A first task from items: what is written is a task, and says what a person has to decide."""

import json
import tomllib
from pathlib import Path
from typing import Any

import pytest

from appliance.datasets.items import Item
from appliance.errors import ApplianceError, TaskRefused
from appliance.tasks import values
from appliance.tasks.drafting import TaskDraft, codes, files, form_of, schema_of, write
from appliance.tasks.loaded import load

DIGEST = "16399c58348341f1727030d1fc312a7fb25819f69fcbb6d15fd0687f698a49c4"
DRAFT = TaskDraft("orders", 'Work order to "system".', "smol", DIGEST)


def items(*expected: Any, **inputs: Any) -> list[Item]:
    sent = inputs or {"text": "hose leaks"}
    return [Item(f"t{n}", f"g{n}", sent, each) for n, each in enumerate(expected)]


def task(made: dict[str, bytes]) -> Any:
    return load(lambda name, most: made[name][:most], "d")


def test_labels() -> None:
    train = items(*["engine", "hydraulics"] * 4)
    made = files(DRAFT, train, train[:2])
    assert sorted(made) == ["examples.jsonl", "task.toml"]
    found = task(made)
    assert found.task.output.labels == ("engine", "hydraulics")
    assert found.example_ids == ("t0", "t1")
    assert found.task.description == DRAFT.description
    assert "engine, hydraulics" in found.task.prompt.system
    text = made["task.toml"].decode()
    assert text.count("\n# ") + text.startswith("# ") >= 7  # it explains itself
    assert tomllib.loads(text)["gate"]["margin"] == 0.05


def test_labels_that_begin_alike_get_codes_that_the_prompt_explains() -> None:
    train = items(*["gpl-2.0", "gpl-2.0-plus"] * 4)
    found = task(files(DRAFT, train))
    assert found.task.output.codes == ("A", "B")
    assert "A (gpl-2.0), B (gpl-2.0-plus)" in found.task.prompt.system
    assert codes(["a", "b"]) == []
    many = codes([f"x{n}" for n in range(120)])
    assert len(set(many)) == 120 and {len(code) for code in many} == {3}


def test_fields_become_a_schema_and_the_shorter_encoding_that_can_say_all() -> None:
    train = items(
        *[{"part": "hose", "hours": 2, "note": None}, {"part": "pump", "hours": 2.5, "note": "x"}]
        * 3
    )
    found = task(files(DRAFT, train, train[:1]))
    assert found.schema.document["properties"] == {
        "part": {"enum": ["hose", "pump"]},
        "hours": {"type": "number"},
        "note": {"enum": ["x", None]},
    }
    assert found.task.output.encoding == "values"
    values.check(found.schema)
    optional = task(files(DRAFT, items({"a": True}, {"a": False, "b": "x"})))
    assert optional.task.output.encoding == "json"
    assert optional.schema.required == {"a"}


def test_texts_that_seldom_repeat_are_free_with_a_length() -> None:
    found = schema_of(items(*({"host": f"10.0.0.{n}"} for n in range(9))))
    assert found["properties"]["host"] == {"type": "string", "maxLength": 20}


def test_forms_are_read_from_the_answers() -> None:
    assert form_of(items("a", "b", "a", "b")) == "labels"
    assert form_of(items({"a": 1})) == "fields"
    assert form_of(items(*(f"answer {n}" for n in range(9)))) == "text"


def test_several_fields_of_input_some_of_them_optional() -> None:
    train = [
        Item("a", "a", {"title": "leak", "hours": 5}, "x"),
        Item("b", "b", {"title": "noise", "hours": None}, "y"),
    ]
    found = task(files(DRAFT, train, train)).task
    assert [(f.name, f.required) for f in found.input] == [("title", True), ("hours", False)]
    assert found.prompt.user == "title: {{ title }}\nhours: {{ hours }}"


@pytest.mark.parametrize(
    ("draft", "train"),
    [
        (DRAFT, []),
        (TaskDraft("bad id", "x", "smol", DIGEST), items("a", "b")),
        (TaskDraft("x", "x", "smol", "short"), items("a", "b")),
        (DRAFT, items("a", "b", **{"No Name": "x"})),
        (DRAFT, items({"a": [1]})),
        (TaskDraft("x", "x", "smol", DIGEST, encoding="values"), items({"a": 1}, {"a": 2, "b": 1})),
    ],
)
def test_what_makes_no_task_writes_nothing(draft: TaskDraft, train: list[Item]) -> None:
    with pytest.raises(TaskRefused):
        files(draft, train)


def test_a_directory_with_something_in_it_stays_as_it_is(tmp_path: Path) -> None:
    made = files(DRAFT, items("a", "b"))
    write(tmp_path / "new", made)
    assert (tmp_path / "new" / "task.toml").read_bytes() == made["task.toml"]
    with pytest.raises(ApplianceError) as caught:
        write(tmp_path, made)
    assert caught.value.code == "data_exists"
    assert json.dumps(sorted(p.name for p in tmp_path.iterdir())) == '["new"]'
