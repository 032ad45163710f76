"""A request that is sent again under its name: the same answer and receipt, and nothing runs."""

import asyncio

import httpx
import sqlalchemy as sa

from appliance.errors import AuditUnavailable, BadRequest
from appliance.types import Limits
from tests.api.conftest import Lan
from tests.api.fake import CARD, TEXT

CHAT = "/v1/chat/completions"
NAMED = {"idempotency-key": "order-7"}


def code(reply: httpx.Response) -> tuple[int, str]:
    return reply.status_code, reply.json()["error"]["code"]


async def test_the_same_answer_and_receipt_and_nothing_runs(
    lan: Lan, chat_body: dict[str, object]
) -> None:
    first = await lan.client.post(CHAT, json=chat_body, headers=NAMED)
    size = lan.services.audit.size
    again = await lan.client.post(CHAT, json=chat_body, headers=NAMED)
    assert again.content == first.content and TEXT in again.text
    for name in ("x-appliance-receipt", "x-request-id", "content-type"):
        assert again.headers[name] == first.headers[name]
    assert "idempotent-replayed" not in first.headers
    assert again.headers["idempotent-replayed"] == "true"
    assert len(lan.inference.requests) == 1 and lan.services.audit.size == size
    receipt = await lan.client.get(f"/v1/receipts/{again.headers['x-request-id']}")
    assert receipt.status_code == 200
    # The control: without the name, each runs.
    await lan.client.post(CHAT, json=chat_body)
    assert len(lan.inference.requests) == 2


async def test_another_body_or_route_under_the_name_is_refused(
    lan: Lan, chat_body: dict[str, object]
) -> None:
    await lan.client.post(CHAT, json=chat_body, headers=NAMED)
    other = await lan.client.post(CHAT, json={**chat_body, "seed": 1}, headers=NAMED)
    assert code(other) == (422, "idempotency_mismatch")
    body = {"model": CARD.id, "prompt": "Hi"}
    assert code(await lan.client.post("/v1/completions", json=body, headers=NAMED))[0] == 422
    assert len(lan.inference.requests) == 1


async def test_names_of_other_keys_are_others(lan: Lan, chat_body: dict[str, object]) -> None:
    await lan.client.post(CHAT, json=chat_body, headers=NAMED)
    _, secret = lan.services.keys.create("second app")
    async with lan.anonymous(**{"x-api-key": secret}) as client:
        reply = await client.post(CHAT, json={**chat_body, "seed": 1}, headers=NAMED)
    assert reply.status_code == 200 and len(lan.inference.requests) == 2


async def test_what_is_erased_is_neither_given_nor_asked_again(
    lan: Lan, chat_body: dict[str, object]
) -> None:
    first = await lan.client.post(CHAT, json=chat_body, headers=NAMED)
    erased = lan.services.erasure.erase(first.headers["x-request-id"], "uid:7", "asked for")
    assert erased.places["kept answers"] == 1
    again = await lan.client.post(CHAT, json=chat_body, headers=NAMED)
    assert code(again) == (409, "erased") and again.headers["x-should-retry"] == "false"
    assert len(lan.inference.requests) == 1
    table = sa.table("kept_answers", sa.column("sealed"), sa.column("wrapped"))
    with lan.services.kept.database.begin() as connection:
        assert set(connection.execute(sa.select(table)).all()) >= {(None, None)}


async def test_a_request_that_was_refused_may_be_sent_again(
    lan: Lan, chat_body: dict[str, object]
) -> None:
    lan.inference.refusal = AuditUnavailable("audit_unavailable", "The disk is full.")
    assert (await lan.client.post(CHAT, json=chat_body, headers=NAMED)).status_code == 503
    lan.inference.refusal = BadRequest("context_length_exceeded", "Too long.")
    assert (await lan.client.post(CHAT, json=chat_body, headers=NAMED)).status_code == 400
    lan.inference.refusal = None
    assert (await lan.client.post(CHAT, json=chat_body, headers=NAMED)).status_code == 200


async def test_while_the_first_runs_the_next_is_told_to_come_back(
    lan: Lan, chat_body: dict[str, object]
) -> None:
    lan.inference.hold = asyncio.Event()
    first = asyncio.create_task(lan.client.post(CHAT, json=chat_body, headers=NAMED))
    await lan.inference.starting.wait()
    busy = await lan.client.post(CHAT, json=chat_body, headers=NAMED)
    assert code(busy) == (409, "idempotency_running")
    assert (busy.headers["retry-after"], busy.headers["x-should-retry"]) == ("1", "true")
    lan.inference.hold.set()
    assert (await first).status_code == 200
    again = await lan.client.post(CHAT, json=chat_body, headers=NAMED)
    assert again.content == (await first).content


async def test_a_stream_and_a_name_that_is_none_are_refused(
    lan: Lan, chat_body: dict[str, object]
) -> None:
    reply = await lan.client.post(CHAT, json={**chat_body, "stream": True}, headers=NAMED)
    assert code(reply) == (400, "unsupported_parameter")
    assert reply.json()["error"]["param"] == "idempotency-key"
    for name in ("", " ", "x" * 256, "a b"):
        reply = await lan.client.post(CHAT, json=chat_body, headers={"idempotency-key": name})
        assert code(reply) == (400, "invalid_value"), name
    assert not lan.inference.requests
    assert (await lan.client.post(CHAT, json=chat_body, headers=NAMED)).status_code == 200


async def test_a_key_whose_texts_are_not_kept_has_no_answer_twice(
    lan: Lan, chat_body: dict[str, object]
) -> None:
    _, secret = lan.services.keys.create("quiet", content="commit-only")
    async with lan.anonymous(**{"x-api-key": secret}) as client:
        reply = await client.post(CHAT, json=chat_body, headers=NAMED)
    assert code(reply) == (403, "idempotency_retention") and not lan.inference.requests


async def test_giving_again_counts_as_a_request(lan: Lan, chat_body: dict[str, object]) -> None:
    _, secret = lan.services.keys.create("hasty", limits=Limits(rpm=2))
    async with lan.anonymous(**{"x-api-key": secret}) as client:
        replies = [await client.post(CHAT, json=chat_body, headers=NAMED) for _ in range(4)]
    # The scripted engine takes no place, so the first is not counted.
    assert [reply.status_code for reply in replies] == [200, 200, 200, 429]


async def test_several_prompts_are_erased_by_the_id_of_any(lan: Lan) -> None:
    lan.inference.choices = 1
    body = {"model": CARD.id, "prompt": ["Hi", "Ho"]}
    first = await lan.client.post("/v1/completions", json=body, headers=NAMED)
    assert first.status_code == 200
    second = lan.inference.requests[1][0].request_id
    assert second != first.headers["x-request-id"]
    lan.services.erasure.erase(second, "uid:7", "asked for")
    again = await lan.client.post("/v1/completions", json=body, headers=NAMED)
    assert code(again) == (409, "erased")
