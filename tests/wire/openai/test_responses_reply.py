"""A response, read with the OpenAI SDK's own types."""

from typing import Any

import pytest
from openai.types.responses import Response as SdkResponse
from pydantic import ValidationError

from appliance.wire.openai.responses_reply import (
    InputDetails,
    OutputDetails,
    Response,
    ResponseUsage,
)

MESSAGE = {
    "id": "msg_1", "type": "message", "role": "assistant", "status": "completed",
    "content": [{"type": "output_text", "text": "Paris", "annotations": []}],
}  # fmt: skip
FIELDS: dict[str, Any] = {
    "id": "resp_1", "object": "response", "created_at": 1_764_000_000, "model": "smol",
    "status": "completed", "error": None, "incomplete_details": None, "instructions": None,
    "metadata": {}, "max_output_tokens": None, "output": [MESSAGE], "parallel_tool_calls": True,
    "previous_response_id": None, "store": False, "temperature": 1.0, "top_p": 1.0,
    "text": {"format": {"type": "text"}}, "tool_choice": "auto", "tools": [],
    "truncation": "disabled", "background": False, "conversation": None,
    "usage": ResponseUsage(
        input_tokens=5,
        input_tokens_details=InputDetails(cached_tokens=2, cache_write_tokens=0),
        output_tokens=1,
        output_tokens_details=OutputDetails(reasoning_tokens=0),
        total_tokens=6,
    ),
}  # fmt: skip


def test_the_sdk_reads_text_and_counts() -> None:
    read = SdkResponse.model_validate(Response(**FIELDS).model_dump())
    assert (read.output_text, read.status) == ("Paris", "completed")
    assert read.usage is not None
    assert (read.usage.total_tokens, read.usage.input_tokens_details.cached_tokens) == (6, 2)


def test_nothing_is_said_to_be_cut() -> None:
    with pytest.raises(ValidationError):
        Response(**{**FIELDS, "truncation": "auto"})
