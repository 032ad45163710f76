"""Vectors by a served model, end to end: ingest, search by meaning, a model that changed."""

from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from appliance.app import Services, open_services
from appliance.errors import CollectionRefused, NotFound
from appliance.retrieval import commitments
from appliance.retrieval.access import ADMIN
from appliance.retrieval.checking import verify
from appliance.retrieval.collection import Settings
from appliance.retrieval.embedder import Embedder, prefixes
from appliance.retrieval.index import exact
from appliance.retrieval.service import SearchQuery
from tests.smol import ID, SMALL, caller, make_data, sealed


@pytest.fixture
async def embedding(
    tmp_path_factory: pytest.TempPathFactory, embedder_path: Path
) -> AsyncIterator[Services]:
    data = make_data(tmp_path_factory.mktemp("embedding"), embedder_path)
    with open_services(data, config=SMALL) as services:
        await services.supervisor.start(sealed(services))
        yield services
        await services.inference.drain(30)
        await services.supervisor.close()


async def test_from_the_file_to_the_passage(embedding: Services, tmp_path: Path) -> None:
    (card,) = embedding.supervisor.served()
    library = embedding.retrieval.library
    settings = Settings(embedder=ID, embedder_digest=card.digest, ranking="vectors")
    library.create("c", settings)
    texts = {
        "leak.txt": "The hydraulic hose is leaking oil onto the track.",
        "light.txt": "One of the headlights does not shine any more.",
        "seat.txt": "The driver's seat has a torn cushion.",
        "long.txt": "rxqz " * 1_500,  # more tokens than estimated: chunks are made smaller
    }
    for name, text in texts.items():
        (tmp_path / name).write_text(text)
    params = {"collection": "c", "path": str(tmp_path), "access": ["key:k1"]}
    result = (await (await embedding.jobs.start("ingest", params, "uid:0")).outcome()).document
    assert (result["added"], result["refused"]) == (4, 0)
    shelf = library.get("c")
    checked = verify(shelf.collection)
    assert checked.problems == [] and checked.vectors == checked.chunks

    first = embedding.reader.size
    query = SearchQuery("c", "a lamp is broken", 2, {})
    app = caller("k1", "other-model")
    app = replace(app, principal=replace(app.principal, tasks_only=True))  # as a site's keys are
    found, receipt = await embedding.retrieval.search(app, query)
    assert found.passages[0].document == "light.txt" and found.ranking == "vectors"
    entries = [e.body for e in embedding.reader.tail(20) if e.seq >= first]
    assert [e["kind"] for e in entries] == ["intent", "outcome", "search"]
    assert {e["key_id"] for e in entries} == {"k1"}
    entry = entries[-1]
    assert entry["seq"] == receipt.seq and entry["generation"] == found.generation
    assert entry["passages"] == commitments.passages(found.nonce, found.passages)
    with pytest.raises(NotFound):
        await embedding.retrieval.search(caller("k2"), query)

    vectors = await Embedder(embedding.inference, settings).passages(list(texts.values())[:3], "t")
    assert np.allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)
    with shelf.collection.reading() as connection:
        stored = exact(connection, shelf.searcher._index.ids)
    assert max(stored @ vectors[0]) == pytest.approx(1, abs=1e-4)

    other = Settings(embedder=ID, embedder_digest="0" * 64)
    with pytest.raises(CollectionRefused) as refused:
        await Embedder(embedding.inference, other).query(caller("k1"), "text")
    assert refused.value.code == "embedder_changed"
    assert len(shelf.collection.documents(ADMIN)) == 4


def test_prefixes_follow_from_the_family_of_the_model() -> None:
    assert prefixes("multilingual-e5-small") == ("query: ", "passage: ")
    assert prefixes("all-minilm-l6-v2") == ("", "") == prefixes("sec5-e50")
