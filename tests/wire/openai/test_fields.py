"""The table of fields that are not honoured: every row, every default, every documented field."""

import copy
from typing import Any

import pytest
from pydantic import BaseModel, ValidationError

from appliance.wire.anthropic.messages import MessagesRequest
from appliance.wire.openai.chat import ChatRequest
from appliance.wire.openai.classify import ClassifyRequest
from appliance.wire.openai.completions import CompletionRequest
from appliance.wire.openai.embeddings import EmbeddingRequest
from appliance.wire.openai.fields import HARMLESS, REFUSED, TABLE, Route
from appliance.wire.openai.rerank import RerankRequest
from appliance.wire.openai.responses_request import ResponsesRequest
from appliance.wire.openai.tokenize import TokenizeRequest
from tests.wire.openai.documented import BODIES, DOCUMENTED

SCHEMAS: dict[Route, type[BaseModel]] = {
    "chat": ChatRequest, "completions": CompletionRequest, "responses": ResponsesRequest,
    "messages": MessagesRequest,
    "embeddings": EmbeddingRequest, "rerank": RerankRequest,
    "classify": ClassifyRequest, "tokenize": TokenizeRequest,
}  # fmt: skip


def body(route: Route, **fields: Any) -> dict[str, Any]:
    return {"model": "m", **copy.deepcopy(BODIES[route][1]), **fields}


def honoured(route: Route) -> set[str]:
    return {field.alias or name for name, field in SCHEMAS[route].model_fields.items()}


@pytest.mark.parametrize("route", SCHEMAS)
def test_every_documented_field_is_honoured_refused_or_harmless_and_only_one_of_them(
    route: Route,
) -> None:
    groups = [honoured(route), set(REFUSED[route]), set(HARMLESS[route])]
    assert not DOCUMENTED[route] - set().union(*groups)
    assert sum(map(len, groups)) == len(set().union(*groups))
    named = [name for row in TABLE if route in row.routes for name in row.names]
    assert sorted(set(named)) == sorted(named)


@pytest.mark.parametrize("route", SCHEMAS)
def test_a_row_says_what_becomes_of_its_fields(route: Route) -> None:
    schema = SCHEMAS[route]
    rows = [row for row in TABLE if route in row.routes]
    assert [
        row.names for row in rows if row.reason.strip(" .") != row.reason or not row.reason
    ] == []
    for row, name in ((each, name) for each in rows for name in each.names):
        for value in (None, *(row.defaults or ())):
            schema.model_validate(body(route, **{name: value}))
        if row.defaults is None:
            schema.model_validate(body(route, **{name: {"any": ["thing"]}}))
            continue
        for value in ("x", 7, {"x": 1}, ["x"]):
            with pytest.raises(ValidationError) as caught:
                schema.model_validate(body(route, **{name: value}))
            error = caught.value.errors()[0]
            assert error["type"] == "unsupported_parameter", (name, value, error)
            assert (error["ctx"]["field"], error["ctx"]["reason"]) == (name, row.reason)


ASKED: list[tuple[str, Any]] = [
    ("mirostat", 1), ("xtc_probability", 1), ("dynatemp_range", 1), ("regex", "a+"),
    ("ebnf", "root ::= 'a'"), ("logits_processors", ["x"]), ("min_length", 5), ("do_sample", False),
    ("stopping_strings", ["x"]), ("response_schema", {"type": "object"}),
    ("schema", {"type": "object"}), ("max_length", 5), ("top_a", 0.5), ("typical", 0.5),
    ("maxTokens", 5), ("frequencyPenalty", 1), ("presencePenalty", 1), ("topP", 0.5),
    ("stopSequences", ["x"]), ("responseFormat", {"type": "json_object"}), ("min-p", 0.1),
]  # fmt: skip
"""What asks for something under a name that no route of texts honours."""


@pytest.mark.parametrize("route", ["chat", "completions", "responses"])
def test_what_asks_for_something_is_refused_by_name(route: Route) -> None:
    told = {}
    for field, value in ASKED:
        try:
            SCHEMAS[route].model_validate(body(route, **{field: value}))
        except ValidationError as refused:
            error = refused.errors()[0]
            told[field] = error["type"], error["ctx"]["field"]
        SCHEMAS[route].model_validate(body(route, **{field: None}))
    assert told == {field: ("unsupported_parameter", field) for field, _ in ASKED}


@pytest.mark.parametrize("route", ["chat", "completions"])
def test_the_name_of_another_route_is_refused(route: Route) -> None:
    with pytest.raises(ValidationError) as caught:
        SCHEMAS[route].model_validate(body(route, max_output_tokens=5))
    assert caught.value.errors()[0]["ctx"]["reason"] == "its name is max_tokens here"
    ResponsesRequest.model_validate(body("responses", max_output_tokens=5))


def test_a_name_of_nobody_is_ignored() -> None:
    for name in ("x_tenant", "traceId", "X-Trace"):
        ChatRequest.model_validate(body("chat", **{name: 7}))


@pytest.mark.parametrize(
    ("route", "field", "value"),
    [
        ("chat", "response_format", {"type": "json_object", "schema": {"type": "object"}}),
        ("completions", "response_format", {"type": "json_object", "schema": {"type": "object"}}),
        ("responses", "include", ["message.output_text.logprobs"]),
        ("responses", "service_tier", "flex"),
        ("chat", "messages", [{"role": "assistant", "content": "A", "prefix": True}]),
        ("chat", "messages", [{"role": "user", "content": "A", "images": ["AAAA"]}]),
    ],
)
def test_what_lies_deeper_is_refused_too(route: Route, field: str, value: Any) -> None:
    with pytest.raises(ValidationError) as caught:
        SCHEMAS[route].model_validate(body(route, **{field: value}))
    assert caught.value.errors()[0]["type"] == "unsupported_parameter"


def test_encrypted_reasoning_asks_for_nothing() -> None:
    ResponsesRequest.model_validate(body("responses", include=["reasoning.encrypted_content"]))
