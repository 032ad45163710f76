"""Whatever JSON stands at whatever place of a body, the schemas take it or refuse it; no crash."""

import copy
from collections.abc import Iterator
from typing import Any

import pytest
from pydantic import BaseModel, ValidationError

from appliance.wire.openai.chat import ChatRequest
from appliance.wire.openai.classify import ClassifyRequest
from appliance.wire.openai.completions import CompletionRequest
from appliance.wire.openai.embeddings import EmbeddingRequest
from appliance.wire.openai.rerank import RerankRequest
from appliance.wire.openai.responses_request import ResponsesRequest
from appliance.wire.openai.search import SearchRequest
from appliance.wire.openai.tokenize import DetokenizeRequest, TokenizeRequest

SCHEMA: dict[str, Any] = {"type": "object", "properties": {"a": {"type": "string"}}}
FUNCTION: dict[str, Any] = {"name": "f", "description": "d", "parameters": SCHEMA, "strict": True}
CALL: dict[str, Any] = {
    "id": "c",
    "type": "function",
    "function": {"name": "f", "arguments": "{}"},
}
PARTS = [{"type": "text", "text": "x"}]
SAMPLING: dict[str, Any] = {
    "model": "m", "max_tokens": 4, "max_completion_tokens": 4, "temperature": 0.5, "top_p": 0.5,
    "top_k": 1, "min_p": 0.1, "typical_p": 0.9, "presence_penalty": 0.1, "n": 2, "seed": 1,
    "frequency_penalty": 0.1, "repetition_penalty": 1.1, "repeat_penalty": 1.1, "min_tokens": 1,
    "logit_bias": {"1": 2}, "stop": ["x"], "stream": False,
    "stream_options": {"include_usage": True},
    "ignore_eos": False, "service_tier": "flex",
    "response_format": {"type": "json_schema", "json_schema": {"name": "s", "schema": SCHEMA}},
}  # fmt: skip
BODIES: list[tuple[type[BaseModel], dict[str, Any]]] = [
    (
        ChatRequest,
        {
            **SAMPLING,
            "response_format": None,
            "messages": [
                {"role": "developer", "content": PARTS},
                {"role": "assistant", "content": None, "tool_calls": [CALL]},
                {"role": "tool", "tool_call_id": "c", "content": "x"},
            ],
            "tools": [{"type": "function", "function": FUNCTION}],
            "tool_choice": {"type": "function", "function": {"name": "f"}},
            "parallel_tool_calls": False,
            "logprobs": True,
            "top_logprobs": 2,
            "reasoning_effort": "low",
            "chat_template_kwargs": {"enable_thinking": True},
        },
    ),
    (CompletionRequest, {**SAMPLING, "prompt": ["x"], "logprobs": 1, "echo": True, "best_of": 2}),
    (
        ResponsesRequest,
        {
            "model": "m",
            "input": [
                {"type": "message", "role": "user", "content": PARTS},
                {"type": "function_call", "call_id": "c", "name": "f", "arguments": "{}"},
                {"type": "function_call_output", "call_id": "c", "output": PARTS},
                {"type": "reasoning", "summary": []},
            ],
            "instructions": "x",
            "text": {"format": {"type": "text", "schema": SCHEMA}},
            "tools": [{"type": "function", **FUNCTION}],
            "tool_choice": {"type": "function", "name": "f"},
            "reasoning": {"effort": "low"},
            "metadata": {"a": "b"},
            "max_output_tokens": 4,
            "temperature": 0.5,
            "top_p": 0.5,
        },
    ),
    (EmbeddingRequest, {"model": "m", "input": ["x"], "encoding_format": "float", "dimensions": 1}),
    (
        RerankRequest,
        {"model": "m", "query": "x", "documents": ["x", {"text": "y"}], "top_n": 1},
    ),
    (ClassifyRequest, {"model": "m", "input": ["x"]}),
    (SearchRequest, {"collection": "c", "query": "x", "limit": 3, "filters": {"a": "b"}}),
    (TokenizeRequest, {"model": "m", "messages": [{"role": "user", "content": PARTS}]}),
    (DetokenizeRequest, {"model": "m", "tokens": [1]}),
]  # fmt: skip
VALUES: list[Any] = [
    None, True, False, 0, -1, 10**400, 1.5, float("nan"), float("inf"), "", "x", "\ud800", "[" * 99,
    [], {}, [[]], [{}], [None], {"type": {}}, {"type": []}, {"type": "x"}, [{"type": {}}],
    [{"type": "text", "text": {}}], {"": {"": {}}},
]  # fmt: skip


def places(value: Any, path: tuple[str | int, ...] = ()) -> Iterator[tuple[str | int, ...]]:
    """But its root."""
    if path:
        yield path
    inner: Any = ()
    if isinstance(value, dict):
        inner = value.items()
    elif isinstance(value, list):
        inner = enumerate(value)
    for key, item in inner:
        yield from places(item, (*path, key))


@pytest.mark.parametrize(
    ("model", "body"), BODIES, ids=lambda given: getattr(given, "__name__", "")
)
def test_any_value_at_any_place_is_taken_or_refused(
    model: type[BaseModel], body: dict[str, Any]
) -> None:
    model.model_validate(body)
    refused = 0
    for path in places(body):
        for value in VALUES:
            try:
                model.model_validate(changed(body, path, value))
            except ValidationError:
                refused += 1
    assert refused > len(VALUES)


MANY = 1000
ITEMS: list[Any] = [None, 1, "x", "", [], {}, {"type": "text"}, {"type": {}}]
WRONG: list[Any] = [
    *([item] * MANY for item in ITEMS),
    *({f"{n}": item for n in range(MANY)} for item in ITEMS),
]


@pytest.mark.parametrize(
    ("model", "body"), BODIES, ids=lambda given: getattr(given, "__name__", "")
)
def test_what_is_wrong_in_a_thousand_places_is_not_refused_a_thousand_times(
    model: type[BaseModel], body: dict[str, Any]
) -> None:
    """Each refusal takes as long as some hundred numbers to read."""
    for path in [(), *places(body)]:
        for value in WRONG:
            try:
                model.model_validate(changed(body, path, value))
            except ValidationError as error:
                assert error.error_count() < 50, (path, str(value)[:40])


def test_a_model_without_a_bound_is_noticed() -> None:
    class Unbounded(BaseModel):
        texts: list[str]

    with pytest.raises(ValidationError) as caught:
        Unbounded.model_validate({"texts": [1] * MANY})
    assert caught.value.error_count() == MANY


def changed(body: Any, path: tuple[str | int, ...], value: Any) -> Any:
    if not path:
        return {**body, **value} if isinstance(value, dict) else value
    other = copy.deepcopy(body)
    inner = other
    for key in path[:-1]:
        inner = inner[key]
    inner[path[-1]] = value
    return other
