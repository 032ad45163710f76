"""The chunks in memory are those of the database, whatever the earlier index."""

import random
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from appliance.retrieval import index
from appliance.retrieval.index import EMPTY, ChunkIndex, estimate, exact, renewed
from appliance.retrieval.postings import Layered
from tests.retrieval.shelf import collection, incoming


def alike(a: Layered, b: Layered) -> bool:
    """The same rows and counts for each term; a term without rows may stay."""
    return all(
        np.array_equal(x, y)
        for term in {
            t for both in (a, b) for layer in (both.older, both.newer) for t in layer.terms
        }
        for x, y in zip(a.of(term), b.of(term), strict=True)
    )


def equal(a: ChunkIndex, b: ChunkIndex) -> bool:
    same = a.codes.size == b.codes.size == 0 or np.array_equal(a.codes, b.codes)
    return (
        same
        and np.array_equal(a.scales, b.scales)
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
            assert len(kept.codes) == len(kept.scales) == len(kept.ids)
    shelf.close()


def test_more_vectors_than_are_read_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shelf = collection(tmp_path / "c.db")
    shelf.put(incoming("a", *(f"word{n} " * 30 for n in range(25))), "p", 1)
    with shelf.reading() as connection:
        whole = renewed(connection, EMPTY)
        monkeypatch.setattr(index, "_SLICE", 7)
        assert len(whole.codes) == 25 and equal(renewed(connection, EMPTY), whole)
        some = whole.ids[[3, 9]]
        stored = exact(connection, some)
        near = whole.codes[[3, 9]] * whole.scales[[3, 9], None]
        assert stored.shape == near.shape and np.abs(stored - near).max() < 1 / 127
        assert exact(connection, whole.ids[:0]).size == 0
    shelf.close()


def test_the_estimate_covers_what_remains(tmp_path: Path) -> None:
    shelf = collection(tmp_path / "c.db")
    with shelf.reading() as connection:
        assert estimate(connection) == 0
    rng = random.Random(1)
    for n in range(30):
        text = (" ".join(f"w{rng.randrange(300)}" for _ in range(40)) for _ in range(5))
        shelf.put(incoming(f"d{n}", *text), "p", 1)
    with shelf.reading() as connection:
        made = renewed(connection, EMPTY)
        assert made.postings.older.terms.keys() > {"w1", "w2"}
        words = len(made.postings.older.terms) * 150
        assert made.size - words <= estimate(connection) <= 4 * made.size
    shelf.close()
