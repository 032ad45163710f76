"""Collections: documents in and out, and nothing left of removed ones."""

import random
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import Connection

from appliance.clock import iso
from appliance.errors import CollectionRefused, StateRefused
from appliance.retrieval.access import ADMIN, of_key
from appliance.retrieval.collection import OpenCollection, Settings
from appliance.retrieval.search import Searcher
from tests.retrieval.shelf import collection, incoming, vector


@pytest.fixture
def shelf(tmp_path: Path) -> Iterator[OpenCollection]:
    opened = collection(tmp_path / "c.db")
    yield opened
    opened.close()


def test_settings_and_documents_are_kept(tmp_path: Path) -> None:
    settings = Settings("e5", "d" * 64, "query: ", "passage: ", "vectors", 100, 10)
    OpenCollection.create(tmp_path / "x.db", settings)
    first = OpenCollection(tmp_path / "x.db")
    assert first.settings == settings
    first.put(incoming("a", "The pump is in the cab and it leaks.", access=["key:k1"]), "p", 5)
    first.close()
    again = OpenCollection(tmp_path / "x.db")
    (document,) = again.documents(ADMIN)
    assert (document.name, document.version, document.chunks) == ("a", 1, 1)
    assert (document.language, document.access, document.added) == ("en", ["key:k1"], iso(5))
    assert again.documents(of_key("k2", [])) == []
    assert again.known("a") == document.source_sha256 and again.known("b") == ""
    assert (tmp_path / "x.db").stat().st_mode & 0o777 == 0o600
    again.close()


def test_a_new_document_needs_an_access_list_and_leaves_nothing_without(
    shelf: OpenCollection,
) -> None:
    before = shelf.generation()
    with pytest.raises(CollectionRefused) as refused:
        shelf.put(incoming("a", "text", access=None), "p", 1)
    assert refused.value.code == "access_missing"
    assert shelf.documents(ADMIN) == [] and shelf.generation() == before


def test_what_fails_half_way_leaves_the_old_version(
    shelf: OpenCollection, monkeypatch: pytest.MonkeyPatch
) -> None:
    shelf.put(incoming("a", "old pressure"), "p", 1)
    real = OpenCollection._fill

    def broken(self: OpenCollection, connection: Connection, *rest: object) -> None:
        real(self, connection, *rest)  # type: ignore[arg-type]
        raise RuntimeError

    monkeypatch.setattr(OpenCollection, "_fill", broken)
    with pytest.raises(RuntimeError):
        shelf.put(incoming("a", "new temperature"), "p", 2)
    found = Searcher(shelf).search(ADMIN, "pressure", 5, vector=vector("pressure"), by="bm25")
    assert [p.version for p in found.passages] == [1]


def test_earlier_versions_keep_their_text_until_removal(shelf: OpenCollection) -> None:
    for n, body in enumerate(("first", "second")):
        shelf.put(incoming("a", body), "p", n)
    with shelf.reading() as connection:
        kept = connection.exec_driver_sql("SELECT text FROM versions ORDER BY number").fetchall()
    assert [bytes(row[0]) for row in kept] == [b"first", b"second"]


def test_an_unknown_document_removes_nothing(shelf: OpenCollection) -> None:
    shelf.put(incoming("a", "text"), "p", 1)
    for act in (lambda: shelf.remove(["a", "b"]), lambda: shelf.grant("b", [])):
        with pytest.raises(CollectionRefused) as refused:
            act()
        assert refused.value.code == "document_missing"
    assert [d.name for d in shelf.documents(ADMIN)] == ["a"]


def test_ranking_by_vectors_needs_an_embedder(tmp_path: Path, shelf: OpenCollection) -> None:
    shelf.set_ranking("fusion")
    assert shelf.settings.ranking == "fusion"
    OpenCollection.create(tmp_path / "plain.db", Settings())
    plain = OpenCollection(tmp_path / "plain.db")
    with pytest.raises(CollectionRefused):
        plain.set_ranking("vectors")
    assert plain.settings.ranking == "bm25"
    plain.close()


def test_a_collection_of_a_newer_version_is_refused(tmp_path: Path, shelf: OpenCollection) -> None:
    with shelf._database.begin() as connection:
        connection.exec_driver_sql("PRAGMA user_version = 99")
    with pytest.raises(StateRefused) as refused:
        OpenCollection(tmp_path / "c.db")
    assert refused.value.code == "database_newer"


def test_reports_name_what_became_of_each_document(shelf: OpenCollection) -> None:
    shelf.report(3, "b.pdf", "refused", "document_unreadable", "It is cut.")
    shelf.report(3, "a.txt", "added")
    shelf.report(4, "a.txt", "unchanged")
    assert [(r["name"], r["state"], r["code"]) for r in shelf.reports(3)] == [
        ("a.txt", "added", ""),
        ("b.pdf", "refused", "document_unreadable"),
    ]


# Removal


def canary(rng: random.Random) -> str:
    return "zq" + "".join(rng.choices("bcdfghjkmnpqrtvwxz", k=12))


def left(directory: Path, words: list[str]) -> list[str]:
    contents = [path.read_bytes().lower() for path in directory.rglob("*") if path.is_file()]
    return [word for word in words if any(word.encode() in content for content in contents)]


def filled(shelf: OpenCollection, rng: random.Random) -> dict[str, list[str]]:
    """With words of their own in the name, the title, metadata and the text."""
    words: dict[str, list[str]] = {}
    for n in range(60):
        own = [canary(rng) for _ in range(rng.randrange(3, 9))]
        body = [
            " ".join(rng.choices([*own, "pump", "valve", "hose"], k=rng.randrange(5, 60)))
            for _ in range(rng.randrange(1, 40))
        ]
        name = f"{own[0]}.txt"
        shelf.put(incoming(name, *body, access=["key:k1"], metadata={"m": own[1]}), "p", n)
        shelf.report(1, name, "added")
        words[name] = own
        if n % 3 == 0:
            shelf.put(incoming(name, own[2], *body[::-1], metadata={"m": own[0]}), "p", n)
    return words


@pytest.mark.parametrize("seed", range(2))
def test_nothing_is_left_of_a_removed_document(shelf: OpenCollection, seed: int) -> None:
    rng = random.Random(seed)
    words = filled(shelf, rng)
    searcher = Searcher(shelf)
    searcher.search(ADMIN, "pump", 5, vector=vector("pump"))
    gone = rng.sample(sorted(words), 25)
    directory = shelf.path.parent
    wanted = [word for name in gone for word in words[name]]
    assert len(left(directory, wanted)) > len(wanted) / 2
    shelf.remove(gone)
    assert left(directory, wanted) == []
    kept = [words[name][0] for name in words if name not in gone]
    assert left(directory, kept) == kept
    for name in gone:
        assert not searcher.search(ADMIN, words[name][-1], 5, by="bm25").passages


def test_without_the_rebuilt_index_words_would_be_left(
    shelf: OpenCollection, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The control: rows deleted in SQL alone."""
    words = filled(shelf, random.Random(5))
    with shelf._database.begin() as connection:
        connection.exec_driver_sql("PRAGMA secure_delete = OFF")
    with shelf._database.begin() as connection:
        connection.exec_driver_sql("DELETE FROM documents")
    shelf.empty_log()
    assert left(shelf.path.parent, [w for own in words.values() for w in own])
