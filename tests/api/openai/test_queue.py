"""`/v1/queue`: an app sees its own, a key of the role sees and answers those of its tasks."""

from collections.abc import Iterator

import pytest

from appliance.audit.search import Query
from appliance.routing.people import MOST_SHOWN, DeferredItem, Form
from appliance.types import Caller, Principal
from tests.api.conftest import Lan


@pytest.fixture
def waiting(lan: Lan) -> DeferredItem:
    who = Caller(lan.services.keys.authenticate(lan.secret), "req-w", "", "/v1/chat/completions")
    form = Form(("leak", "noise"))
    given = {"order": "It drips."}
    return lan.services.people.put(who, "orders", given, form, hours=1, reason="in doubt")


@pytest.fixture
def desk(lan: Lan) -> Iterator[str]:
    _, secret = lan.services.keys.create("desk", role="queue", models=["orders"])
    yield secret


async def test_an_app_sees_its_own_items_and_answers_none(lan: Lan, waiting: DeferredItem) -> None:
    listed = (await lan.client.get("/v1/queue")).json()["data"]
    assert [item["id"] for item in listed if item["state"] == "waiting"] == [waiting.id]
    one = (await lan.client.get(f"/v1/queue/{waiting.id}")).json()
    assert (one["input"], one["labels"], one["answer"]) == (
        {"order": "It drips."}, ["leak", "noise"], None,
    )  # fmt: skip
    reply = await lan.client.post(f"/v1/queue/{waiting.id}/answer", json={"answer": "leak"})
    assert (reply.status_code, reply.json()["error"]["code"]) == (403, "forbidden")
    assert lan.services.people.get(waiting.id).state == "waiting"


async def test_a_desk_answers_what_its_tasks_defer(
    lan: Lan, waiting: DeferredItem, desk: str
) -> None:
    async with lan.anonymous(authorization=f"Bearer {desk}") as client:
        listed = (await client.get("/v1/queue")).json()["data"]
        assert waiting.id in [item["id"] for item in listed]
        path = f"/v1/queue/{waiting.id}"
        wrong = await client.post(f"{path}/answer", json={"answer": "rust"})
        assert (wrong.status_code, wrong.json()["error"]["code"]) == (400, "queue_answer_unfit")
        done = await client.post(f"{path}/answer", json={"answer": "leak"})
        assert (done.status_code, done.json()["state"]) == (200, "answered")
        again = await client.post(f"{path}/answer", json={"answer": "noise"})
        assert (again.status_code, again.json()["error"]["code"]) == (409, "queue_item_closed")
    found = (await lan.client.get(path)).json()
    assert (found["state"], found["answer"]) == ("answered", "leak")
    kept = lan.services.people.get(waiting.id)
    assert kept.actor is not None and kept.actor.startswith("key:")


@pytest.mark.parametrize(("role", "models"), [("app", []), ("queue", ["nothing"])])
async def test_what_a_key_may_not_see_is_not_there(
    lan: Lan, waiting: DeferredItem, role: str, models: list[str]
) -> None:
    _, secret = lan.services.keys.create("stranger", role=role, models=models)
    async with lan.anonymous(authorization=f"Bearer {secret}") as client:
        assert (await client.get("/v1/queue")).json()["data"] == []
        for reply in (
            await client.get(f"/v1/queue/{waiting.id}"),
            await client.post(f"/v1/queue/{waiting.id}/answer", json={"answer": "leak"}),
            await client.get("/v1/queue/wait-0"),
        ):
            assert reply.status_code == 404
            assert reply.json()["error"]["code"] == "queue_item_unknown"


async def test_a_key_is_needed(lan: Lan, waiting: DeferredItem) -> None:
    async with lan.anonymous() as client:
        for path in ("/v1/queue", f"/v1/queue/{waiting.id}"):
            assert (await client.get(path)).status_code == 401


async def test_what_a_key_may_not_see_takes_no_place_in_its_list(lan: Lan, desk: str) -> None:
    """The items with the nearest deadlines are of a task that the key may not use."""
    people, form = lan.services.people, Form(("leak", "noise"))
    for number in range(MOST_SHOWN):
        who = Caller(Principal(f"k-other-{number % 8}", "other"), f"req-o{number}", "", "")
        people.put(who, "secret", {"order": "x"}, form, hours=1, reason="r")
    mine = people.put(
        Caller(Principal("k-mine", "mine"), "req-mine", "", ""), "orders", {"order": "It drips."},
        form, hours=9, reason="r",
    )  # fmt: skip
    async with lan.anonymous(authorization=f"Bearer {desk}") as client:
        listed = (await client.get("/v1/queue")).json()["data"]
    assert mine.id in [item["id"] for item in listed]
    assert {item["task"] for item in listed} == {"orders"}
    newest = lan.services.reader.search(Query(kind="admin", newest_first=True, limit=1)).entries[0]
    assert newest.body["action"] == "queue_read" and mine.id in newest.body["items"]  # type: ignore[operator]
