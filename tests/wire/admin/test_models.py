"""Schemas of the admin socket."""

import inspect

import pytest
from pydantic import BaseModel, ValidationError

from appliance.errors import BadRequest
from appliance.wire.admin import models
from appliance.wire.admin.keys import KeyCreate
from appliance.wire.admin.models import (
    EntryQuery,
    Model,
    StepProgress,
    StreamLine,
    Verification,
    use_of,
    why_not,
)

SCHEMAS = {
    name: kind
    for name, kind in vars(models).items()
    if inspect.isclass(kind) and issubclass(kind, BaseModel) and kind.__module__ == models.__name__
}
REQUESTS = [
    "ModelImport", "ApprovalUpload", "Reason", "VerifyRange", "EntryQuery", "WitnessAnswer",
    "Erasure", "OlderHead",
]  # fmt: skip
PUBLIC = [name for name in SCHEMAS if not name.startswith("_")]


@pytest.mark.parametrize("name", PUBLIC)
def test_requests_refuse_and_replies_allow_what_is_new(name: str) -> None:
    assert SCHEMAS[name].model_config["extra"] == ("forbid" if name in REQUESTS else "ignore")
    assert SCHEMAS[name].__doc__


def test_a_reply_of_a_newer_server_can_be_read() -> None:
    line = {"phase": "copying", "done": 1, "total": 2, "rate": 3}
    assert StepProgress.model_validate(line) == StepProgress(phase="copying", done=1, total=2)


def test_a_request_with_an_unknown_field_is_refused() -> None:
    with pytest.raises(ValidationError):
        KeyCreate.model_validate({"name": "app", "rmp": 1})


def test_a_wrong_request_is_refused_before_it_is_sent_and_names_the_field() -> None:
    with pytest.raises(BadRequest) as caught:
        EntryQuery.of(limit=0)
    assert (caught.value.code, caught.value.param) == ("invalid_value", "limit")
    assert EntryQuery.of(limit=1).limit == 1


def test_a_range_is_called_from_and_to_on_the_wire() -> None:
    document = {
        "ok": True, "entries": 1, "from": 0, "to": 0, "root": "00", "problems": [],
        "problem_count": 0, "open_intents": 0, "unwitnessed": 1,
    }  # fmt: skip
    found = Verification.model_validate(document)
    assert (found.first, found.last) == (0, 0)
    assert found.model_dump(by_alias=True) == document


def test_a_result_keeps_its_nulls_on_its_way_through_a_stream() -> None:
    line = StreamLine(result={"code": None, "nested": {"digest": None}})
    sent = line.model_dump_json(exclude_none=True)
    assert StreamLine.model_validate_json(sent) == line


def test_what_is_not_in_memory_has_no_use() -> None:
    def model(**told: object) -> Model:
        return Model.model_validate({"id": "m", "state": "approved", "digest": None, **told})

    assert use_of(model()) == "-" and why_not(model()) == ""
    assert use_of(model(activity="busy", pinned=True)) == "busy, pinned"
    assert why_not(model(code="file_changed", unloaded="idle")) == "file_changed"
