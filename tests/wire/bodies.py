"""Bodies of requests, and the answers of their schemas."""

from typing import Any

import pytest
from pydantic import BaseModel, ValidationError

from appliance.wire.openai.chat import ChatRequest
from appliance.wire.openai.completions import CompletionRequest

USER = {"role": "user", "content": "Hi"}


def chat(**fields: Any) -> ChatRequest:
    return ChatRequest.model_validate({"model": "m", "messages": [USER], **fields})


def completion(**fields: Any) -> CompletionRequest:
    return CompletionRequest.model_validate({"model": "m", "prompt": "Hi", **fields})


def first_error(kind: type[BaseModel], body: Any) -> tuple[str, tuple[int | str, ...]]:
    with pytest.raises(ValidationError) as caught:
        kind.model_validate(body)
    error = caught.value.errors()[0]
    return error["type"], error["loc"]


def smallest(kind: type[BaseModel]) -> dict[str, Any]:
    """Only what must be there."""
    asked: dict[str, Any] = {"prompt": "Hi"} if kind is CompletionRequest else {"messages": [USER]}
    return {"model": "m", **asked}


def refused_field(kind: type[BaseModel], **fields: Any) -> tuple[int | str, ...]:
    return first_error(kind, {**smallest(kind), **fields})[1]
