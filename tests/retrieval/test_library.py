"""All collections of an appliance."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from appliance.errors import CollectionRefused, NotFound
from appliance.retrieval import library as libraries
from appliance.retrieval.access import ADMIN, of_key
from appliance.retrieval.collection import Settings
from appliance.retrieval.library import CollectionLibrary
from tests.retrieval.shelf import incoming


@pytest.fixture
def library(tmp_path: Path) -> Iterator[CollectionLibrary]:
    made = CollectionLibrary(tmp_path / "collections")
    yield made
    made.close()


def test_collections_are_made_found_again_and_dropped(
    library: CollectionLibrary, tmp_path: Path
) -> None:
    assert library.names() == []
    library.create("manuals", Settings())
    library.get("manuals").collection.put(incoming("a", "zqcanary", embedded=False), "p", 1)
    library.close()
    again = CollectionLibrary(tmp_path / "collections")
    assert again.names() == ["manuals"]
    assert len(again.get("manuals").collection.documents(ADMIN)) == 1
    again.drop("manuals")
    assert again.names() == [] and list((tmp_path / "collections").iterdir()) == []
    again.close()


@pytest.mark.parametrize(
    ("name", "settings"),
    [
        ("", Settings()),
        ("../x", Settings()),
        ("A", Settings()),
        ("x", Settings(ranking="vectors")),
        ("x", Settings(ranking="best")),
        ("x", Settings(budget=10)),
        ("x", Settings(budget=100, overlap=50)),
    ],
)
def test_what_cannot_be_one_is_refused(
    library: CollectionLibrary, name: str, settings: Settings
) -> None:
    with pytest.raises(CollectionRefused) as refused:
        library.create(name, settings)
    assert refused.value.code == "collection_invalid" and library.names() == []


def test_names_are_taken_once_and_bounded(
    library: CollectionLibrary, monkeypatch: pytest.MonkeyPatch
) -> None:
    library.create("a", Settings())
    with pytest.raises(CollectionRefused) as refused:
        library.create("a", Settings())
    assert refused.value.code == "collection_exists"
    monkeypatch.setattr(libraries, "MOST_COLLECTIONS", 1)
    with pytest.raises(CollectionRefused):
        library.create("b", Settings())


def test_a_collection_without_a_readable_document_does_not_exist(
    library: CollectionLibrary,
) -> None:
    library.create("a", Settings())
    shelf = library.get("a")
    shelf.collection.put(incoming("d", "text", access=["key:k2"], embedded=False), "p", 1)
    assert library.readable("a", of_key("k2", [])) is shelf
    told = []
    for name in ("a", "b", "../a"):
        with pytest.raises(NotFound) as refused:
            library.readable(name, of_key("k1", []))
        told.append((refused.value.code, refused.value.message.replace(name, "…")))
    assert len(set(told)) == 1


def test_removing_forgets_what_is_in_memory(library: CollectionLibrary) -> None:
    library.create("a", Settings())
    shelf = library.get("a")
    shelf.collection.put(incoming("d", "text", embedded=False), "p", 1)
    assert shelf.searcher.search(ADMIN, "text", 1).passages
    shelf.remove(["d"])
    assert len(shelf.searcher._index.ids) == 0
