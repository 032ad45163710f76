"""What a key may see."""

import pytest

from tests.api.conftest import Lan
from tests.api.fake import CARD

MODEL = {
    "id": CARD.id,
    "object": "model",
    "type": "model",
    "display_name": CARD.id,
    "created": CARD.created,
    "created_at": "2025-11-24T16:00:00Z",
    "owned_by": "appliance",
    "parent": None,
    "max_model_len": 512,
    "meta": {
        "type": "chat", "digest": CARD.digest, "kind": "generate", "loaded": True, "tools": True,
        "json_schema": True, "labels": False, "citations": False,
    },
}  # fmt: skip


async def test_the_list_has_the_models_of_the_key(lan: Lan) -> None:
    reply = await lan.client.get("/v1/models")
    assert reply.json() == {
        "object": "list", "data": [MODEL], "has_more": False, "first_id": CARD.id,
        "last_id": CARD.id,
    }  # fmt: skip


@pytest.mark.parametrize("path", ["org/echo:1", "org%2Fecho%3A1"])
async def test_one_model_by_an_id_with_slashes_and_colons(lan: Lan, path: str) -> None:
    assert (await lan.client.get(f"/v1/models/{path}")).json() == MODEL


@pytest.mark.parametrize("path", ["nothing", "org", "org/echo:1/", "..%2f..%2fetc%2fpasswd", ""])
async def test_an_unknown_id_is_404(lan: Lan, path: str) -> None:
    reply = await lan.client.get(f"/v1/models/{path}")
    assert (reply.status_code, reply.json()["error"]["code"]) == (404, "model_not_found")


async def test_a_key_sees_only_its_own_models(lan: Lan) -> None:
    _, secret = lan.services.keys.create("narrow", models=["other"])
    async with lan.anonymous(**{"x-api-key": secret}) as client:
        assert (await client.get("/v1/models")).json()["data"] == []
        assert (await client.get(f"/v1/models/{CARD.id}")).status_code == 404
        body = {"model": CARD.id, "messages": [{"role": "user", "content": "Hi"}]}
        reply = await client.post("/v1/chat/completions", json=body)
        assert (reply.status_code, reply.json()["error"]["code"]) == (404, "model_not_found")
    lan.services.keys.revoke(lan.services.keys.list()[-1].id)
