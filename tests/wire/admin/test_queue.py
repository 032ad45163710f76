"""Schemas of the queue of people refuse what they do not know."""

import pytest

from appliance.errors import BadRequest
from appliance.wire.admin.queue import QueueAnswer, QueueTask


def test_requests_are_checked() -> None:
    assert QueueAnswer.of(answer={"part": "pump"}).answer == {"part": "pump"}
    for wrong in ({}, {"answer": 1, "actor": "me"}):
        with pytest.raises(BadRequest):
            QueueAnswer.of(**wrong)
    for task in ("", "x" * 129):
        with pytest.raises(BadRequest):
            QueueTask.of(task=task)
