"""The use-case of a search: recorded before it leaves, or not answered."""

import asyncio
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from appliance.app import Services, initialise, open_services
from appliance.errors import AuditUnavailable, NotFound, Overloaded
from appliance.retrieval import commitments, service
from appliance.retrieval.collection import Settings
from appliance.retrieval.service import SearchQuery
from appliance.types import Limits
from tests.retrieval.shelf import incoming
from tests.smol import caller

QUERY = SearchQuery("c", "pump", 5, {})


@pytest.fixture
def opened(tmp_path: Path) -> Iterator[Services]:
    initialise(tmp_path / "data", "lab")
    with open_services(tmp_path / "data") as services:
        library = services.retrieval.library
        library.create("c", Settings())
        for name, who in (("mine", "key:k1"), ("ours", "group:g"), ("theirs", "key:k2")):
            document = incoming(name, f"the pump of {name}", access=[who], embedded=False)
            library.get("c").collection.put(document, "p", 1)
        yield services


async def names(services: Services, key_id: str) -> set[str]:
    found, _ = await services.retrieval.search(caller(key_id), QUERY)
    return {passage.document for passage in found.passages}


async def test_a_search_is_recorded_with_commitments_and_without_passages(opened: Services) -> None:
    found, receipt = await opened.retrieval.search(caller("k1"), QUERY)
    (entry,) = [e for e in opened.reader.tail(5) if e.seq == receipt.seq]
    (passage,) = found.passages
    body = dict(entry.body)
    assert (body["kind"], body["key_id"], body["collection"]) == ("search", "k1", "c")
    committed = commitments.passage(found.nonce, passage.id, passage.sha256)
    assert body["passages"] == [{"commitment": committed}]
    for said in (passage.id, passage.id[:16], passage.sha256, passage.text_sha256, found.nonce):
        assert said not in str(body)
    kept = opened.reader.content(receipt.seq, commitments.TEXT)
    assert commitments.nonce_of(kept) == found.nonce and passage.sha256 in kept.decode()
    again, _ = await opened.retrieval.search(caller("k1"), QUERY)
    assert again.nonce != found.nonce
    assert body["generation"] == found.generation
    assert "pump of mine" not in str(body)
    assert opened.reader.content(receipt.seq, "query") == b"pump"


async def test_groups_count_from_the_next_search_on(opened: Services) -> None:
    key = opened.keys.create("app")[0].id
    with pytest.raises(NotFound):
        await names(opened, key)
    opened.groups.change("g", [key], [])
    assert await names(opened, key) == {"ours"}
    opened.groups.change("g", [], [key])
    with pytest.raises(NotFound) as refused:
        await names(opened, key)
    assert refused.value.code == "collection_not_found"


async def test_no_record_no_passages(opened: Services, monkeypatch: pytest.MonkeyPatch) -> None:
    async def broken(*_: object) -> None:
        raise AuditUnavailable("audit_unavailable", "The disk is full.")

    monkeypatch.setattr(service, "append", broken)
    with pytest.raises(AuditUnavailable):
        await opened.retrieval.search(caller("k1"), QUERY)


async def test_few_searches_wait(opened: Services, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(service, "MOST_WAITING", 3)
    results = await asyncio.gather(
        *(opened.retrieval.search(caller("k1"), QUERY) for _ in range(9)), return_exceptions=True
    )
    refused = [r for r in results if isinstance(r, Overloaded)]
    assert len(refused) == 6 and {r.code for r in refused} == {"queue_full"}
    assert await names(opened, "k1") == {"mine"}


async def test_one_key_does_not_fill_the_queue(
    opened: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(service, "MOST_OF_KEY", 2)
    searches = [opened.retrieval.search(caller(key), QUERY) for key in ("k1", "k1", "k1", "k2")]
    results = await asyncio.gather(*searches, return_exceptions=True)
    assert [isinstance(r, Overloaded) for r in results] == [False, False, True, False]
    assert not opened.retrieval._waiting


async def test_a_search_counts_as_a_request_of_the_quota(opened: Services) -> None:
    asked = caller("k1")
    asked = replace(asked, principal=replace(asked.principal, limits=Limits(rpm=2)))
    for _ in range(2):
        await opened.retrieval.search(asked, QUERY)
    size = opened.reader.size
    with pytest.raises(Overloaded) as refused:
        await opened.retrieval.search(asked, QUERY)
    assert refused.value.code == "rate_limit_exceeded" and refused.value.retry_after
    assert opened.reader.size == size
    assert await names(opened, "k2") == {"theirs"}


async def test_the_searches_of_answers_wait_in_their_own_queue(
    opened: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An answer has its place already, and needs none in the searches' queue."""
    monkeypatch.setattr(service, "MOST_OF_KEY", 1)
    app = replace(caller("k1").principal, limits=Limits(rpm=1))
    found = await asyncio.gather(*(opened.retrieval.evidence(app, QUERY) for _ in range(8)))
    assert {passage.document for one in found for passage in one.passages} == {"mine"}
