"""An author's warnings about a schema, before a request."""

import json

import pytest

from appliance.errors import TaskRefused
from appliance.tasks.enforcement import check_form
from appliance.tasks.loaded import LoadedTask, load
from tests.tasks.example import FIELDS, LABELS

JSON = FIELDS.replace('encoding = "values"', 'encoding = "json"')


def loaded(text: str, **rule: object) -> LoadedTask:
    schema = {"type": "object", "properties": {"part": rule}, "required": ["part"],
              "additionalProperties": False}  # fmt: skip
    files = {"task.toml": text, "schema.json": json.dumps(schema)}
    return load(lambda name, most: files[name].encode()[:most], "t" * 64)


@pytest.mark.parametrize(
    "rule",
    [{"type": "array", "uniqueItems": True}, {"not": {"type": "string"}}],
)
def test_a_keyword_that_no_mask_can_enforce_is_refused_by_name(rule: dict[str, object]) -> None:
    with pytest.raises(TaskRefused) as caught:
        check_form(loaded(JSON, **rule))
    assert caught.value.code == "task_schema_invalid"
    assert max(rule) in caught.value.message


@pytest.mark.parametrize("text", [FIELDS, JSON])
def test_what_can_be_enforced_passes_in_both_encodings(text: str) -> None:
    check_form(loaded(text, enum=["hose", "pump"]))


def test_labels_have_no_schema() -> None:
    check_form(loaded(LABELS))
