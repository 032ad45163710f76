"""The evidence of a request, checked as a client would check it."""

from typing import Any

import pytest

from appliance.audit.proof import check_proof
from appliance.types import Delta
from tests.api.conftest import Lan
from tests.api.fake import worker_lost

CHAT = "/v1/chat/completions"


async def test_the_app_gets_a_proof_that_needs_only_the_genesis_key(
    lan: Lan, chat_body: dict[str, Any]
) -> None:
    answer = await lan.client.post(CHAT, json=chat_body)
    request_id = answer.headers["x-request-id"]
    receipt = (await lan.client.get(f"/v1/receipts/{request_id}")).json()
    seq, leaf, _size = answer.headers["x-appliance-receipt"].split()
    assert receipt["request_id"] == request_id
    assert receipt["outcome"] == {"seq": int(seq), "leaf": leaf}
    assert receipt["intent"]["seq"] == lan.inference.generations[0].intent.seq
    genesis = (lan.services.data / "audit" / "genesis.pub").read_bytes()
    proved = check_proof(receipt["proof"].encode(), genesis)
    assert (proved.seq, proved.body["request_id"]) == (int(seq), request_id)
    assert receipt["checkpoint"] in receipt["proof"]


async def test_without_an_outcome_the_proof_is_of_the_intent(
    lan: Lan, chat_body: dict[str, Any]
) -> None:
    lan.inference.script = (Delta("a", 1), worker_lost())
    answer = await lan.client.post(CHAT, json={**chat_body, "stream": True})
    receipt = (await lan.client.get(f"/v1/receipts/{answer.headers['x-request-id']}")).json()
    assert receipt["outcome"] is None
    genesis = (lan.services.data / "audit" / "genesis.pub").read_bytes()
    assert check_proof(receipt["proof"].encode(), genesis).seq == receipt["intent"]["seq"]


async def test_another_app_cannot_tell_that_the_request_exists(
    lan: Lan, chat_body: dict[str, Any]
) -> None:
    request_id = (await lan.client.post(CHAT, json=chat_body)).headers["x-request-id"]
    key, secret = lan.services.keys.create("other app")
    async with lan.anonymous(authorization=f"Bearer {secret}") as client:
        theirs = await client.get(f"/v1/receipts/{request_id}")
        nobodys = await client.get(f"/v1/receipts/req-{'0' * 32}")
    lan.services.keys.revoke(key.id)
    assert theirs.status_code == nobodys.status_code == 404
    assert theirs.json()["error"]["message"].replace(request_id, "") == (
        nobodys.json()["error"]["message"].replace(f"req-{'0' * 32}", "")
    )


@pytest.mark.parametrize("name", ["x", "req-1", "req-" + "0" * 33, "req-" + "G" * 32, "%00", "1"])
async def test_what_is_no_request_id_is_404(lan: Lan, name: str) -> None:
    reply = await lan.client.get(f"/v1/receipts/{name}")
    assert (reply.status_code, reply.json()["error"]["code"]) == (404, "not_found")
