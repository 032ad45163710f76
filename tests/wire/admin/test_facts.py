"""Facts of artifacts on the admin socket: the JSON that scripts read, structs on both ends."""

import json

import pytest

from appliance.facts import TaskFacts, UnreadFacts
from appliance.wire.admin.models import ModelDetail
from appliance.wire.admin.plan import ImportPlan
from tests.test_facts import ROWS


@pytest.mark.parametrize("row", [row for row, _ in ROWS.values()], ids=ROWS)
def test_they_are_told_as_they_are_kept(row: str) -> None:
    told = {"id": "a", "state": "approved", "digest": None, "facts": json.loads(row)}
    detail = ModelDetail.model_validate(told)
    assert not isinstance(detail.facts, dict)
    if "more" not in told["facts"]:  # what a later release says besides is not read
        assert detail.model_dump()["facts"] == told["facts"]
        assert json.loads(detail.model_dump_json())["facts"] == told["facts"]
    assert ModelDetail.model_validate(detail.model_dump()) == detail


def test_nothing_is_known_at_first() -> None:
    made = ImportPlan(path="/a", id="a", ok=True)
    assert made.facts == UnreadFacts() and made.model_dump()["facts"] == {}


def test_a_struct_is_taken_as_it_is() -> None:
    facts = TaskFacts(
        name="t",
        version=1,
        description="",
        model="m",
        model_digest="ab",
        form="text",
        metric="rouge_l",
    )
    assert ImportPlan(path="/a", id="a", ok=True, facts=facts).facts is facts
