"""`/v1/search` on a real collection."""

from collections.abc import Iterator

import pytest

from appliance.retrieval.collection import Settings
from tests.api.conftest import Lan
from tests.retrieval.shelf import incoming


@pytest.fixture(autouse=True)
def manuals(lan: Lan) -> Iterator[None]:
    library = lan.services.retrieval.library
    library.create("manuals", Settings())
    key = lan.services.keys.authenticate(lan.secret).key_id
    for name, who in (("mine.txt", f"key:{key}"), ("theirs.txt", "key:other")):
        document = incoming(name, f"The pump of {name} leaks.", access=[who], embedded=False)
        library.get("manuals").collection.put(document, "p", 1)
    yield
    library.drop("manuals")


async def test_passages_come_with_their_place_and_a_receipt(lan: Lan) -> None:
    body = {"collection": "manuals", "query": "pump", "limit": 3}
    reply = await lan.client.post("/v1/search", json=body)
    found = reply.json()
    assert reply.status_code == 200 and len(reply.headers["x-appliance-receipt"].split()) == 3
    assert (found["object"], found["collection"], found["ranking"]) == ("list", "manuals", "bm25")
    (passage,) = found["data"]
    assert (passage["document"], passage["text"]) == ("mine.txt", "The pump of mine.txt leaks.")
    assert passage["end"] - passage["start"] == len(passage["text"])


async def test_what_may_not_be_read_does_not_exist(lan: Lan) -> None:
    told = []
    for name in ("manuals", "nothing"):
        key, secret = lan.services.keys.create(f"for {name}")
        client = lan.anonymous(authorization=f"Bearer {secret}")
        reply = await client.post("/v1/search", json={"collection": name, "query": "pump"})
        told.append((reply.status_code, reply.json()["error"]["code"]))
        assert reply.json()["error"]["param"] == "collection"
        lan.services.keys.revoke(key.id)
    assert told == [(404, "collection_not_found")] * 2


@pytest.mark.parametrize(
    "change",
    [{"query": ""}, {"limit": 0}, {"limit": 51}, {"extra": 1}, {"query": "x" * 9_000},
     {"filters": {"a": 1}}, {"collection": ""}],
)  # fmt: skip
async def test_bad_requests_are_refused(lan: Lan, change: dict[str, object]) -> None:
    reply = await lan.client.post(
        "/v1/search", json={"collection": "manuals", "query": "pump", **change}
    )
    assert reply.status_code == 400


async def test_a_key_is_needed(lan: Lan) -> None:
    body = {"collection": "manuals", "query": "pump"}
    assert (await lan.anonymous().post("/v1/search", json=body)).status_code == 401
