"""Background responses: polled, cancelled, removed, erased; after a restart they failed."""

import asyncio
from pathlib import Path
from typing import Any

import httpx
import pytest
from openai.types.responses import Response as SdkResponse

from appliance.api.app import create_lan_app
from appliance.app import initialise, open_services
from appliance.errors import Overloaded
from appliance.types import Delta
from tests.api.conftest import Lan
from tests.api.fake import CARD, TEXT, FakeInference, with_fakes, worker_lost
from tests.api.openai.test_stored import ROUTE, body, code, heard


async def begun(lan: Lan, **fields: Any) -> tuple[str, dict[str, Any]]:
    reply = await lan.client.post(ROUTE, json=body(background=True, **fields))
    told: dict[str, Any] = reply.json()
    assert reply.status_code == 200 and SdkResponse.model_validate(told).status == "queued"
    seq = int(reply.headers["x-appliance-receipt"].split()[0])
    assert lan.services.reader.entry(seq).kind == "intent"
    return told["id"], told


async def standing(lan: Lan, name: str) -> dict[str, Any]:
    found: dict[str, Any] = (await lan.client.get(f"{ROUTE}/{name}")).json()
    SdkResponse.model_validate(found)
    return found


async def test_a_response_is_polled_until_it_is_complete_and_gone_on_with(lan: Lan) -> None:
    hold = asyncio.Event()
    lan.inference.script = (hold, *lan.inference.script)
    name, told = await begun(lan)
    assert (told["output"], told["usage"], told["background"]) == ([], None, True)
    assert (await standing(lan, name))["status"] == "queued"
    hold.set()
    await lan.services.backgrounds.ended()
    done = await standing(lan, name)
    assert (done["status"], SdkResponse.model_validate(done).output_text) == ("completed", TEXT)
    request_id = name.replace("resp_", "req-")
    assert (await lan.client.get(f"/v1/receipts/{request_id}")).json()["outcome"]
    await lan.client.post(ROUTE, json=body("And now?", previous_response_id=name))
    assert heard(lan) == [("user", "Hi"), ("assistant", TEXT), ("user", "And now?")]
    same = (await lan.client.post(f"{ROUTE}/{name}/cancel")).json()
    assert same == done


async def test_a_response_in_progress_is_cancelled(lan: Lan) -> None:
    hold = asyncio.Event()
    lan.inference.script = (Delta("a", 1), hold, Delta("", 0, "cancelled"))
    name, _ = await begun(lan)
    while (await standing(lan, name))["status"] != "in_progress":
        await asyncio.sleep(0)
    going_on = await lan.client.post(ROUTE, json=body(previous_response_id=name))
    assert code(going_on) == (400, "invalid_value")
    cancelling = asyncio.create_task(lan.client.post(f"{ROUTE}/{name}/cancel"))
    assert await asyncio.to_thread(lan.inference.cancels.wait, 20)
    hold.set()
    assert (await cancelling).json()["status"] == "cancelled"
    assert (await standing(lan, name))["error"] is None


async def test_a_failure_is_kept_and_a_refusal_is_told_at_once(lan: Lan) -> None:
    lan.inference.script = (Delta("a", 1), worker_lost())
    name, _ = await begun(lan)
    await lan.services.backgrounds.ended()
    failed = await standing(lan, name)
    assert (failed["status"], failed["error"]["code"]) == ("failed", "server_error")
    lan.inference.refusal = Overloaded("rate_limit_exceeded", "Too many.")
    refused = await lan.client.post(ROUTE, json=body(background=True))
    assert code(refused) == (429, "rate_limit_exceeded")


@pytest.mark.parametrize("way", ["delete", "erase"])
async def test_what_is_removed_or_erased_meanwhile_does_not_come_back(lan: Lan, way: str) -> None:
    hold = asyncio.Event()
    lan.inference.script = (hold, *lan.inference.script)
    name, _ = await begun(lan)
    if way == "delete":
        removing = asyncio.create_task(lan.client.delete(f"{ROUTE}/{name}"))
        assert await asyncio.to_thread(lan.inference.cancels.wait, 20)
        hold.set()
        assert (await removing).json()["deleted"] is True
    else:
        lan.services.kept.erase([name.replace("resp_", "req-")])
        hold.set()
    await lan.services.backgrounds.ended()
    gone = await lan.client.get(f"{ROUTE}/{name}")
    assert code(gone) == {"delete": (404, "response_not_found"), "erase": (409, "erased")}[way]


async def test_another_key_finds_and_cancels_nothing(lan: Lan) -> None:
    hold = asyncio.Event()
    lan.inference.script = (hold, *lan.inference.script)
    name, _ = await begun(lan)
    key, secret = lan.services.keys.create("another")
    async with lan.anonymous(authorization=f"Bearer {secret}") as client:
        for method, path in (("GET", ""), ("POST", "/cancel"), ("DELETE", "")):
            reply = await client.request(method, f"{ROUTE}/{name}{path}")
            assert code(reply) == (404, "response_not_found")
    lan.services.keys.revoke(key.id)
    hold.set()
    await lan.services.backgrounds.ended()
    assert (await standing(lan, name))["status"] == "completed"  # the control


@pytest.mark.parametrize(
    ("fields", "status", "name"),
    [
        ({"stream": True}, 400, "unsupported_parameter"),
        ({"store": False}, 400, "invalid_value"),
        ({"background": "yes"}, 400, "invalid_value"),
    ],
)
async def test_what_cannot_be_polled_is_refused(
    lan: Lan, fields: dict[str, Any], status: int, name: str
) -> None:
    reply = await lan.client.post(ROUTE, json={**body(background=True), **fields})
    assert code(reply) == (status, name) and not lan.inference.requests


async def test_a_key_whose_texts_are_not_kept_has_none(lan: Lan) -> None:
    key, secret = lan.services.keys.create("silent", content="off")
    async with lan.anonymous(authorization=f"Bearer {secret}") as client:
        reply = await client.post(ROUTE, json=body(background=True))
    lan.services.keys.revoke(key.id)
    assert code(reply) == (400, "unsupported_parameter") and not lan.inference.requests


async def test_only_a_background_response_is_cancelled_and_none_is_streamed_again(lan: Lan) -> None:
    name = (await lan.client.post(ROUTE, json=body())).json()["id"]
    assert code(await lan.client.post(f"{ROUTE}/{name}/cancel")) == (400, "invalid_value")
    again = await lan.client.get(f"{ROUTE}/{name}", params={"stream": "true"})
    assert code(again) == (400, "unsupported_parameter")


async def test_after_a_restart_it_failed_and_says_so(tmp_path: Path) -> None:
    initialise(tmp_path / "data", "lab")
    name = secret = ""
    for start in range(2):
        with open_services(tmp_path / "data") as real:
            inference = FakeInference(real.audit)
            inference.script = (asyncio.Event(),)
            services = with_fakes(real, inference)
            if not start:
                secret = services.keys.create("app")[1]
            transport = httpx.ASGITransport(create_lan_app(services))
            headers = {"authorization": f"Bearer {secret}"}
            async with httpx.AsyncClient(
                transport=transport, base_url="http://lan", headers=headers
            ) as client:
                if not start:
                    asked = {"model": CARD.id, "input": "Hi", "background": True}
                    name = (await client.post(ROUTE, json=asked)).json()["id"]
                    for task in services.backgrounds._tasks:
                        task.cancel()  # as the end of the process does
                    continue
                told = (await client.get(f"{ROUTE}/{name}")).json()
                assert told["status"] == "failed" and "ended" in told["error"]["message"]
                cancelled = (await client.post(f"{ROUTE}/{name}/cancel")).json()
                assert cancelled["status"] == "failed"
