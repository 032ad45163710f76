"""The chunks in memory are those of the database, whatever was there before."""

from collections.abc import Callable
from pathlib import Path

import numpy as np

from appliance.retrieval.index import EMPTY, Index, renewed
from tests.retrieval.shelf import collection, incoming


def equal(a: Index, b: Index) -> bool:
    same = a.vectors.size == b.vectors.size == 0 or np.array_equal(a.vectors, b.vectors)
    return (
        same
        and a.generation == b.generation
        and all(
            np.array_equal(getattr(a, name), getattr(b, name))
            for name in ("ids", "documents", "lengths", "order")
        )
    )


def test_a_renewed_index_is_that_of_a_first_look(tmp_path: Path) -> None:
    shelf = collection(tmp_path / "c.db")
    kept = EMPTY
    steps: list[Callable[[], object]] = [
        lambda: shelf.put(incoming("b", "one two", "x " * 60), "p", 1),
        lambda: shelf.put(incoming("a", "three"), "p", 1),
        lambda: shelf.put(incoming("b", "four"), "p", 1),
        lambda: shelf.remove(["a"]),
        lambda: shelf.put(incoming("c", "five"), "p", 1),
        lambda: shelf.remove(["b", "c"]),
    ]
    for step in steps:
        step()
        with shelf.reading() as connection:
            kept = renewed(connection, kept)
            assert equal(kept, renewed(connection, EMPTY))
            assert renewed(connection, kept) is kept
            assert len(kept.vectors) == len(kept.ids)
    shelf.close()


def test_postings_are_rows_and_counts(tmp_path: Path) -> None:
    shelf = collection(tmp_path / "c.db")
    for n in range(3):
        shelf.put(incoming(f"d{n}", "pump " * n + "valve"), "p", 1)
    with shelf.reading() as connection:
        index = renewed(connection, EMPTY)
        rows, often = index.postings(connection, "pump")
        none, _ = index.postings(connection, "hose")
    assert (rows.tolist(), often.tolist(), none.tolist()) == ([1, 2], [1, 2], [])
    shelf.close()
