"""The table of fields that are not honoured: every row, every default, every documented field."""

import copy
from typing import Any

import pytest
from pydantic import BaseModel, ValidationError

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
    "embeddings": EmbeddingRequest, "rerank": RerankRequest,
    "classify": ClassifyRequest, "tokenize": TokenizeRequest,
}  # fmt: skip
ROWS = [
    pytest.param(route, row, id=f"{route}-{row.names[0]}")
    for row in TABLE
    for route in row.routes
    if route in SCHEMAS
]


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


@pytest.mark.parametrize(("route", "row"), ROWS)
def test_a_row_says_what_becomes_of_its_fields(route: Route, row: Any) -> None:
    schema = SCHEMAS[route]
    assert row.reason and row.reason == row.reason.strip(" .")
    for name in row.names:
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


@pytest.mark.parametrize(
    ("route", "field", "value"),
    [
        ("chat", "response_format", {"type": "json_object", "schema": {"type": "object"}}),
        ("completions", "response_format", {"type": "json_object", "schema": {"type": "object"}}),
        ("chat", "stream_options", {"continuous_usage_stats": True}),
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
