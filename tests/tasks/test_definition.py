"""`task.toml`: what is accepted, and that everything else is refused by name."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.errors import TaskRefused
from appliance.tasks.definition import (
    MAX_BYTES,
    LabelForm,
    Task,
    check_metric,
    parse,
    parse_schema,
    prefixes,
)
from tests.tasks.example import BLEND, CLASSIFIER, FIELDS, LABELS, SCHEMA


def refused(text: str | bytes) -> TaskRefused:
    with pytest.raises(TaskRefused) as caught:
        parse(text.encode() if isinstance(text, str) else text)
    return caught.value


def test_a_task_of_labels_reads_as_it_was_written() -> None:
    task = parse(LABELS.encode())
    assert (task.id, task.version, task.candidate.kind) == ("excavator-system", 1, "model")
    assert isinstance(task.output, LabelForm)
    assert task.output.written("engine") == "engine"
    assert task.gate.alpha == 0.05
    assert task.fields["text"].max_chars == 500
    assert task.on_defer == "error"


def test_codes_stand_for_labels() -> None:
    task = parse(LABELS.replace("[gate]", 'codes = ["A", "B", "C"]\n[gate]').encode())
    assert isinstance(task.output, LabelForm)
    assert task.output.written("engine") == "B"


@pytest.mark.parametrize(
    ("old", "new", "place"),
    [
        ("margin = 0.05", "margin = 0.05\nslack = 1", "slack"),
        ("margin = 0.05", "margin = -0.05", "$.gate.margin"),
        ("margin = 0.05", "margin = 0", "$.gate.margin"),
        ("version = 1", "version = 0", "$.version"),
        ("version = 1", "", "version"),
        ('id = "excavator-system"', 'id = "../etc"', "$.id"),
        ('form = "labels"', 'form = "novel"', "$.output"),
        ('digest = "16399c', 'digest = "XX399c', "$.candidate.digest"),
        ('"exact_match"', '"vibes"', "$.gate.metric"),
        ('name = "text"', 'name = "Text"', "$.input[0].name"),
        ("version = 1", "version = 1\nversion = 2", "overwrite"),
        ("version = 1", "version = ", "Invalid value"),
        ('"engine", "electrical"', "", "length"),
        ('"engine"', '" engine"', "blank"),
        ('"engine"', '"en\\u202egine"', "control"),
        ("[gate]", 'codes = ["A"]\n[gate]', "differ in length"),
        (
            'input = [{ name = "text", max_chars = 500 }]',
            'input = [{ name = "a" }, { name = "a" }]',
            "one name",
        ),
    ],
)
def test_what_is_wrong_is_refused_with_its_place(old: str, new: str, place: str) -> None:
    assert old in LABELS
    error = refused(LABELS.replace(old, new, 1))
    assert error.code == "task_invalid"
    assert place in str(error)


OUTPUTS = {
    "labels": LABELS.split("[output]")[1].split("[gate]")[0],
    "fields": FIELDS.split("[output]")[1].split("[gate]")[0],
    "text": '\nform = "text"\n',
}


@pytest.mark.parametrize("form", OUTPUTS)
@pytest.mark.parametrize(
    ("metric", "fits"),
    [
        ("exact_match", {"labels", "fields", "text"}),
        ("normalised_match", {"labels", "text"}),
        ("field_accuracy", {"fields"}),
        ("top_3", {"labels"}),
    ],
)
def test_a_metric_measures_the_forms_that_it_fits(form: str, metric: str, fits: set[str]) -> None:
    gate = f'[gate]\nmetric = "{metric}"\nmargin = 0.05\n'
    task = parse((LABELS.split("[output]")[0] + "[output]" + OUTPUTS[form] + gate).encode())
    if form in fits:
        check_metric(task)
        return
    with pytest.raises(TaskRefused) as caught:
        check_metric(task)
    assert caught.value.code == "task_metric_unfit" and form in caught.value.message


def test_a_classifier_and_a_blend_name_their_coefficients() -> None:
    alone, both = parse(CLASSIFIER.encode()).candidate, parse(BLEND.encode()).candidate
    assert (alone.kind, alone.model, alone.classifier) == ("classifier", "", "classifier.json")
    assert (both.kind, both.model, both.weight) == ("blend", "smollm2-135m", 0.5)


@pytest.mark.parametrize(
    ("text", "old", "new", "place"),
    [
        (LABELS, 'model = "smollm2-135m"', "", "together"),
        (LABELS, "[prompt]", 'classifier = "c.json"\n[prompt]', "has no classifier"),
        (LABELS, "[prompt]", "weight = 0.5\n[prompt]", "has no weight"),
        (CLASSIFIER, 'classifier = "classifier.json"', "", "needs a classifier"),
        (CLASSIFIER, "[prompt]", "weight = 0.5\n[prompt]", "has no weight"),
        (CLASSIFIER, '"classifier.json"', '"../classifier.json"', "$.candidate.classifier"),
        (CLASSIFIER, '"classifier"', '"pickle"', "$.candidate.kind"),
        (BLEND, "weight = 0.5", "", "needs a weight"),
        (BLEND, "weight = 0.5", "weight = 1.5", "$.candidate.weight"),
        (BLEND, "weight = 0.5", "weight = nan", "candidate"),
        (BLEND, 'classifier = "classifier.json"', "", "needs a classifier"),
        (FIELDS, "[prompt]", 'kind = "classifier"\n[prompt]', "needs a classifier"),
        (
            FIELDS,
            "[prompt]",
            'kind = "blend"\nclassifier = "c.json"\nweight = 1\n[prompt]',
            "labels only",
        ),
    ],
)
def test_a_candidate_has_what_its_kind_needs_and_nothing_else(
    text: str, old: str, new: str, place: str
) -> None:
    assert old in text
    error = refused(text.replace(old, new, 1))
    assert error.code == "task_invalid"
    assert place in str(error)


def test_text_that_is_no_utf8_and_too_much_of_it_are_refused() -> None:
    assert "UTF-8" in str(refused(LABELS.encode().replace(b"engine", b"\xff")))
    assert "more than" in str(refused(LABELS + "#" * MAX_BYTES))
    assert refused("a = " + "[" * 100_000).code == "task_invalid"


@pytest.mark.parametrize("labels", ['"gpl-2.0", "gpl-2.0-plus"', '"b", "a", "b"'])
def test_a_label_that_begins_another_is_refused(labels: str) -> None:
    text = LABELS.replace('"hydraulics", "engine", "electrical"', labels)
    assert refused(text).code == "task_labels_ambiguous"


def test_codes_tell_such_labels_apart() -> None:
    text = LABELS.replace('"hydraulics", "engine", "electrical"', '"gpl-2.0", "gpl-2.0-plus"')
    task = parse(text.replace("[gate]", 'codes = ["A", "B"]\n[gate]').encode())
    assert isinstance(task.output, LabelForm)
    assert task.output.written("gpl-2.0-plus") == "B"
    for codes in ('["A", "AB"]', '["A", "A"]'):
        again = text.replace("[gate]", f"codes = {codes}\n[gate]")
        assert refused(again).code == "task_labels_ambiguous"
    twice = LABELS.replace('"engine"', '"hydraulics"').replace(
        "[gate]", 'codes = ["A", "B", "C"]\n[gate]'
    )
    assert refused(twice).code == "task_labels_ambiguous"


@given(st.lists(st.text("ab", min_size=1, max_size=4), min_size=2, max_size=8))
def test_prefixes_finds_some_pair_whenever_there_is_one(words: list[str]) -> None:
    pairs = [
        (a, b)
        for i, a in enumerate(words)
        for j, b in enumerate(words)
        if i != j and b.startswith(a)
    ]
    found = prefixes(tuple(words))
    assert bool(found) == bool(pairs)
    assert set(found) <= set(pairs)


def test_fields_name_their_schema() -> None:
    task: Task = parse(FIELDS.encode())
    assert task.output.schema == "schema.json"  # type: ignore[union-attr]  # it is of this form
    assert parse_schema(json.dumps(SCHEMA).encode()).document == SCHEMA


@pytest.mark.parametrize(
    "schema",
    [
        b"{",
        b"[" * 100_000,
        b"[]",
        b'{"type": "object"}',
        b'{"type": "object", "properties": {"a": {}}}',
        b'{"type": "array", "properties": {"a": {}}, "additionalProperties": false}',
    ],
)
def test_a_schema_that_names_no_closed_object_is_refused(schema: bytes) -> None:
    with pytest.raises(TaskRefused) as caught:
        parse_schema(schema)
    assert caught.value.code == "task_schema_invalid"


@pytest.mark.parametrize(
    "a",
    [
        {"$ref": "https://example.org/other.json"},
        {"$ref": "#"},
        {"type": "string", "pattern": "^+x$"},
        {"x-guidance": {"lenient": True}},
        {"type": "no such type"},
        {"not": {"items": [{"not": {}}] * 3}, "pattern": 5},
    ],
)
def test_a_schema_that_cannot_be_enforced_is_refused(a: dict[str, object]) -> None:
    schema = {
        "type": "object",
        "properties": {"a": a},
        "required": ["a"],
        "additionalProperties": False,
    }
    with pytest.raises(TaskRefused) as caught:
        parse_schema(json.dumps(schema).encode())
    assert caught.value.code == "task_schema_invalid"
