"""`POST /v1/messages`: the answer, the counts, and the error body of this API.

Source: Anthropic API reference, messages and errors.
"""

from typing import Any, Literal

from pydantic import BaseModel


class MessageUsage(BaseModel):
    """Token counts; `input_tokens` excludes what was read from or written to the cache."""

    input_tokens: int
    cache_creation_input_tokens: Literal[0] = 0
    cache_read_input_tokens: int
    output_tokens: int


class MessageReply(BaseModel):
    """The answer; `content` has blocks of the types `text`, `thinking` and `tool_use`."""

    id: str
    type: Literal["message"] = "message"
    role: Literal["assistant"] = "assistant"
    model: str
    content: list[dict[str, Any]]
    stop_reason: Literal["end_turn", "max_tokens", "stop_sequence", "tool_use"] | None
    stop_sequence: str | None
    usage: MessageUsage


class TokenCount(BaseModel):
    """The length of a conversation as the model would read it."""

    input_tokens: int


class MessageErrorDetails(BaseModel):
    """`error_code` is stable; `item` is there with `task_queued` only."""

    error_code: str
    param: str | None
    item: str | None = None
    items: list[str] | None = None


class MessageError(BaseModel):
    """One error."""

    type: str
    message: str
    details: MessageErrorDetails


class MessageErrorReply(BaseModel):
    """The body of every answer of these routes that is not 2xx."""

    type: Literal["error"] = "error"
    error: MessageError
    request_id: str
