"""A collection that was changed from outside does not verify."""

from pathlib import Path

import pytest

from appliance.retrieval.checking import verify
from tests.retrieval.shelf import collection, incoming


def test_a_good_collection_verifies(tmp_path: Path) -> None:
    shelf = collection(tmp_path / "c.db")
    for n in range(5):
        shelf.put(incoming(f"d{n}", "pump " * 60, "valve"), "p", 1)
    shelf.put(incoming("d0", "other"), "p", 1)
    shelf.remove(["d1"])
    found = verify(shelf)
    assert (found.documents, found.versions, found.problems) == (4, 5, [])
    assert found.chunks == found.vectors > 4
    shelf.close()


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ("UPDATE versions SET text = CAST('other' AS BLOB)", "its text is not"),
        ("UPDATE chunks SET start = start + 1", "is not at its span"),
        ("UPDATE chunks SET body = 'x' || body", "is not at its span"),
        ("DELETE FROM vectors WHERE chunk = 1", "vectors:"),
        ("UPDATE vectors SET vector = zeroblob(4) WHERE chunk = 1", "vectors:"),
    ],
)
def test_each_kind_of_damage_is_found(tmp_path: Path, change: str, told: str) -> None:
    shelf = collection(tmp_path / "c.db")
    shelf.put(incoming("a", "pump valve hose", "x " * 60), "p", 1)
    assert verify(shelf).problems == []
    with shelf._database.begin() as connection:
        connection.exec_driver_sql(change)
    assert any(told in problem for problem in verify(shelf).problems)
    shelf.close()
