"""Batches through the routes, on the scripted engine: shapes, answers, refusals, cancel, erase."""

import asyncio
import json
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import httpx
import pytest
from openai.types import Batch

from appliance.errors import NotFound, Overloaded, Unavailable
from appliance.types import Delta, Priority
from tests.api.conftest import Lan
from tests.api.fake import CARD, TEXT, worker_lost

CHAT = "/v1/chat/completions"


def line(number: int, **body: Any) -> dict[str, Any]:
    asked = {"model": CARD.id, "messages": [{"role": "user", "content": f"Hi {number}"}], **body}
    return {"custom_id": f"line {number}", "method": "POST", "url": CHAT, "body": asked}


def jsonl(lines: Sequence[dict[str, Any]]) -> bytes:
    return "".join(json.dumps(one) + "\n" for one in lines).encode()


async def sent(client: httpx.AsyncClient, content: bytes, **fields: str) -> httpx.Response:
    form = {"purpose": "batch", **fields}
    return await client.post("/v1/files", data=form, files={"file": ("lines.jsonl", content)})


async def made(lan: Lan, content: bytes, **fields: Any) -> dict[str, Any]:
    file = (await sent(lan.client, content)).json()
    asked = {"input_file_id": file["id"], "endpoint": CHAT, "completion_window": "24h", **fields}
    reply = await lan.client.post("/v1/batches", json=asked)
    assert reply.status_code == 200, reply.text
    found: dict[str, Any] = reply.json()
    return found


async def ended(lan: Lan, batch: str) -> dict[str, Any]:
    stored = lan.services.batches.store.get(batch)
    live = lan.services.jobs.live(stored.job or 0)
    if live is not None:
        await asyncio.wait([asyncio.ensure_future(live.outcome())])
    found: dict[str, Any] = (await lan.client.get(f"/v1/batches/{batch}")).json()
    Batch.model_validate(found)
    return found


async def lines_of(lan: Lan, file: str | None) -> list[dict[str, Any]]:
    if file is None:
        return []
    content = await lan.client.get(f"/v1/files/{file}/content")
    return [json.loads(one) for one in content.text.splitlines()]


async def test_each_line_is_answered_and_recorded_once(lan: Lan) -> None:
    batch = await made(lan, jsonl([line(n) for n in range(40)]), metadata={"for": "a test"})
    Batch.model_validate(batch)
    found = await ended(lan, batch["id"])
    assert found["status"] == "completed" and found["metadata"] == {"for": "a test"}
    assert found["request_counts"] == {"total": 40, "completed": 40, "failed": 0}
    assert found["error_file_id"] is None
    answers = await lines_of(lan, found["output_file_id"])
    assert [one["custom_id"] for one in answers] == [f"line {n}" for n in range(40)]
    for one in answers:
        response = one["response"]
        assert response["status_code"] == 200 and one["error"] is None
        assert response["body"]["choices"][0]["message"]["content"] == TEXT
        receipt = (await lan.client.get(f"/v1/receipts/{response['request_id']}")).json()
        assert one["x_appliance"]["receipt"].split()[0] == str(receipt["outcome"]["seq"])
        assert one["x_appliance"]["begun_before"] == []
    callers = [caller for caller, _ in lan.inference.requests]
    assert len({caller.request_id for caller in callers}) == 40
    assert {caller.principal.limits.priority for caller in callers} == {Priority.BATCH}
    assert {caller.client.x_client_request_id for caller in callers} == {batch["id"]}


def code(reply: httpx.Response) -> tuple[int, str]:
    return reply.status_code, reply.json()["error"]["code"]


async def test_a_refused_line_is_an_error_line_and_the_others_go_on(lan: Lan) -> None:
    wrong = [
        line(1, temperature="hot"),
        line(2, stream=True),
        line(3, service_tier="priority"),
    ]
    found = await ended(lan, (await made(lan, jsonl([line(0), *wrong, line(4)])))["id"])
    assert found["request_counts"] == {"total": 5, "completed": 2, "failed": 3}
    answers = await lines_of(lan, found["output_file_id"])
    assert [one["custom_id"] for one in answers] == ["line 0", "line 4"]
    refused = await lines_of(lan, found["error_file_id"])
    assert [one["custom_id"] for one in refused] == ["line 1", "line 2", "line 3"]
    assert refused[0]["response"]["status_code"] == 400
    assert refused[0]["response"]["body"]["error"]["code"] == "invalid_value"
    assert {one["error"]["code"] for one in refused[1:]} == {"unsupported_parameter"}
    assert all(one["x_appliance"]["receipt"] is None for one in refused)


async def test_a_line_that_failed_after_its_intent_has_a_receipt(lan: Lan) -> None:
    lan.inference.script = (worker_lost(),)
    found = await ended(lan, (await made(lan, jsonl([line(0)])))["id"])
    (refused,) = await lines_of(lan, found["error_file_id"])
    assert refused["response"]["body"]["error"]["code"] == "worker_lost"
    seq = int(refused["x_appliance"]["receipt"].split()[0])
    assert lan.services.reader.entry(seq).body["request_id"] == refused["response"]["request_id"]
    assert len(lan.inference.requests) == 1, "it is not paid twice"


@pytest.mark.parametrize(
    ("lines", "problem", "at"),
    [
        ([line(0), line(1), line(0)], "batch_id_twice", 3),
        ([line(0), {**line(1), "url": "/v1/embeddings"}], "batch_wrong_url", 2),
        ([line(0), line(1, model="org/other:1")], "batch_mixed_models", 2),
        ([{**line(0), "method": "GET"}], "batch_line_invalid", 1),
        ([{"custom_id": "a"}], "batch_line_invalid", 1),
        ([{**line(0), "custom_id": ""}], "batch_line_invalid", 1),
        ([{**line(0), "custom_id": "\ud800"}], "batch_line_invalid", 1),
    ],
)
async def test_a_file_with_a_fault_fails_and_no_line_of_it_runs(
    lan: Lan, lines: list[dict[str, Any]], problem: str, at: int
) -> None:
    found = await ended(lan, (await made(lan, jsonl(lines)))["id"])
    assert found["status"] == "failed" and found["failed_at"]
    (error,) = found["errors"]["data"]
    assert (error["code"], error["line"]) == (problem, at)
    assert found["output_file_id"] is None and found["error_file_id"] is None
    assert not lan.inference.requests


async def test_what_is_no_jsonl_fails_with_its_first_hundred_lines(lan: Lan) -> None:
    found = await ended(lan, (await made(lan, b"\x00\xff no json\n" * 300))["id"])
    assert found["status"] == "failed" and len(found["errors"]["data"]) == 100
    assert {one["code"] for one in found["errors"]["data"]} == {"batch_line_invalid"}


async def test_half_of_a_pair_in_a_text_fails_before_anything_runs(lan: Lan) -> None:
    bad = line(1, messages=[{"role": "user", "content": "\ud83d"}])
    found = await ended(lan, (await made(lan, jsonl([line(0), bad])))["id"])
    assert found["errors"]["data"][0]["line"] == 2 and not lan.inference.requests


async def test_cancel_ends_it_and_tells_each_line_that_is_left(lan: Lan) -> None:
    lan.inference.hold = asyncio.Event()
    batch = await made(lan, jsonl([line(n) for n in range(30)]))
    await lan.inference.starting.wait()
    cancelled = (await lan.client.post(f"/v1/batches/{batch['id']}/cancel", json={})).json()
    assert cancelled["status"] in ("cancelling", "cancelled") and cancelled["cancelling_at"]
    lan.inference.hold.set()
    found = await ended(lan, batch["id"])
    assert found["status"] == "cancelled" and found["cancelled_at"]
    done = await lines_of(lan, found["output_file_id"])
    left = await lines_of(lan, found["error_file_id"])
    assert sorted(one["custom_id"] for one in [*done, *left]) == sorted(
        f"line {n}" for n in range(30)
    )
    assert {one["error"]["code"] for one in left} == {"batch_cancelled"}
    again = await lan.client.post(f"/v1/batches/{batch['id']}/cancel", json={})
    assert code(again) == (409, "batch_ended")


async def test_a_key_that_is_revoked_in_the_middle_ends_its_batch(lan: Lan) -> None:
    key, secret = lan.services.keys.create("leaving")
    async with lan.anonymous(**{"x-api-key": secret}) as client:
        lan.inference.hold = asyncio.Event()
        own = replace(lan, client=client)
        batch = await made(own, jsonl([line(n) for n in range(50)]))
        await lan.inference.starting.wait()
        lan.services.keys.revoke(key.id)
        lan.inference.hold.set()
        stored = lan.services.batches.store.get(batch["id"])
        live = lan.services.jobs.live(stored.job or 0)
        if live is not None:
            await live.outcome()
    found = lan.services.batches.store.get(batch["id"])
    assert found.status == "failed" and found.problems[0].code == "invalid_api_key"
    assert found.completed + found.failed == 50 and found.completed < 50


async def test_a_quota_is_waited_for(lan: Lan, monkeypatch: pytest.MonkeyPatch) -> None:
    refusals = [Overloaded("rate_limit_exceeded", "Too many.", retry_after=9) for _ in range(3)]
    waits: list[float] = []

    async def sleep(seconds: float) -> None:
        waits.append(seconds)
        if len(waits) == len(refusals):
            lan.inference.refusal = None

    monkeypatch.setattr(lan.services.batches._parts, "sleep", sleep)
    lan.inference.refusal = refusals[0]
    found = await ended(lan, (await made(lan, jsonl([line(0)])))["id"])
    assert found["request_counts"]["completed"] == 1 and waits == [9, 9, 9]


@pytest.mark.parametrize("deaths", [1, 2])
async def test_a_line_whose_engine_died_before_it_began_is_asked_once_more(
    lan: Lan, monkeypatch: pytest.MonkeyPatch, deaths: int
) -> None:
    lan.inference.refusal = worker_lost()

    async def sleep(_: float) -> None:
        if len(lan.inference.requests) == deaths:
            lan.inference.refusal = None

    monkeypatch.setattr(lan.services.batches._parts, "sleep", sleep)
    found = await ended(lan, (await made(lan, jsonl([line(0)])))["id"])
    assert found["request_counts"]["failed"] == deaths - 1
    assert len(lan.inference.requests) == 2


async def test_to_another_key_nothing_is_there(lan: Lan) -> None:
    found = await ended(lan, (await made(lan, jsonl([line(0)])))["id"])
    _, secret = lan.services.keys.create("stranger")
    async with lan.anonymous(**{"x-api-key": secret}) as client:
        for file in (found["input_file_id"], found["output_file_id"]):
            for path in (f"/v1/files/{file}", f"/v1/files/{file}/content"):
                assert code(await client.get(path)) == (404, "file_not_found")
            assert code(await client.delete(f"/v1/files/{file}")) == (404, "file_not_found")
        assert code(await client.get(f"/v1/batches/{found['id']}")) == (404, "batch_not_found")
        path = f"/v1/batches/{found['id']}/cancel"
        assert code(await client.post(path, json={})) == (404, "batch_not_found")
        asked = {"input_file_id": file, "endpoint": CHAT, "completion_window": "24h"}
        assert code(await client.post("/v1/batches", json=asked)) == (404, "file_not_found")
        for path in ("/v1/batches", "/v1/files"):
            assert (await client.get(path)).json()["data"] == []


async def test_a_key_whose_texts_are_not_kept_has_none(lan: Lan) -> None:
    _, secret = lan.services.keys.create("private", content="off")
    async with lan.anonymous(**{"x-api-key": secret}) as client:
        assert code(await sent(client, jsonl([line(0)]))) == (403, "files_retention")
        asked = {"input_file_id": "file-x", "endpoint": CHAT, "completion_window": "24h"}
        assert code(await client.post("/v1/batches", json=asked)) == (403, "files_retention")


async def test_erasing_a_request_erases_its_line_and_its_answer(lan: Lan) -> None:
    found = await ended(lan, (await made(lan, jsonl([line(n) for n in range(3)])))["id"])
    _, middle, _ = await lines_of(lan, found["output_file_id"])
    request = middle["response"]["request_id"]
    erased = await asyncio.to_thread(
        lan.services.erasure.erase, request, "person:test", "asked for"
    )
    assert erased.places["batches"] == 2
    for file in (found["input_file_id"], found["output_file_id"]):
        text = (await lan.client.get(f"/v1/files/{file}/content")).text
        assert "line 1" not in text and "Hi 1" not in text
        assert "line 0" in text and "line 2" in text
        assert '"code":"erased"' in text.splitlines()[1]
    with pytest.raises(NotFound):
        await asyncio.to_thread(lan.services.erasure.erase, request, "person:test", "again")


async def test_lists_are_pages(lan: Lan) -> None:
    made_now = [(await ended(lan, (await made(lan, jsonl([line(n)])))["id"])) for n in range(3)]
    first = (await lan.client.get("/v1/batches?limit=2")).json()
    assert [one["id"] for one in first["data"]] == [made_now[2]["id"], made_now[1]["id"]]
    assert first["has_more"] is True
    rest = (await lan.client.get(f"/v1/batches?after={first['last_id']}")).json()
    assert [one["id"] for one in rest["data"]] == [made_now[0]["id"]]
    assert rest["has_more"] is False
    assert code(await lan.client.get("/v1/batches?after=batch_x")) == (400, "invalid_value")


@pytest.mark.parametrize("endpoint", ["/v1/completions", "/v1/embeddings", "/v1/responses"])
async def test_the_other_addresses_answer_lines_too(lan: Lan, endpoint: str) -> None:
    if endpoint == "/v1/embeddings":
        lan.inference.script = (Delta("", 0, vector=b"\0\0\0\0"), Delta("", 0, "stop"))
    body: dict[str, Any] = {"model": CARD.id}
    body |= {"prompt": ["a", "b"]} if endpoint == "/v1/completions" else {"input": "a"}
    one = {"custom_id": "a", "method": "POST", "url": endpoint, "body": body}
    found = await ended(lan, (await made(lan, jsonl([one]), endpoint=endpoint))["id"])
    (answer,) = await lines_of(lan, found["output_file_id"])
    assert answer["response"]["status_code"] == 200
    receipts = answer["x_appliance"]["receipt"].split(", ")
    entries = [lan.services.reader.entry(int(receipt.split()[0])) for receipt in receipts]
    ids = [str(entry.body["request_id"]) for entry in entries]
    assert len(ids) == (2 if endpoint == "/v1/completions" else 1)
    await asyncio.to_thread(lan.services.erasure.erase, ids[-1], "person:test", "asked for")
    (answer,) = await lines_of(lan, found["output_file_id"])
    assert answer["error"]["code"] == "erased"


async def test_people_see_it_among_the_jobs_and_may_cancel_it(lan: Lan) -> None:
    lan.inference.hold = asyncio.Event()
    batch = await made(lan, jsonl([line(n) for n in range(5)]))
    await lan.inference.starting.wait()
    job = lan.services.batches.store.get(batch["id"]).job or 0
    shown = await lan.services.jobs.get(job)
    assert batch["id"] in shown.job.title and "cancel" in shown.actions
    await lan.services.jobs.pause(job, "person:op")
    lan.inference.hold.set()
    live = lan.services.jobs.live(job)
    assert live is not None
    with pytest.raises(Unavailable):
        await live.outcome()
    paused = (await lan.client.get(f"/v1/batches/{batch['id']}")).json()
    assert paused["status"] == "in_progress"
    await lan.services.jobs.cancel(job, "person:op")
    await lan.services.batches.adopt()
    assert (await ended(lan, batch["id"]))["status"] == "cancelled"
