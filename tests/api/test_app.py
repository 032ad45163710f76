"""The LAN app as a whole: default deny on every route and method, one shape for every error."""

import json
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
from fastapi import FastAPI
from fastapi.routing import iter_route_contexts
from starlette.routing import compile_path

from appliance.api.app import DOCUMENTATION, PUBLIC, create_lan_app
from appliance.api.dialect import speaks_anthropic
from appliance.app import Services
from appliance.config import Config, ServerConfig
from appliance.errors import CODES, AuditUnavailable, BadRequest, Overloaded, Unavailable
from tests.api.conftest import MAX_BODY, Lan
from tests.api.fake import worker_lost
from tests.parts import having

METHODS = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "BREW"]
ROUTES = {
    "/healthz": {"GET"},
    "/readyz": {"GET"},
    "/openapi.json": {"GET", "HEAD"},
    "/docs": {"GET", "HEAD"},
    "/docs/start.js": {"GET", "HEAD"},
    "/docs/swagger-ui-bundle.js": {"GET", "HEAD"},
    "/docs/swagger-ui.css": {"GET", "HEAD"},
    "/v1/chat/completions": {"POST"},
    "/v1/completions": {"POST"},
    "/v1/responses": {"POST"},
    "/v1/embeddings": {"POST"},
    "/v1/rerank": {"POST"},
    "/v1/search": {"POST"},
    "/v1/classify": {"POST"},
    "/v1/models": {"GET"},
    "/v1/models/{model_id:path}": {"GET"},
    "/v1/receipts/{request_id}": {"GET"},
    "/ca.pem": {"GET"},
    "/v1/queue": {"GET"},
    "/v1/queue/{item_id}": {"GET"},
    "/v1/queue/{item_id}/answer": {"POST"},
    "/v1/collections/{collection}/passages/{passage_id}": {"GET"},
    "/v1/requests": {"GET"},
    "/v1/labels": {"GET"},
    "/v1/labels/{queue}": {"GET", "POST"},
    "/v1/sessions": {"POST", "DELETE"},
    "/v1/sessions/this": {"DELETE"},
    "/tokenize": {"POST"},
    "/detokenize": {"POST"},
    "/tokenizer_info": {"GET"},
    "/v1/usage": {"GET"},
    "/v1/responses/input_tokens": {"POST"},
    "/v1/responses/resp_{name}": {"GET", "DELETE"},
    "/v1/responses/resp_{name}/cancel": {"POST"},
    "/v1/responses/resp_{name}/input_items": {"GET"},
    "/v1/files": {"GET", "POST"},
    "/v1/files/{file_id}": {"GET", "DELETE"},
    "/v1/files/{file_id}/content": {"GET"},
    "/v1/batches": {"GET", "POST"},
    "/v1/batches/{batch_id}": {"GET"},
    "/v1/batches/{batch_id}/cancel": {"POST"},
    "/v1/conversations": {"POST"},
    "/v1/conversations/{name}": {"GET", "POST", "DELETE"},
    "/v1/conversations/{name}/items": {"GET", "POST"},
    "/v1/conversations/{name}/items/{item_id}": {"GET", "DELETE"},
    "/v1/messages": {"POST"},
    "/v1/messages/count_tokens": {"POST"},
}
JSON = {"content-type": "application/json"}


def routes_of(app: FastAPI) -> dict[str, set[str]]:
    found: dict[str, set[str]] = {}
    for one in iter_route_contexts(app.routes):
        if one.path is None:  # finds others
            continue
        found.setdefault(str(one.path), set()).update(one.methods or ())
    return found


def shaped(reply: httpx.Response) -> dict[str, Any]:
    body = reply.json()
    error: dict[str, Any] = body["error"]
    if speaks_anthropic(reply.request.url.path):
        assert set(body) == {"type", "error", "request_id"} and body["type"] == "error"
        details = error.pop("details")
        error |= {"code": details["error_code"], "param": details["param"]}
    else:
        assert set(body) == {"error"}
    assert set(error) == {"message", "type", "param", "code"}
    assert error["message"] and error["type"] and error["code"] in CODES
    assert reply.headers["content-type"] == "application/json"
    assert reply.headers["x-request-id"].startswith("req-")
    assert reply.headers["x-appliance-profile"] == "lab"
    return error


# the surface


def test_routes_without_parameters_are_those_that_the_framework_finds(lan: Lan) -> None:
    exact = lan.app.state.routes.exact
    assert len(exact) > 20 and ("POST", "/v1/chat/completions") in exact
    known = [one for one in iter_route_contexts(lan.app.routes) if one.path is not None]
    for (method, path), found in exact.items():
        first = next(
            one
            for one in known
            if method in (one.methods or ()) and compile_path(str(one.path))[0].match(path)
        )
        assert first.original_route is found[0]["route"], path


async def test_the_lan_serves_these_routes_and_no_other(lan: Lan) -> None:
    assert routes_of(lan.app) == ROUTES
    assert set(ROUTES) >= PUBLIC


@pytest.mark.parametrize("method", METHODS)
async def test_no_route_answers_without_a_key_but_the_public_ones(lan: Lan, method: str) -> None:
    others = ["/", "/v1", "/v1/uploads", "/docs/x", "/admin/status", "/metrics", "/healthz/"]
    async with lan.anonymous() as client:
        for path in [*routes_of(lan.app), *others]:
            reply = await client.request(method, path, json={})
            if path in PUBLIC:
                assert reply.status_code in (200, 405)
            else:
                assert (reply.status_code, path) == (401, path)
                assert method == "HEAD" or shaped(reply)["code"] == "invalid_api_key"
    assert not lan.inference.requests


@pytest.mark.parametrize("method", METHODS)
async def test_with_a_key_other_methods_are_405_and_other_paths_404(lan: Lan, method: str) -> None:
    for path, methods in routes_of(lan.app).items():
        if method not in methods and method != "HEAD":
            reply = await lan.client.request(method, path)
            assert (reply.status_code, path) == (405, path)
            assert shaped(reply)["code"] == "method_not_allowed"
            assert set(reply.headers["allow"].replace(" ", "").split(",")) == methods
    if method != "HEAD":
        for path in ("/", "/v1/uploads", "/docs/", "/admin/status", "/v1/chat/completions/"):
            reply = await lan.client.request(method, path)
            assert (reply.status_code, shaped(reply)["code"]) == (404, "not_found")


POSTS = sorted(
    path
    for path, methods in ROUTES.items()
    # A form is no JSON, and a cancel has no body.
    if "POST" in methods and path != "/v1/files" and not path.endswith("/cancel")
)


@pytest.mark.parametrize("path", POSTS)
async def test_every_route_with_a_body_refuses_other_types_sizes_and_shapes(
    lan: Lan, path: str
) -> None:
    for body, kind, status, code in (
        (b"{}", "text/plain", 415, "unsupported_media_type"),
        (b"{}", "multipart/form-data; boundary=x", 415, "unsupported_media_type"),
        (b" " * (MAX_BODY + 1), "application/json", 413, "request_too_large"),
        (b"{", "application/json", 400, "invalid_json"),
        (b"[]", "application/json", 400, "invalid_json"),
        (b'{"items": 5}', "application/json", 400, "invalid_value"),  # the control: it was read
    ):
        reply = await lan.client.post(path, content=body, headers={"content-type": kind})
        assert (reply.status_code, shaped(reply)["code"]) == (status, code)
    assert not lan.inference.requests


async def test_a_method_that_a_route_has_not_is_405_whatever_the_body_is(lan: Lan) -> None:
    reply = await lan.client.put("/v1/files", files={"file": b"{}"})
    assert (reply.status_code, reply.headers["allow"]) == (405, "GET, POST")


async def test_a_wrong_key_is_refused_before_the_body_is_looked_at(lan: Lan) -> None:
    async with lan.anonymous(authorization="Bearer sk-wrong") as client:
        for body, kind in ((b"{", "application/json"), (b"x" * 99_999, "text/plain")):
            reply = await client.post(
                "/v1/chat/completions", content=body, headers={"content-type": kind}
            )
            assert reply.status_code == 401
            assert reply.headers["www-authenticate"].startswith("Bearer")


async def test_a_revoked_key_is_refused_from_the_next_request_on(lan: Lan) -> None:
    key, secret = lan.services.keys.create("short lived")
    async with lan.anonymous(**{"x-api-key": secret}) as client:
        assert (await client.get("/v1/models")).status_code == 200
        lan.services.keys.revoke(key.id)
        assert shaped(await client.get("/v1/models"))["code"] == "invalid_api_key"


async def test_the_openapi_document_describes_the_routes_and_the_error_shape(lan: Lan) -> None:
    async with lan.anonymous() as client:
        document = (await client.get("/openapi.json")).json()
    assert set(document["paths"]) == {
        path.replace(":path", "") for path in ROUTES if path not in DOCUMENTATION
    }
    assert "HTTPValidationError" not in document["components"]["schemas"]
    for path, item in document["paths"].items():
        name = "MessageErrorReply" if speaks_anthropic(path) else "ErrorResponse"
        for operation in item.values():
            assert operation["responses"]["default"]["content"]["application/json"]["schema"] == {
                "$ref": f"#/components/schemas/{name}"
            }


async def test_docs_off_removes_document_and_page_and_asks_for_a_key_there(
    real_services: Services,
) -> None:
    config = Config(server=ServerConfig(docs=False))
    app = create_lan_app(having(real_services, config=config))
    assert not DOCUMENTATION & set(routes_of(app))
    transport = httpx.ASGITransport(app)
    async with httpx.AsyncClient(transport=transport, base_url="http://lan") as client:
        for path in DOCUMENTATION:
            assert (await client.get(path)).status_code == 401


async def test_the_environment_cannot_make_the_framework_send_data_out(
    real_services: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FASTAPI_OTEL_AUTO_CONFIGURE", "true")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:9")
    on = {key: value for key, value in FastAPI()._telemetry.items() if value}
    off = {key: value for key, value in create_lan_app(real_services)._telemetry.items() if value}
    assert on["auto_configure"] and not off


# bad bodies


@pytest.mark.parametrize(
    "body",
    [
        b"", b"{", b"not json", b"[]", b"null", b'"text"', b"5", b'{"model": "m"',
        b'{"a": 1}{"b": 2}', b"\xff\xfe{}", b'{"model": "\xc3\x28"}', b"{'model': 'm'}",
        b"[" * 9_000, b'{"a":' * 3_000, b'{"a": ' + b"1" * 9_000 + b"}",
    ],
)  # fmt: skip
@pytest.mark.parametrize("path", ["/v1/chat/completions", "/v1/completions"])
async def test_a_body_that_is_not_one_json_object_is_invalid_json(
    lan: Lan, path: str, body: bytes
) -> None:
    reply = await lan.client.post(path, content=body, headers=JSON)
    assert (reply.status_code, shaped(reply)["code"]) == (400, "invalid_json")


async def test_a_body_that_is_too_large_is_413(lan: Lan, chat_body: dict[str, Any]) -> None:
    chat_body["messages"] = [{"role": "user", "content": "x" * MAX_BODY}]
    reply = await lan.client.post("/v1/chat/completions", json=chat_body)
    assert (reply.status_code, shaped(reply)["code"]) == (413, "request_too_large")
    assert not lan.inference.requests


async def test_a_chunked_body_cannot_pass_the_limit(lan: Lan) -> None:
    sent = 0

    async def endless() -> AsyncIterator[bytes]:
        nonlocal sent
        while sent < 100 * MAX_BODY:
            sent += 1000
            yield b" " * 1000

    reply = await lan.client.post("/v1/chat/completions", content=endless(), headers=JSON)
    assert (reply.status_code, shaped(reply)["code"]) == (413, "request_too_large")
    assert sent < 2 * MAX_BODY


@pytest.mark.parametrize(
    ("change", "code", "param"),
    [
        ({"n": 0}, "invalid_value", "n"),
        ({"n": 9}, "invalid_value", "n"),
        ({"echo": True}, "unsupported_parameter", "echo"),
        ({"logit_bias": {"x": 1}}, "invalid_value", "logit_bias"),
        ({"top_logprobs": 2}, "invalid_value", "top_logprobs"),
        ({"max_tokens": -1}, "invalid_value", "max_tokens"),
        ({"max_tokens": 0}, "invalid_value", "max_tokens"),
        ({"max_completion_tokens": -5}, "invalid_value", "max_completion_tokens"),
        ({"temperature": float("nan")}, "invalid_value", "temperature"),
        ({"temperature": float("inf")}, "invalid_value", "temperature"),
        ({"model": None}, "invalid_value", "model"),
        ({"messages": []}, "invalid_value", "messages"),
        ({"tools": [{}]}, "invalid_value", "tools[0].type"),
        ({"response_format": {"type": "x"}}, "invalid_value", "response_format.type"),
    ],
)
async def test_a_bad_field_is_400_and_named(
    lan: Lan, chat_body: dict[str, Any], change: dict[str, Any], code: str, param: str
) -> None:
    body = json.dumps({**chat_body, **change})
    reply = await lan.client.post("/v1/chat/completions", content=body, headers=JSON)
    error = shaped(reply)
    assert (reply.status_code, error["code"], error["param"]) == (400, code, param)
    assert error["message"].startswith(param)
    assert not lan.inference.requests


async def test_a_body_of_another_type_is_415(lan: Lan) -> None:
    reply = await lan.client.post("/v1/chat/completions", data={"model": "m"})
    assert (reply.status_code, shaped(reply)["code"]) == (415, "unsupported_media_type")


# what the use-case refuses


async def test_an_unknown_model_is_404(lan: Lan, chat_body: dict[str, Any]) -> None:
    for name in ("nothing", "../../etc/passwd", "org/echo:1\u0000"):
        chat_body["model"] = name
        reply = await lan.client.post("/v1/chat/completions", json=chat_body)
        error = shaped(reply)
        assert (reply.status_code, error["code"]) == (404, "model_not_found")
        assert error["param"] == "model"


async def test_a_prompt_longer_than_the_context_says_how_long_it_is(
    lan: Lan, chat_body: dict[str, Any]
) -> None:
    message = "This model's maximum context length is 512 tokens, the messages have 600."
    lan.inference.refusal = BadRequest("context_length_exceeded", message, param="messages")
    reply = await lan.client.post("/v1/chat/completions", json=chat_body)
    assert reply.status_code == 400
    assert shaped(reply) == {
        "message": message,
        "type": "invalid_request_error",
        "param": "messages",
        "code": "context_length_exceeded",
    }


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(
    ("error", "status", "again"),
    [
        (Overloaded("queue_full", "Full."), 429, "true"),
        (Unavailable("model_loading", "Loading."), 503, "true"),
        (AuditUnavailable("audit_unavailable", "The disk is full."), 503, "false"),
        (worker_lost(), 503, "true"),
        (RuntimeError("the prompt was: secret"), 500, "false"),
    ],
)
async def test_what_fails_before_the_answer_has_a_status(
    lan: Lan,
    chat_body: dict[str, Any],
    stream: bool,
    error: Exception,
    status: int,
    again: str,
) -> None:
    lan.inference.refusal = error
    reply = await lan.client.post("/v1/chat/completions", json={**chat_body, "stream": stream})
    assert reply.status_code == status
    assert "secret" not in json.dumps(shaped(reply))
    assert reply.headers["x-should-retry"] == again
    assert ("retry-after" in reply.headers) == (status in (429, 503))


@pytest.mark.parametrize(
    "path",
    ["/v1%2Fmodels", "/v1%2fmodels", "/%2Fv1/models", "/v1/chat%2Fcompletions", "/%2Fhealthz"],
)
async def test_an_escaped_slash_separates_nothing(lan: Lan, path: str) -> None:
    reply = await lan.client.get(path)
    assert (reply.status_code, reply.json()["error"]["code"]) == (404, "not_found")
    async with lan.anonymous() as client:
        assert (await client.get(path)).status_code == 401


@pytest.mark.parametrize("coding", ["gzip", "br", "deflate, gzip", "x" * 500])
async def test_a_compressed_body_is_refused_by_the_name_of_its_coding(
    lan: Lan, chat_body: dict[str, object], coding: str
) -> None:
    address = "/v1/chat/completions"
    reply = await lan.client.post(address, json=chat_body, headers={"content-encoding": coding})
    error = reply.json()["error"]
    assert (reply.status_code, error["code"]) == (415, "unsupported_media_type")
    assert error["param"] == "content-encoding" and coding[:20] in error["message"]
    same = await lan.client.post(address, json=chat_body, headers={"content-encoding": "identity"})
    assert same.status_code == 200
