"""Bodies of `/v1/queue/{id}/answer`."""

import pytest
from pydantic import ValidationError

from appliance.wire.openai.queue import AnswerRequest


def test_any_answer_is_read_and_nothing_else() -> None:
    for answer in ("leak", {"part": "pump"}):
        assert AnswerRequest.model_validate({"answer": answer}).answer == answer
    for body in ({}, {"answer": "leak", "actor": "me"}, {"answer": 3}, {"answer": None}):
        with pytest.raises(ValidationError):
            AnswerRequest.model_validate(body)
