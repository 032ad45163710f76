"""Reply of `POST /v1/responses`.

Source: OpenAI API reference, the response object.
"""

from typing import Any, Literal

from pydantic import BaseModel

from appliance.wire.openai.responses_request import ConversationName


class InputDetails(BaseModel):
    """Of the input: what was not computed again, and what was put aside for later."""

    cached_tokens: int
    cache_write_tokens: int


class OutputDetails(BaseModel):
    """Of the output."""

    reasoning_tokens: int


class ResponseUsage(BaseModel):
    """Token counts of one request."""

    input_tokens: int
    input_tokens_details: InputDetails
    output_tokens: int
    output_tokens_details: OutputDetails
    total_tokens: int


class InputTokens(BaseModel):
    """The reply of `POST /v1/responses/input_tokens`."""

    object: Literal["response.input_tokens"] = "response.input_tokens"
    input_tokens: int


class RemovedResponse(BaseModel):
    """The reply of `DELETE /v1/responses/{id}`."""

    id: str
    object: Literal["response"] = "response"
    deleted: Literal[True] = True


class InputItems(BaseModel):
    """The items of a conversation before a response."""

    object: Literal["list"] = "list"
    data: list[dict[str, Any]]
    has_more: Literal[False] = False
    first_id: str | None
    last_id: str | None


class ResponseError(BaseModel):
    """The reason why a response failed."""

    code: str
    message: str


class Response(BaseModel):
    """A response; `output` holds messages, function calls and reasoning in order."""

    id: str
    object: Literal["response"]
    created_at: int
    model: str
    status: Literal["queued", "in_progress", "completed", "incomplete", "failed", "cancelled"]
    background: bool
    conversation: ConversationName | None
    error: ResponseError | None
    incomplete_details: dict[str, str] | None
    instructions: str | None
    metadata: dict[str, str]
    max_output_tokens: int | None
    output: list[dict[str, Any]]
    parallel_tool_calls: bool
    previous_response_id: str | None
    store: bool
    temperature: float
    top_p: float
    text: dict[str, Any]
    tool_choice: str | dict[str, Any]
    tools: list[dict[str, Any]]
    truncation: Literal["disabled"]
    usage: ResponseUsage | None
