"""`/v1/messages` runs as a chat does: the same request, receipts, refusals, quotas and errors."""

from typing import Any, cast

import httpx
import pytest

from appliance.api.anthropic.messages import message_generation
from appliance.api.app import create_lan_app
from appliance.api.openai.chat import chat_generation
from appliance.engine.protocol import Tokens
from appliance.errors import AuditUnavailable, BadRequest, Overloaded, Queued, Unavailable
from appliance.serving.tokenization import Tokenizers
from appliance.types import Delta, GenerationRequest, Limits, Principal
from appliance.wire.anthropic.messages import MessagesRequest
from appliance.wire.openai.chat import ChatRequest
from tests.api.conftest import Lan
from tests.api.fake import CARD, TEXT
from tests.parts import having

ROUTE = "/v1/messages"
CITY = {"type": "object", "properties": {"city": {"type": "string"}}}


def body(**fields: Any) -> dict[str, Any]:
    return {
        "model": CARD.id, "max_tokens": 5, "messages": [{"role": "user", "content": "Hi"}],
        **fields,
    }  # fmt: skip


def test_both_dialects_make_the_same_request() -> None:
    schema = {"type": "object"}
    ours = MessagesRequest.model_validate(body(
        system="Be brief.", temperature=0.5, top_k=3, top_p=0.9, stop_sequences=["\n"],
        tools=[{"name": "weather", "input_schema": CITY}], tool_choice={"type": "any"},
        output_config={"format": {"type": "json_schema", "schema": schema}},
        thinking={"type": "disabled"},
    ))  # fmt: skip
    theirs = ChatRequest.model_validate({
        "model": CARD.id, "max_tokens": 5, "temperature": 0.5, "top_k": 3, "top_p": 0.9,
        "messages": [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Hi"}],
        "stop": ["\n"], "tool_choice": "required", "reasoning_effort": "none",
        "tools": [{"type": "function", "function": {"name": "weather", "parameters": CITY}}],
        "response_format": {"type": "json_schema", "json_schema": {"schema": schema}},
    })  # fmt: skip
    assert message_generation(ours) == chat_generation(theirs)


async def test_an_answer_has_its_receipt_and_its_ids(lan: Lan) -> None:
    reply = await lan.client.post(ROUTE, json=body(metadata={"user_id": "u7"}))
    assert reply.json()["content"] == [{"type": "text", "text": TEXT}]
    assert reply.headers["request-id"] == reply.headers["x-request-id"]
    ((caller, request),) = lan.inference.requests
    assert (caller.route, request.max_tokens) == (ROUTE, 5)
    assert caller.principal.person == lan.services.end_users.claimed("u7")
    found = await lan.client.get(f"/v1/receipts/{reply.headers['request-id']}")
    seq = int(reply.headers["x-appliance-receipt"].split()[0])
    assert found.json()["outcome"]["seq"] == seq


@pytest.mark.parametrize(
    ("refusal", "status", "kind"),
    [
        (BadRequest("context_length_exceeded", "Too long."), 400, "invalid_request_error"),
        (Overloaded("rate_limit_exceeded", "Wait."), 429, "rate_limit_error"),
        (Unavailable("model_loading", "Wait."), 503, "overloaded_error"),
        (AuditUnavailable("audit_unavailable", "Full."), 503, "overloaded_error"),
        (Queued("task_queued", "It waits.", item={"id": "wait-1"}), 422, "invalid_request_error"),
        (KeyError("unexpected"), 500, "api_error"),
    ],
)
async def test_errors_are_those_of_the_api(
    lan: Lan, refusal: Exception, status: int, kind: str
) -> None:
    lan.inference.refusal = refusal
    reply = await lan.client.post(ROUTE, json=body())
    found = reply.json()
    assert (reply.status_code, found["type"], found["error"]["type"]) == (status, "error", kind)
    assert found["request_id"] == reply.headers["request-id"]
    assert found["error"]["details"]["error_code"] == getattr(refusal, "code", "internal_error")
    assert int(reply.headers["content-length"]) == len(reply.content)
    assert ("retry-after" in reply.headers) == (status in (429, 503))


async def test_a_refusal_before_the_route_is_in_the_same_words(lan: Lan) -> None:
    async with lan.anonymous(**{"x-api-key": "sk-wrong"}) as client:
        bare = (await client.post(ROUTE, json=body())).json()
    assert bare["error"]["type"] == "authentication_error"
    wrong = (await lan.client.post(ROUTE, json=body(max_tokens=0))).json()["error"]
    assert wrong["details"] == {"error_code": "invalid_value", "param": "max_tokens"}
    absent = (await lan.client.post(f"{ROUTE}/batches", json={})).json()
    assert absent["error"]["type"] == "not_found_error"
    # The control: the other dialect keeps its own.
    chat = (await lan.client.post("/v1/chat/completions", json={})).json()
    assert "type" not in chat and chat["error"]["code"] == "invalid_value"


async def test_a_stream_of_what_waits_for_a_person_is_one_error_event(lan: Lan) -> None:
    lan.inference.refusal = Queued("task_queued", "It waits.", item={"id": "wait-1"})
    reply = await lan.client.post(ROUTE, json=body(stream=True))
    assert reply.text.startswith("event: error\n") and '"item":"wait-1"' in reply.text


async def test_quotas_are_told_in_the_words_of_the_api(lan: Lan) -> None:
    _, secret = lan.services.keys.create("limited", limits=Limits(rpm=7))
    async with lan.anonymous(**{"x-api-key": secret}) as client:
        reply = await client.post(ROUTE, json=body())
    assert reply.headers["anthropic-ratelimit-requests-limit"] == "7"
    assert not [name for name in reply.headers if name.startswith("x-ratelimit")]


async def test_an_answer_is_given_again(lan: Lan) -> None:
    named = {"idempotency-key": "m-1"}
    first = await lan.client.post(ROUTE, json=body(), headers=named)
    again = await lan.client.post(ROUTE, json=body(), headers=named)
    assert (again.content, len(lan.inference.requests)) == (first.content, 1)
    assert again.headers["request-id"] == first.headers["request-id"]


class _Counter:
    def __init__(self) -> None:
        self.asked: list[GenerationRequest] = []

    async def tokens(self, _principal: Principal, request: GenerationRequest) -> Tokens:
        self.asked.append(request)
        return Tokens(0, [1] * len(request.messages or ()))


async def test_tokens_are_counted_as_the_model_would_read_them(lan: Lan) -> None:
    counter = _Counter()
    app = create_lan_app(having(lan.services, tokenizers=cast(Tokenizers, counter)))
    asked = body(system="Be brief.", tools=[{"name": "weather", "input_schema": CITY}])
    del asked["max_tokens"]
    headers = {"x-api-key": lan.secret}
    transport = httpx.ASGITransport(app)
    async with httpx.AsyncClient(transport=transport, base_url="http://l", headers=headers) as c:
        reply = await c.post(f"{ROUTE}/count_tokens", json=asked)
    assert reply.json() == {"input_tokens": 2}
    ((request),) = counter.asked
    assert request.tools is not None and request.request_id == reply.headers["request-id"]
    assert not lan.inference.requests


async def test_a_text_that_ends_the_answer_is_told(lan: Lan) -> None:
    lan.inference.script = (Delta("Hel", 1), Delta("", 1, "stop", stopped="###"))
    reply = (await lan.client.post(ROUTE, json=body(stop_sequences=["###"]))).json()
    assert (reply["stop_reason"], reply["stop_sequence"]) == ("stop_sequence", "###")
