"""An app's input: fields or text, checked by name, rendered in a sandbox."""

import json

import pytest

from appliance.errors import BadRequest, TaskRefused
from appliance.tasks import inputs
from appliance.tasks.definition import Task, parse
from appliance.tasks.inputs import Example, Renderer, checked, values_of
from tests.tasks.example import LABELS

TASK = parse(LABELS.encode())
FIELDS = 'input = [{ name = "text" }, { name = "asset" }, { name = "site", required = false }]'
MANY = LABELS.replace('input = [{ name = "text", max_chars = 500 }]', FIELDS)
THREE = parse(MANY.encode())


def with_template(template: str) -> Task:
    return parse(
        LABELS.replace('user = "Work order: {{ text }}"', f"user = {json.dumps(template)}").encode()
    )


def refused(task: Task, content: str) -> str:
    with pytest.raises(BadRequest) as caught:
        values_of(task, content)
    assert caught.value.code == "task_input_invalid"
    return str(caught.value)


def test_plain_text_is_the_one_required_field() -> None:
    assert values_of(TASK, "hose leaks") == {"text": "hose leaks"}
    assert values_of(TASK, '{"text": "hose leaks"}') == {"text": "hose leaks"}


def test_text_that_only_looks_like_json_is_text() -> None:
    for text in ("{not json", '{"text"', "{}" * 3):
        assert values_of(TASK, text) == {"text": text}
    text = '{"torn": "hose"}'
    assert values_of(TASK, json.dumps({"text": text})) == {"text": text}


@pytest.mark.parametrize(
    ("content", "named"),
    [
        ('{"foo": "x"}', "no field 'foo'"), ('{"text": "a", "foo": "x"}', "no field 'foo'"),
        ("{}", "'text' is missing"), (' {"Text": "x"}', "no field 'Text'"),
    ],
)  # fmt: skip
def test_an_object_is_never_taken_as_the_text_of_the_one_field(content: str, named: str) -> None:
    assert named in refused(TASK, content)


def test_several_fields_come_as_json_and_an_optional_one_may_be_left_out() -> None:
    sent = {"text": "hose leaks", "asset": "EX-5"}
    assert values_of(THREE, json.dumps(sent)) == {**sent, "site": ""}


@pytest.mark.parametrize(
    ("content", "named"),
    [
        ("hose leaks", "'asset'"),
        ('{"text": "a"}', "'asset' is missing"),
        ('{"text": "a", "asset": 5}', "'asset' is not text"),
        ('{"text": "a", "asset": null}', "'asset' is missing"),
        ('{"text": "a", "asset": "b", "shift": "c"}', "'site' (optional)"),
        ("[" * 100_000, "JSON object"),
        ("{" * 100_000, "JSON object"),
    ],
)
def test_what_the_task_cannot_take_is_refused_by_name(content: str, named: str) -> None:
    assert named in refused(THREE, content)


def test_a_value_that_is_too_long_is_refused_and_not_cut() -> None:
    assert values_of(TASK, "x" * 500) == {"text": "x" * 500}
    assert "more than 500" in refused(TASK, "x" * 501)


def test_fields_of_an_item_are_checked_alike() -> None:
    with pytest.raises(BadRequest, match="has no field 'shift'"):
        checked(TASK, {"text": "a", "shift": "night"})


def test_the_conversation_begins_with_what_is_the_same_for_every_input() -> None:
    renderer = Renderer(TASK, [Example({"text": "no start"}, "electrical")])
    one, other = renderer.messages({"text": "a"}), renderer.messages({"text": "b"})
    assert one[:-1] == other[:-1] == renderer.prefix
    assert [turn["role"] for turn in one] == ["system", "user", "assistant", "user"]
    assert one[-1] == {"role": "user", "content": "Work order: a"}
    assert one[2]["content"] == "electrical"


@pytest.mark.parametrize(
    "template",
    [
        "{{ text",
        "{{ other }}",
        "{% for %}",
        "{{ range(9) }}",
        "{{ cycler }}",
        "{% include 'x' %}{{ text }",
    ],
)
def test_a_template_that_needs_what_the_task_lacks_is_refused(template: str) -> None:
    with pytest.raises(TaskRefused) as caught:
        Renderer(with_template(template))
    assert caught.value.code == "task_template_invalid"


@pytest.mark.parametrize(
    "template",
    [
        "{{ text.__class__.__mro__ }}",
        "{{ text.format.__globals__ }}",
        "{{ '%s' % text.nothing }}",
        "{{ 'x' * 2000000 }}",
        "{% include text %}",
    ],
)
def test_a_template_reaches_nothing_and_is_bounded(template: str) -> None:
    with pytest.raises(BadRequest) as caught:
        Renderer(with_template(template)).messages({"text": "a"})
    assert caught.value.code == "task_input_invalid"


def test_values_are_not_templates() -> None:
    (_, turn) = Renderer(TASK).messages({"text": "{{ 7 * 7 }}{% raw %}"})
    assert turn["content"] == "Work order: {{ 7 * 7 }}{% raw %}"


def test_the_bound_is_on_the_whole_message(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(inputs, "MAX_RENDERED", 20)
    renderer = Renderer(TASK)
    assert renderer.messages({"text": "12345678"})
    with pytest.raises(BadRequest, match="more than 20"):
        renderer.messages({"text": "123456789"})
