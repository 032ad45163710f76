"""`/v1/sessions`: a token in place of the key, ended here and everywhere."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from appliance.api.openai.sessions import router
from appliance.app import Services
from appliance.audit.search import Query
from tests.api.conftest import Lan, keys_end_here
from tests.api.openai.page_rights import KINDS, Page, page_of
from tests.people.login import Login


async def begin(lan: Lan) -> str:
    told = (await lan.client.post("/v1/sessions", json={})).json()
    assert (told["object"], told["name"], told["answers"]) == ("session", "test app", False)
    return str(told["token"])


async def status(lan: Lan, token: str, path: str = "/v1/models") -> tuple[int, str]:
    async with lan.anonymous(authorization=f"Bearer {token}") as client:
        reply = await client.get(path)
    return reply.status_code, reply.json().get("error", {}).get("code", "")


async def test_a_session_asks_as_its_key_until_it_is_ended_here_or_everywhere(lan: Lan) -> None:
    first, second, third = [await begin(lan) for _ in range(3)]
    assert await status(lan, first) == (200, "")
    async with lan.anonymous(authorization=f"Bearer {first}") as client:
        assert (await client.delete("/v1/sessions/this")).json()["ended"] == 1
        assert (await client.get("/v1/usage")).status_code == 401
    assert await status(lan, second) == (200, "")  # the control
    async with lan.anonymous(authorization=f"Bearer {second}") as client:
        assert (await client.delete("/v1/sessions")).json()["ended"] == 2
    for token in (first, second, third):
        assert await status(lan, token) == (401, "session_ended")
    assert (await lan.client.get("/v1/models")).status_code == 200  # the key stays good


async def test_a_session_begins_no_session_and_ends_with_the_key(lan: Lan) -> None:
    token = await begin(lan)
    async with lan.anonymous(authorization=f"Bearer {token}") as client:
        reply = await client.post("/v1/sessions", json={})
    assert (reply.status_code, reply.json()["error"]["code"]) == (403, "forbidden")
    lan.services.keys.revoke(lan.services.keys.authenticate(lan.secret).key_id)
    assert await status(lan, token) == (401, "session_ended")


async def test_beginning_and_ending_are_recorded_without_the_token(lan: Lan) -> None:
    token = await begin(lan)
    await lan.client.delete("/v1/sessions")
    actor = f"key:{lan.services.keys.authenticate(lan.secret).key_id}"
    page = await asyncio.to_thread(
        lan.services.reader.search, Query(kind="admin", newest_first=True, limit=50)
    )
    mine = [entry for entry in page.entries if entry.body["actor"] == actor]
    assert [e.body["action"] for e in mine if "session" in str(e.body["action"])] == [
        "session_end", "session_begin",
    ]  # fmt: skip
    assert not any(token.encode() in entry.raw for entry in page.entries)


async def test_a_page_of_another_origin_cannot_begin_one_by_a_form(lan: Lan) -> None:
    """A browser sends a client certificate by itself, so a body that a form can send is refused."""
    for kind in ("text/plain", "application/x-www-form-urlencoded", "multipart/form-data"):
        reply = await lan.client.post("/v1/sessions", content="x=1", headers={"content-type": kind})
        assert reply.status_code == 415
    assert (await lan.client.post("/v1/sessions")).status_code == 400
    assert {method for route in router.routes for method in getattr(route, "methods", ())} == {
        "POST", "DELETE",
    }  # fmt: skip


@pytest.fixture
async def page(real_services: Services, tmp_path: Path) -> AsyncIterator[Page]:
    with keys_end_here(real_services.keys):
        async with page_of(real_services, Login(tmp_path / "keys.json")) as made:
            yield made


async def test_a_session_may_what_its_key_may(page: Page) -> None:
    assert not await page.differences(10 * len(KINDS))


@pytest.mark.slow
@pytest.mark.timeout(3_600)
async def test_no_answer_of_twenty_thousand_differs(page: Page) -> None:
    assert not await page.differences(20_000)


async def test_sessions_that_were_mixed_up_would_be_seen(page: Page) -> None:
    assert (await page.differences(10 * len(KINDS), mixed_up=True)).keys() == set(KINDS)
