"""Kept documents: the newest version each, in the order of arrival."""

from pathlib import Path

from appliance.db import open_database
from appliance.peers.documents import TABLES, TravellingDocument, TravelStore


def document(name: str, version: int, *, final: bool = False) -> TravellingDocument:
    return TravellingDocument("key", name, version, f"{version}", b"{}", final)


def test_the_newest_version_gets_the_next_place(tmp_path: Path) -> None:
    database = open_database(tmp_path / "appliance.db", (TABLES,))
    try:
        store = TravelStore(database)
        assert store.get("key", "a") is None and store.after(0, 10) == []
        for one in (document("a", 1), document("b", 1), document("a", 2)):
            store.put(one)
        assert [(kept.document.id, kept.place) for kept in store.after(0, 10)] == [
            ("b", 2), ("a", 3),
        ]  # fmt: skip
        assert [kept.document.id for kept in store.after(2, 10)] == ["a"]
        assert store.after(3, 10) == [] and len(store.after(0, 1)) == 1
        assert store.get("key", "a") == document("a", 2)
        store.put(document("c", 1), waits="unknown_model_id")
        assert [kept.waits for kept in store.waiting()] == ["unknown_model_id"]
        store.holds(document("c", 1))
        assert store.waiting() == [] and len(store.of("key")) == 3
    finally:
        database.dispose()


def test_what_is_final_is_above_each_version() -> None:
    ranks = [document("a", 9).rank, document("a", 10).rank, document("a", 2, final=True).rank]
    assert ranks == sorted(ranks)
