"""Several prompts in one request: their order, their stream, and what ends all of them."""

import re
from typing import Any

import pytest

from appliance.errors import Overloaded, Queued
from appliance.types import Delta
from tests.api.conftest import Lan
from tests.api.fake import CARD, TEXT, worker_lost
from tests.api.openai.streams import stream

TEXTS = "/v1/completions"


async def test_several_prompts_are_answered_in_their_order(lan: Lan) -> None:
    lan.inference.choices = 2
    lan.inference.script = (Delta("x", 1, "stop", 1), Delta("y", 2, "stop", 0))
    body = {"model": CARD.id, "prompt": ["one", [5, 6], "three"], "n": 2}
    reply = await lan.client.post(TEXTS, json=body)
    choices = reply.json()["choices"]
    assert [(c["index"], c["text"]) for c in choices] == [
        (index, "yx"[index % 2]) for index in range(6)
    ]
    assert reply.json()["usage"]["prompt_tokens"] == 21
    assert reply.json()["usage"]["completion_tokens"] == 9
    asked = [(r.prompt, r.tokens) for _, r in lan.inference.requests]
    assert asked == [("one", None), (None, (5, 6)), ("three", None)]
    ids = [caller.request_id for caller, _ in lan.inference.requests]
    assert ids[0] == reply.headers["x-request-id"] and len(set(ids)) == 3
    receipts = [g.outcome.header() for g in lan.inference.generations if g.outcome]
    header = reply.headers["x-appliance-receipt"]
    assert header == ", ".join(receipts)
    paths = (await lan.client.get("/openapi.json")).json()["paths"]
    described = paths["/v1/completions"]["post"]["responses"]["200"]["headers"]
    assert re.search(described["x-appliance-receipt"]["schema"]["pattern"], header)


async def test_several_prompts_share_a_stream(lan: Lan) -> None:
    _, found = await stream(lan, TEXTS, {"model": CARD.id, "prompt": ["one", "two"]})
    choices = [c["choices"][0] for c in found[:-2]]
    for index in (0, 1):
        mine = [c for c in choices if c["index"] == index]
        assert "".join(c["text"] for c in mine) == TEXT
        assert [c["finish_reason"] for c in mine][-1] == "stop"
    outcomes = [g.outcome.header() for g in lan.inference.generations if g.outcome]
    assert found[-2:] == [": receipt " + ", ".join(outcomes), "[DONE]"]


async def test_if_one_prompt_fails_none_runs_on(lan: Lan) -> None:
    lan.inference.script = (Delta("x", 1), worker_lost())
    reply = await lan.client.post(TEXTS, json={"model": CARD.id, "prompt": ["one", "two"]})
    assert reply.json()["error"]["code"] == "worker_lost"
    assert all(g.cancelled.is_set() for g in lan.inference.generations)
    assert len(lan.inference.generations) == 2


async def test_if_one_prompt_cannot_start_the_others_are_cancelled(
    lan: Lan, monkeypatch: pytest.MonkeyPatch
) -> None:
    start = lan.inference.start

    async def only_one(caller: Any, request: Any) -> Any:
        if request.prompt == "two":
            raise Overloaded("queue_full", "The queue is full.")
        return await start(caller, request)

    monkeypatch.setattr(lan.inference, "start", only_one)
    reply = await lan.client.post(TEXTS, json={"model": CARD.id, "prompt": ["one", "two"]})
    assert (reply.status_code, reply.json()["error"]["code"]) == (429, "queue_full")
    (one,) = lan.inference.generations
    assert one.cancelled.is_set()


def queued(name: str) -> Queued:
    return Queued("task_queued", f"{name} waits.", item={"id": f"wait-{name}", "state": "waiting"})


async def test_every_input_that_waits_for_a_person_is_named(
    lan: Lan, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Those that wait at once, and those of which it is known only later."""
    start = lan.inference.start

    async def some(caller: Any, request: Any) -> Any:
        if request.prompt in ("one", "two"):
            raise queued(request.prompt)
        return await start(caller, request)

    monkeypatch.setattr(lan.inference, "start", some)
    lan.inference.script = (Delta("x", 1), queued("late"))
    body = {"model": CARD.id, "prompt": ["one", "three", "two"]}
    reply = await lan.client.post(TEXTS, json=body)
    error = reply.json()["error"]
    names = ["wait-one", "wait-two", "wait-late"]
    assert (reply.status_code, error["code"], error["items"]) == (422, "task_queued", names)
    assert error["item"] == names[0] and reply.headers["location"] == f"/v1/queue/{names[0]}"
    assert all(f"{name} waits." in error["message"] for name in ("one", "two", "late"))
    later = await lan.client.post(TEXTS, json=body, headers={"prefer": "respond-async"})
    assert (later.status_code, later.json()["items"]) == (202, names)
    all_at_once = await lan.client.post(TEXTS, json={**body, "prompt": ["one", "two"]})
    assert all_at_once.json()["error"]["items"] == names[:2]
    alone = await lan.client.post(TEXTS, json={**body, "prompt": ["one"]})
    assert alone.json()["error"]["item"] == "wait-one" and "items" not in alone.json()["error"]
    # Another failure ends all, whatever waits.
    lan.inference.script = (Delta("x", 1), worker_lost())
    lost = await lan.client.post(TEXTS, json=body)
    assert lost.json()["error"]["code"] == "worker_lost"
    assert all(g.cancelled.is_set() for g in lan.inference.generations)
