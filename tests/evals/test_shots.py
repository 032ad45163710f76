"""Examples of a prompt: of train alone, one of each label in turn, in no order of the file."""

import json

from appliance.datasets.items import Item
from appliance.evals.shots import choose, with_examples
from appliance.tasks.loaded import LoadedTask, load
from tests.evals.orders import TASK, item


def train(count: int) -> list[Item]:
    made = [item(n, "train") for n in range(count)]
    return [
        Item(str(m["id"]), str(m["group"]), dict(m["input"]), str(m["expected"]))  # type: ignore[call-overload]
        for m in made
    ]


def loaded(text: str = TASK) -> LoadedTask:
    return load(lambda name, most: text.encode()[:most], "d" * 64)


def test_labels_take_turns_and_the_order_of_the_file_does_not_matter() -> None:
    some = train(40)
    chosen = choose(some, 6)
    assert [c.label for c in chosen].count("engine") == 3
    assert choose(list(reversed(some)), 6) == chosen
    assert choose(some, 2) == chosen[:2]
    assert len(choose(some, 500)) == 40


def test_a_rare_label_is_shown_before_a_common_one_is_shown_twice() -> None:
    some = train(20)
    rare = [Item(i.id, i.group, i.input, "hydraulics") for i in some[1:]]
    labels = [c.label for c in choose([Item("x", "x", {"text": "turbo"}, "engine"), *rare], 2)]
    assert sorted(labels) == ["engine", "hydraulics"]


def test_the_prompt_shows_them_and_what_does_not_fit_is_left_out() -> None:
    some = train(4)
    wrong = Item("w", "w", {"other": "x"}, "engine")
    shown = with_examples(loaded(), [*some[:2], wrong])
    assert shown.example_ids == ("train000", "train001")
    turns = shown.renderer.messages({"text": "turbo"})
    assert [turn["role"] for turn in turns] == [
        "system", "user", "assistant", "user", "assistant", "user",
    ]  # fmt: skip
    assert turns[2]["content"] == some[0].label
    assert with_examples(shown, []).renderer.messages({"text": "x"})[0]["role"] == "system"
    assert with_examples(shown, []).example_ids == ()


def test_fields_are_shown_as_the_model_writes_them() -> None:
    text = TASK.split("[output]")[0] + (
        '[output]\nform = "fields"\nschema = "schema.json"\n[gate]\n'
        'metric = "field_accuracy"\nmargin = 0.05\n'
    )
    schema = {
        "type": "object", "properties": {"part": {"type": ["string", "null"]}},
        "required": ["part"], "additionalProperties": False,
    }  # fmt: skip
    files = {"task.toml": text.encode(), "schema.json": json.dumps(schema).encode()}
    task = load(lambda name, most: files[name][:most], "d" * 64)
    made = Item("a", "a", {"text": "hose leaks"}, {"part": "hose"})
    turns = with_examples(task, [made]).renderer.messages({"text": "x"})
    assert turns[2]["content"] == '{"part":"hose"}'
