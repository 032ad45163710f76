"""One mapping from errors to answers: statuses, shape, headers, and nothing leaked."""

import contextlib
import inspect
import re
from typing import Any

import httpx
import pytest
from fastapi import FastAPI
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, ValidationError
from starlette.exceptions import HTTPException

from appliance import errors
from appliance.api.errors import (
    RETRY_AFTER,
    STATUS_BY_CLASS,
    STATUS_BY_CODE,
    error_body,
    error_response,
    install_error_handlers,
    refusal_of,
    status_of,
)
from appliance.errors import (
    CODES,
    ApplianceError,
    AuditUnavailable,
    BadRequest,
    Forbidden,
    Overloaded,
    SignatureRefused,
    StateRefused,
    TooLarge,
    Unauthenticated,
    Unavailable,
    WorkerLost,
)
from appliance.wire.openai.chat import ChatRequest
from appliance.wire.openai.completions import CompletionRequest
from appliance.wire.openai.embeddings import EmbeddingRequest
from appliance.wire.openai.rerank import RerankRequest
from appliance.wire.openai.responses_request import ResponsesRequest
from appliance.wire.openai.tokenize import DetokenizeRequest, TokenizeRequest


def test_the_tables_name_codes_and_classes_that_exist() -> None:
    assert set(STATUS_BY_CODE) <= set(CODES)
    assert {STATUS_BY_CODE[code] for code in RETRY_AFTER} == {409, 429, 503}
    classes = {c for _, c in inspect.getmembers(errors, inspect.isclass)}
    assert set(STATUS_BY_CLASS) <= classes


@pytest.mark.parametrize(
    "kind",
    [c for _, c in inspect.getmembers(errors, inspect.isclass) if issubclass(c, ApplianceError)],
)
def test_every_error_class_has_a_status(kind: type[ApplianceError]) -> None:
    assert 400 <= status_of(kind("config_invalid", "x")) < 600


@pytest.mark.parametrize(
    ("error", "status", "kind"),
    [
        (BadRequest("context_length_exceeded", "x"), 400, "invalid_request_error"),
        (Unauthenticated("invalid_api_key", "x"), 401, "authentication_error"),
        (Forbidden("forbidden", "x"), 403, "permission_error"),
        (SignatureRefused("signature_wrong", "x"), 409, "invalid_request_error"),
        (TooLarge("request_too_large", "x"), 413, "invalid_request_error"),
        (BadRequest("unsupported_media_type", "x"), 415, "invalid_request_error"),
        (Overloaded("queue_full", "x"), 429, "rate_limit_error"),
        (ApplianceError("internal_error", "x"), 500, "server_error"),
        (AuditUnavailable("audit_unavailable", "x"), 503, "server_error"),
        (WorkerLost("worker_lost", "x"), 503, "server_error"),
    ],
)
def test_status_and_type_follow_from_the_error(
    error: ApplianceError, status: int, kind: str
) -> None:
    assert status_of(error) == status
    assert error_body(error) == {"message": "x", "type": kind, "param": None, "code": error.code}


def test_a_401_says_how_to_authenticate() -> None:
    headers = error_response(Unauthenticated("invalid_api_key", "x")).headers
    assert headers["www-authenticate"] == 'Bearer realm="appliance"'


@pytest.mark.parametrize(
    ("error", "after", "again"),
    [
        (Overloaded("queue_full", "x"), "1", "true"),
        (Overloaded("key_quarantined", "x"), "600", "false"),
        (Unavailable("model_loading", "x"), "5", "true"),
        (AuditUnavailable("audit_unavailable", "x"), "60", "false"),
        (Unavailable("interrupted", "x"), "5", "true"),
        (ApplianceError("internal_error", "x"), None, "false"),
        (BadRequest("invalid_value", "x"), None, None),
        (StateRefused("idempotency_running", "x"), "1", "true"),
        (StateRefused("erased", "x"), None, "false"),  # SDKs try 409 again unless they are told
    ],
)
def test_retry_headers_tell_the_sdks_whether_it_is_worth_it(
    error: ApplianceError, after: str | None, again: str | None
) -> None:
    headers = error_response(error).headers
    assert (headers.get("retry-after"), headers.get("x-should-retry")) == (after, again)


async def test_other_http_exceptions_of_the_framework_are_not_swallowed() -> None:
    app = FastAPI()
    install_error_handlers(app)

    @app.get("/teapot")
    async def teapot() -> None:
        raise HTTPException(418)

    transport = httpx.ASGITransport(app)
    async with httpx.AsyncClient(transport=transport, base_url="http://x") as client:
        with pytest.raises(HTTPException):
            await client.get("/teapot")


def refusal(body: Any, kind: type[BaseModel] = ChatRequest) -> BadRequest:
    with pytest.raises(ValidationError) as caught:
        kind.model_validate(body)
    return refusal_of([{**e, "loc": ("body", *e["loc"])} for e in caught.value.errors()])


USER = {"role": "user", "content": "Hi"}


@pytest.mark.parametrize(
    ("change", "code", "param"),
    [
        ({"temperature": "x"}, "invalid_value", "temperature"),
        ({"messages": [USER, {"role": "x"}]}, "invalid_value", "messages[1].role"),
        ({"stop": ["a", ""]}, "invalid_value", "stop[1]"),
        ({"stream_options": {"include_usage": 1}}, "invalid_value", "stream_options.include_usage"),
        ({"min_tokens": 2, "max_tokens": 1}, "invalid_value", "min_tokens"),
        ({"suffix": "x"}, "unsupported_parameter", "suffix"),
        (
            {"messages": [{"role": "user", "content": [{"type": "image_url"}]}]},
            "unsupported_parameter",
            "messages[0].content",
        ),
        (
            {"messages": [{"role": "assistant", "tool_calls": [{}]}]},
            "invalid_value",
            "messages[0].tool_calls[0].id",
        ),
        (
            {"messages": [{"role": "assistant", "function_call": {}}]},
            "unsupported_parameter",
            "messages[0].function_call",
        ),
    ],
)
def test_a_refusal_names_the_field_in_param_and_message(
    change: dict[str, Any], code: str, param: str
) -> None:
    refused = refusal({"model": "m", "messages": [USER], **change})
    assert (refused.code, refused.param) == (code, param)
    assert refused.message.startswith(param + ": ")


BODIES: dict[type[BaseModel], dict[str, Any]] = {
    ChatRequest: {"model": "m", "messages": [USER]},
    CompletionRequest: {"model": "m", "prompt": "Hi"},
    ResponsesRequest: {"model": "m", "input": "Hi"},
    EmbeddingRequest: {"model": "m", "input": "Hi"},
    RerankRequest: {"model": "m", "query": "Hi", "documents": ["a"]},
    TokenizeRequest: {"model": "m", "prompt": "Hi"},
    DetokenizeRequest: {"model": "m", "tokens": [1]},
}
WRONG: list[Any] = [
    5, "x", "", [], {}, [5], ["x", 5], [[5], "x"], [{}], {"type": "x"}, [{"type": "x"}],
    {"type": "function"}, [{"type": "function", "function": 5}], {"a": 5}, True, 2**70, 0.5,
    [{"role": "user", "content": [5]}], {"format": {"type": "x"}}, {"5": "x"},
]  # fmt: skip


@pytest.mark.parametrize("kind", BODIES, ids=lambda kind: kind.__name__)
def test_param_is_a_path_into_the_body_and_nothing_of_the_schema(kind: type[BaseModel]) -> None:
    path = re.compile(r"\w+(\[\d+\]|\.\w+)*")
    refused = 0
    for field in kind.model_fields:
        for value in WRONG:
            body = {**BODIES[kind], field: value}
            with contextlib.suppress(ValidationError):
                kind.model_validate(body)
                continue
            found = refusal(body, kind)
            refused += 1
            assert found.param is not None and path.fullmatch(found.param), (body, found.param)
            assert found.message.startswith(f"{found.param}: ")
    assert refused > len(kind.model_fields)


def test_what_a_client_sent_is_made_visible_before_it_is_echoed() -> None:
    part = {"type": "\x1b[2J\u202e" + "x" * 500}
    refused = refusal({"model": "m", "messages": [{"role": "user", "content": [part]}]})
    assert "\\x1b[2J" in refused.message and "\x1b" not in refused.message
    assert len(refused.message) < 400


@given(st.lists(st.text() | st.integers(), max_size=4), st.text(), st.text())
def test_any_validation_error_becomes_a_coded_refusal(
    place: list[str | int], kind: str, message: str
) -> None:
    error = {"type": kind, "loc": ("body", *place), "msg": message}
    refused = refusal_of([error])
    assert refused.code in CODES
    error_response(refused)
