"""`/v1/sessions`: a token in place of the key, ended here and everywhere."""

import asyncio
import random

import pytest

from appliance.api.openai.sessions import router
from appliance.audit.search import Query
from appliance.datasets.items import Item
from appliance.retrieval.access import ADMIN
from appliance.retrieval.collection import Settings
from appliance.routing.people import Form
from appliance.types import Caller
from tests.api.conftest import Lan
from tests.api.fake import CARD
from tests.retrieval.shelf import incoming


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


PATHS = (
    "/v1/models", "/v1/queue", "/v1/queue/{item}", "/v1/labels", "/v1/labels/{queue}",
    "/v1/requests", "/v1/receipts/{request}", "/v1/collections/rights/passages/{passage}",
)  # fmt: skip
"""What the page reads."""


async def differences(lan: Lan, queries: int, *, mixed_up: bool = False) -> int:
    rng, services = random.Random(3), lan.services
    secrets, tokens = [], []
    names: dict[str, list[str]] = {"item": [], "queue": [], "request": [], "passage": []}
    services.retrieval.library.create("rights", Settings())
    shelf = services.retrieval.library.get("rights")
    for number in range(8):
        role, models = rng.choice(["app", "queue"]), rng.choice([[], ["orders"], [CARD.id]])
        key, secret = services.keys.create(f"reader {number}", role=role, models=models)
        caller = Caller(services.keys.authenticate(secret), f"req-{number}", "", "/v1/responses")
        waits = services.people.put(
            caller, rng.choice(["orders", "other"]), {"a": str(number)}, Form(("x", "y")), hours=1,
            reason="",
        )  # fmt: skip
        items = [Item("u1", "g", {"text": "x"})]
        services.labels.create(f"rights-{number}", "", items, ["a", "b"], [f"key:{key.name}", "b"])
        document = incoming(f"{number}", f"word{number} it is", access=[f"key:{key.id}"],
                            embedded=False)  # fmt: skip
        shelf.collection.put(document, "p", 1)
        async with lan.anonymous(authorization=f"Bearer {secret}") as client:
            tokens.append((await client.post("/v1/sessions", json={})).json()["token"])
            body = {"model": CARD.id, "input": "Hi"}
            asked = (await client.post("/v1/responses", json=body)).headers["x-request-id"]
        secrets.append(secret)
        names["item"].append(waits.id)
        names["queue"].append(f"rights-{number}")
        names["request"].append(asked)
    every = shelf.searcher.search(ADMIN, " ".join(f"word{n}" for n in range(8)), 20).passages
    names["passage"] = [one.id for one in every]
    if mixed_up:
        tokens = [*tokens[1:], tokens[0]]
    found = 0
    for _ in range(queries):
        who, path = rng.randrange(8), rng.choice(PATHS)
        address = path.format(**{name: rng.choice(some) for name, some in names.items()})
        told = []
        for secret in (secrets[who], tokens[who]):
            async with lan.anonymous(authorization=f"Bearer {secret}") as client:
                reply = await client.get(address)
            body = reply.json()
            for volatile in ("proof", "checkpoint"):
                body.pop(volatile, None)  # the log grows between the two
            told.append((reply.status_code, body))
        found += told[0] != told[1]
    services.retrieval.library.drop("rights")
    for name in names["queue"]:
        services.labels.remove(name)
    return found


async def test_a_session_reads_what_its_key_reads(lan: Lan) -> None:
    assert await differences(lan, 150) == 0


@pytest.mark.slow
async def test_no_answer_of_twenty_thousand_differs(lan: Lan) -> None:
    assert await differences(lan, 20_000) == 0


async def test_sessions_that_were_mixed_up_would_be_seen(lan: Lan) -> None:
    assert await differences(lan, 60, mixed_up=True) > 20
