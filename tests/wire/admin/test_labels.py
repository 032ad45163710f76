"""Schemas of the label queues."""

import pytest

from appliance.errors import BadRequest
from appliance.wire.admin.labels import LabelSet, LabelsNew

NEW: dict[str, object] = {
    "name": "orders", "data": "/d", "labels": ["a", "b"], "raters": ["anna", "ben"],
}  # fmt: skip
SET: dict[str, object] = {"item": "i", "label": "a"}


@pytest.mark.parametrize(
    "wrong",
    [
        {"name": "../x"}, {"name": ""}, {"labels": ["a"]}, {"raters": ["anna"]},
        {"raters": ["a", "b", "c"]}, {"limit": -1}, {"data": ""}, {"other": 1},
    ],
)  # fmt: skip
def test_what_makes_no_queue_is_refused(wrong: dict[str, object]) -> None:
    LabelsNew.of(**NEW)
    with pytest.raises(BadRequest):
        LabelsNew.of(**{**NEW, **wrong})


@pytest.mark.parametrize(
    "wrong", [{"item": ""}, {"label": "x" * 201}, {"rater": "anna"}, {"model": "m"}]
)
def test_what_is_no_label_is_refused(wrong: dict[str, object]) -> None:
    assert not LabelSet.of(**SET).together
    with pytest.raises(BadRequest):
        LabelSet.of(**{**SET, **wrong})
