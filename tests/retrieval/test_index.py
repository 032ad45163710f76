"""The chunks in memory are those of the database, whatever was there before."""

from collections.abc import Callable
from pathlib import Path

import numpy as np

from appliance.retrieval.index import EMPTY, Index, renewed
from appliance.retrieval.postings import Layered
from tests.retrieval.shelf import collection, incoming


def alike(a: Layered, b: Layered) -> bool:
    """The same rows and counts for each term; a term that is nowhere any more may be known."""
    return all(
        np.array_equal(x, y)
        for term in {
            t for both in (a, b) for layer in (both.older, both.newer) for t in layer.terms
        }
        for x, y in zip(a.of(term), b.of(term), strict=True)
    )


def equal(a: Index, b: Index) -> bool:
    same = a.vectors.size == b.vectors.size == 0 or np.array_equal(a.vectors, b.vectors)
    return (
        same
        and alike(a.postings, b.postings)
        and a.generation == b.generation
        and all(
            np.array_equal(getattr(a, name), getattr(b, name))
            for name in ("ids", "documents", "lengths", "starts", "order")
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
