"""Lines asked of the routes without a connection: what stands behind a route is the same."""

import asyncio
import json
from typing import Any

import pytest

from appliance.api.large_bodies import LargeBodies
from appliance.api.observe import Observer
from appliance.api.openai.batch_lines import BatchLines
from appliance.batches.lines import code_of
from appliance.batches.running import LineCall
from tests.api.conftest import Lan
from tests.api.fake import CARD, TEXT

CHAT = "/v1/chat/completions"
REQUEST = "req-" + "0" * 32


def lines(lan: Lan) -> BatchLines:
    observer = Observer(lan.services.rejected, lan.services.metrics)
    return BatchLines(lan.services, observer, LargeBodies())


def call(lan: Lan, url: str = CHAT, **body: Any) -> LineCall:
    asked = {"model": CARD.id, "messages": [{"role": "user", "content": "Hi"}], **body}
    who = lan.services.keys.authenticate(lan.secret)
    return LineCall(who, REQUEST, url, json.dumps(asked).encode(), "batch_1")


async def test_an_answer_has_the_id_it_was_asked_under_and_its_receipt(lan: Lan) -> None:
    reply = await lines(lan).ask(call(lan))
    assert reply.ok and json.loads(reply.body)["choices"][0]["message"]["content"] == TEXT
    assert reply.headers["x-request-id"] == REQUEST
    seq = int(reply.headers["x-appliance-receipt"].split()[0])
    assert lan.services.reader.entry(seq).body["request_id"] == REQUEST


async def test_refusals_are_those_of_the_routes_and_are_counted(lan: Lan) -> None:
    asked = lines(lan)
    for url, body, status, code in (
        (CHAT, {"temperature": 9}, 400, "invalid_value"),
        (CHAT, {"model": "org/none:1"}, 404, "model_not_found"),
        ("/v1/models", {}, 404, "not_found"),
        ("/v1/batches", {}, 404, "not_found"),
    ):
        reply = await asked.ask(call(lan, url, **body))
        assert (reply.status, code_of(reply)) == (status, code)
    lan.inference.refusal = RuntimeError("the prompt was: secret")
    reply = await asked.ask(call(lan))
    assert reply.status == 500 and b"secret" not in reply.body
    found = lan.services.rejected.take(everything=True)
    counted = {name for one in found for name in one.codes}
    assert {"invalid_value", "model_not_found", "not_found"} <= counted


async def test_who_gives_up_leaves_nothing_running(lan: Lan) -> None:
    lan.inference.script = (asyncio.Event(),)
    asking = asyncio.create_task(lines(lan).ask(call(lan)))
    while not lan.inference.generations:
        await asyncio.sleep(0)
    asking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asking
    assert lan.inference.generations[0].cancelled.is_set()
