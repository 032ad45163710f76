"""Addresses that clients try first answer as the ones that they mean."""

import json

import pytest
from fastapi.routing import iter_route_contexts

from appliance.api import app
from appliance.api.aliases import meant
from appliance.api.openai import login
from tests.api.conftest import Lan
from tests.api.fake import CARD, TEXT


@pytest.mark.parametrize(
    ("path", "wanted"),
    [
        ("/chat/completions", "/v1/chat/completions"), ("/models/a/b", "/v1/models/a/b"),
        ("/v1/v1/messages", "/v1/messages"), ("/messages", "/v1/messages"),
        ("/conversations/c/items", "/v1/conversations/c/items"),
        ("/rerank", "/v1/rerank"), ("/v2/rerank", "/v1/rerank"), ("/health", "/healthz"),
        ("/v1/health", "/healthz"), ("/v1/models", "/v1/models"), ("/tokenize", "/tokenize"),
        ("/usage", "/v1/usage"), ("/queue/i/answer", "/v1/queue/i/answer"),
        ("/v1", "/v1"), ("/", "/"), ("/v1/v1", "/v1/v1"), ("/modelsx", "/modelsx"),
        ("/admin/status", "/admin/status"), ("/docs", "/docs"),
    ],
)  # fmt: skip
def test_the_address_that_is_meant(path: str, wanted: str) -> None:
    assert meant(path) == wanted
    assert meant(wanted) == wanted


def test_each_route_below_v1_has_its_short_address() -> None:
    served = iter_route_contexts([*app._routes(True, True), *login.router.routes])
    paths = {str(one.path) for one in served if str(one.path).startswith("/v1/")}
    assert len(paths) > 30
    assert {path for path in paths if meant(path.removeprefix("/v1")) != path} == set()


async def test_base_urls_without_v1_work_and_the_log_knows_one_name(
    lan: Lan, chat_body: dict[str, object]
) -> None:
    reply = await lan.client.post("/chat/completions", json=chat_body)
    assert reply.json()["choices"][0]["message"]["content"] == TEXT
    ((caller, _),) = lan.inference.requests
    assert caller.route == "/v1/chat/completions"
    assert (await lan.client.get("/models")).json()["data"][0]["id"] == CARD.id
    found = await lan.client.get("/messages")
    assert found.json()["type"] == "error"  # in the words of that API


async def test_an_alias_asks_for_a_key_where_its_route_does(lan: Lan) -> None:
    async with lan.anonymous() as client:
        for path, status in (
            ("/health", 200), ("/v1/health", 200), ("/models", 401), ("/v2/rerank", 401),
            ("/chat/completions", 401),
        ):  # fmt: skip
            assert (await client.get(path)).status_code == status, path
        assert (await client.head("/health")).status_code == 200


@pytest.mark.parametrize("path", ["/v1/audio/transcriptions", "/v1/uploads", "/v1/images/edits"])
async def test_multipart_to_no_route_is_404_in_words(lan: Lan, path: str) -> None:
    reply = await lan.client.post(path, files={"file": ("a.txt", b"x")})
    assert (reply.status_code, reply.json()["error"]["code"]) == (404, "not_found")
    assert path in reply.json()["error"]["message"]
    # The control: where a route is, the type is what is wrong.
    there = await lan.client.post("/v1/embeddings", files={"file": ("a.txt", b"x")})
    assert there.json()["error"]["code"] == "unsupported_media_type"
    large = await lan.client.post(path, content=b"x" * 300_000)
    assert large.status_code == 413


async def test_the_first_delta_says_null_as_that_of_openai(
    lan: Lan, chat_body: dict[str, object]
) -> None:
    reply = await lan.client.post("/v1/chat/completions", json={**chat_body, "stream": True})
    first, second = (json.loads(line[6:]) for line in reply.text.split("\n\n")[:2])
    delta = first["choices"][0]["delta"]
    assert delta == {"role": "assistant", "content": "", "refusal": None}
    assert set(second["choices"][0]["delta"]) == {"content"}
