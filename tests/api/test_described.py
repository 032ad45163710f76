"""The OpenAPI document says what every operation can answer with, and how to bring a key."""

from typing import Any

import httpx
import pytest

from appliance.api.app import DOCUMENTATION
from appliance.api.dialect import speaks_anthropic
from tests.api.conftest import Lan
from tests.api.test_app import ROUTES

ROUTED = {
    "/v1/chat/completions", "/v1/completions", "/v1/responses", "/v1/classify", "/v1/messages",
}  # fmt: skip
KEYED = {"400", "401", "404", "413", "415", "429", "500", "503", "default"}
ITEM = {"$ref": "#/components/schemas/QueueItem"}
ERROR = {"$ref": "#/components/schemas/ErrorResponse"}
MESSAGES_ERROR = {"$ref": "#/components/schemas/MessageErrorReply"}
ANSWERS = ("/v1/chat/completions", "/v1/completions", "/v1/responses", "/v1/messages")


@pytest.fixture
async def document(lan: Lan) -> Any:
    return (await lan.client.get("/openapi.json")).json()


async def test_each_operation_names_its_statuses_and_its_keys(document: Any) -> None:
    assert document["openapi"].startswith("3.1.")
    for path, item in document["paths"].items():
        for operation in item.values():
            if path in ("/healthz", "/readyz"):
                assert "security" not in operation
            else:
                assert operation["security"] == [{"bearer": []}, {"key": []}]
                waits = {"202", "422"} if path in ROUTED else set()
                assert set(operation["responses"]) == KEYED | {"200"} | waits
            for status, response in operation["responses"].items():
                if status == "202":
                    assert response["content"]["application/json"]["schema"] == ITEM
                    assert {"x-request-id", "location"} == set(response["headers"])
                elif status != "200":
                    error = MESSAGES_ERROR if speaks_anthropic(path) else ERROR
                    assert response["content"]["application/json"]["schema"] == error
                    assert "x-request-id" in response["headers"]
                    assert ("location" in response["headers"]) == (status == "422")
                    assert ("retry-after" in response["headers"]) == (status in ("429", "503"))
    schemes = document["components"]["securitySchemes"]
    assert schemes["bearer"]["scheme"] == "bearer" and schemes["key"]["name"] == "x-api-key"


async def test_answers_of_a_model_name_their_receipt_and_streams(document: Any) -> None:
    routes = ("/v1/embeddings", "/v1/rerank", "/v1/search", "/v1/classify")
    for path in (*ANSWERS, *routes):
        answer = document["paths"][path]["post"]["responses"]["200"]
        assert {"x-request-id", "x-appliance-receipt"} <= set(answer["headers"])
        assert ("text/event-stream" in answer["content"]) == (path in ANSWERS)


async def test_operations_have_short_ids_of_their_own(document: Any) -> None:
    ids = [operation["operationId"] for item in document["paths"].values() for operation in
           item.values()]  # fmt: skip
    assert len(set(ids)) == len(ids) == sum(len(ROUTES[p]) for p in set(ROUTES) - DOCUMENTATION)
    assert all(name.isidentifier() and len(name) < 20 for name in ids)


async def test_every_body_has_an_example_and_every_named_header_is_sent(
    lan: Lan, document: Any, chat_body: dict[str, Any]
) -> None:
    for item in document["paths"].values():
        for operation in item.values():
            if "requestBody" in operation:
                content = operation["requestBody"]["content"]
                if set(content) == {"multipart/form-data"}:
                    assert content["multipart/form-data"]["schema"]["examples"]
                    continue
                content = content["application/json"]
                name = content["schema"]["$ref"].rpartition("/")[2]
                assert document["components"]["schemas"][name]["examples"]
    reply = await lan.client.post("/v1/chat/completions", json=chat_body)
    described = document["paths"]["/v1/chat/completions"]["post"]["responses"]
    assert set(described["200"]["headers"]) <= set(reply.headers)
    async with lan.anonymous() as client:
        refused: httpx.Response = await client.post("/v1/chat/completions", json=chat_body)
    assert set(described["401"]["headers"]) <= set(refused.headers)
