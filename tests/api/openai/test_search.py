"""`/v1/search` on a real collection."""

import asyncio
from collections.abc import Iterator

import httpx
import pytest

from appliance.retrieval.access import ADMIN
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


async def by_id(lan: Lan, name: str, collection: str = "manuals") -> httpx.Response:
    return await lan.client.get(f"/v1/collections/{collection}/passages/{name}")


async def test_the_passage_of_a_citation_opens_and_its_reading_is_recorded(lan: Lan) -> None:
    body = {"collection": "manuals", "query": "pump"}
    (first,) = (await lan.client.post("/v1/search", json=body)).json()["data"]
    reply = await by_id(lan, first["id"])
    assert reply.status_code == 200 and reply.json() == {**first, "score": 0.0}
    receipt = (await lan.client.get(f"/v1/receipts/{reply.headers['x-request-id']}")).json()
    assert reply.headers["x-appliance-receipt"].split()[0] == str(receipt["intent"]["seq"])
    entry = await asyncio.to_thread(lan.services.reader.entry, receipt["intent"]["seq"])
    assert (entry.kind, entry.body["ranking"], len(entry.body["passages"])) == ("search", "id", 1)  # type: ignore[arg-type]


async def test_a_passage_of_others_is_not_there(lan: Lan) -> None:
    library = lan.services.retrieval.library
    found = library.get("manuals").searcher.search(ADMIN, "theirs.txt", 1)
    (theirs,) = [p for p in found.passages if p.document == "theirs.txt"]
    told = []
    for name in (theirs.id, "0" * 16 + ":0-5", "what%2Fever"):
        reply = await by_id(lan, name)
        error = reply.json()["error"]
        told.append((reply.status_code, error["code"], error["message"]))
    assert len(set(told)) == 1 and told[0][:2] == (404, "not_found")
    gone = await by_id(lan, theirs.id, "nothing")
    assert gone.json()["error"]["code"] == "collection_not_found"
