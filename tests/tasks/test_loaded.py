"""A task's directory as a whole: its files are read and checked before it can serve."""

import hashlib
import json
from collections.abc import Mapping
from typing import Any

import pytest

from appliance.errors import Refused, TaskRefused
from appliance.tasks.classifiers import document
from appliance.tasks.classifiers.linear import Linear
from appliance.tasks.classifiers.neighbours import NeighbourModel
from appliance.tasks.definition import parse
from appliance.tasks.loaded import LoadedTask, answer_text, load
from appliance.tasks.schemas import ObjectSchema
from tests.tasks.example import (
    BLEND,
    CLASSIFIER,
    FIELDS,
    LABELS,
    SCHEMA,
    by_vectors,
    coefficients,
)

EXAMPLES = '{"id": "t1", "input": {"text": "no start"}, "expected": "electrical"}\n'
SHOWN = LABELS.replace("[output]", 'examples = "examples.jsonl"\n[output]', 1)


def loaded(toml: str, **files: str) -> LoadedTask:
    held = {name.replace("_", "."): text for name, text in files.items()}
    held["task.toml"] = toml
    return load(lambda name, most: held[name].encode()[:most], "d" * 64)


def refused(toml: str, **files: str) -> str:
    with pytest.raises(Refused) as caught:
        loaded(toml, **files)
    return caught.value.code


def test_examples_stand_before_the_input() -> None:
    task = loaded(SHOWN, examples_jsonl=EXAMPLES)
    assert task.example_ids == ("t1",)
    _, asked, answered = task.renderer.prefix
    assert asked["content"] == "Work order: no start"
    assert answered["content"] == "electrical"


def test_a_task_of_fields_has_its_schema() -> None:
    assert loaded(FIELDS, schema_json=json.dumps(SCHEMA)).schema.document == SCHEMA


@pytest.mark.parametrize(
    "line",
    [
        "{",
        "[]",
        "5",
        '{"id": "a", "input": {"text": "b"}}',
        '{"id": 5, "input": {"text": "b"}, "expected": "engine"}',
        '{"id": "a", "input": "b", "expected": "engine"}',
        '{"id": "a", "input": {"text": "b"}, "expected": "wings"}',
        '{"id": "a", "input": {"text": "b"}, "expected": ["engine"]}',
        '{"id": "a", "input": {"words": "b"}, "expected": "engine"}',
        "[" * 100_000,
    ],
)
def test_an_example_that_is_no_item_is_refused(line: str) -> None:
    assert refused(SHOWN, examples_jsonl=EXAMPLES + line) == "task_examples_invalid"


def test_too_many_examples_are_refused() -> None:
    assert refused(SHOWN, examples_jsonl=EXAMPLES * 201) == "task_examples_invalid"


def test_a_schema_is_held_to_the_encoding() -> None:
    nested = {"type": "object", "properties": {"a": {"type": "array"}}, "required": ["a"]}
    text = json.dumps({**nested, "additionalProperties": False})
    assert refused(FIELDS, schema_json=text) == "task_schema_invalid"
    assert loaded(FIELDS.replace('"values"', '"json"'), schema_json=text).schema.names


@pytest.mark.parametrize(
    ("toml", "schema", "expected", "written"),
    [
        (LABELS, {}, "engine", "engine"),
        (LABELS.replace("[gate]", 'codes = ["A", "B", "C"]\n[gate]'), {}, "engine", "B"),
        (
            FIELDS.replace('"values"', '"json"'),
            SCHEMA,
            {"note": "n", "part": "hose"},
            '{"part":"hose","note":"n"}',
        ),
    ],
)
def test_what_a_model_should_write(
    toml: str, schema: Mapping[str, Any], expected: Any, written: str
) -> None:
    assert answer_text(parse(toml.encode()), ObjectSchema(schema), expected) == written


def test_what_the_form_cannot_say_is_refused() -> None:
    for toml, expected in ((LABELS, "wings"), (LABELS, {"a": 1}), (FIELDS, "engine")):
        with pytest.raises(TaskRefused) as caught:
            answer_text(parse(toml.encode()), ObjectSchema(SCHEMA), expected)
        assert caught.value.code == "task_answer_unfit"


def test_a_classifier_and_a_blend_have_their_coefficients_and_the_digest_of_them() -> None:
    written = coefficients()
    for toml in (CLASSIFIER, BLEND):
        task = loaded(toml, classifier_json=written)
        assert isinstance(task.classifier, Linear)
        assert task.classifier_digest == hashlib.sha256(written.encode()).hexdigest()
    bare = loaded(LABELS)
    assert (bare.classifier, bare.classifier_digest) == (None, "")


MINILM = 'model = "minilm"\ndigest = "' + "ab" * 32 + '"\n[prompt]'


@pytest.mark.parametrize(
    ("toml", "written", "code"),
    [
        (CLASSIFIER, "{", "coefficients_invalid"),
        (CLASSIFIER, "\x80\x04.", "coefficients_invalid"),  # how a pickle begins
        (CLASSIFIER, coefficients(without="engine"), "task_invalid"),
        (CLASSIFIER.replace(', "electrical"', ""), coefficients(), "task_invalid"),
        (CLASSIFIER.replace("[prompt]", MINILM), coefficients(), "task_invalid"),
        (CLASSIFIER, by_vectors("ab" * 32), "task_invalid"),
        (CLASSIFIER.replace("[prompt]", MINILM), by_vectors("cd" * 32), "task_invalid"),
        (BLEND, by_vectors("ab" * 32), "task_invalid"),
    ],
)
def test_coefficients_that_do_not_fit_the_task_are_refused(
    toml: str, written: str, code: str
) -> None:
    assert refused(toml, classifier_json=written) == code


def test_coefficients_beyond_the_limit_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(document, "MAX_BYTES", 100)
    assert refused(CLASSIFIER, classifier_json=coefficients()) == "coefficients_invalid"


def test_neighbours_are_found_by_the_vectors_of_the_named_model() -> None:
    toml = CLASSIFIER.replace("[prompt]", MINILM)
    assert isinstance(
        loaded(toml, classifier_json=by_vectors("ab" * 32)).classifier, NeighbourModel
    )
