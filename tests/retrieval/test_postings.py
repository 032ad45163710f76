"""The postings in memory are those of the texts, in whatever order they were made."""

import random
from collections import Counter
from pathlib import Path

import numpy as np

from appliance.retrieval.index import EMPTY, renewed
from appliance.retrieval.postings import NONE, Layered, Postings, written
from tests.retrieval.shelf import collection, incoming

WORDS = ["pumps", "valve", "valves", "hose", "höse", "engine", "engines", "running", "runs", "a"]


def texts(seed: int, count: int) -> list[str]:
    rng = random.Random(seed)
    return [" ".join(rng.choices(WORDS, k=rng.randrange(1, 9))) for _ in range(count)]


def made(found: list[str]) -> Postings:
    return written(enumerate(found), np.arange(len(found), dtype=np.int64))


def listed(postings: Postings | Layered) -> dict[str, list[tuple[int, int]]]:
    layers = (postings,) if isinstance(postings, Postings) else (postings.older, postings.newer)
    every = {term: postings.of(term) for layer in layers for term in layer.terms}
    return {
        term: list(zip(rows.tolist(), often.tolist(), strict=True))
        for term, (rows, often) in every.items()
        if len(rows)
    }


def test_rows_and_counts_of_a_collection(tmp_path: Path) -> None:
    shelf = collection(tmp_path / "c.db")
    found = texts(1, 40)
    for number, text in enumerate(found):
        shelf.put(incoming(f"d{number:02}", text), "p", 1)
    with shelf.reading() as connection:
        postings = renewed(connection, EMPTY).postings
    shelf.close()
    assert listed(postings) == listed(made(found))
    rows, often = postings.of("pump")
    plain = Counter({n: text.split().count("pumps") for n, text in enumerate(found)})
    assert dict(zip(rows.tolist(), often.tolist(), strict=True)) == dict(+plain)
    assert list(rows) == sorted(rows)


def test_adding_and_removing_rows_is_the_same_as_reading_them_all() -> None:
    first, second = texts(2, 30), [*texts(3, 20), "a word of its own"]
    assert listed(made(first).plus(made(second), 30)) == listed(made([*first, *second]))
    assert listed(NONE.plus(made(first), 0)) == listed(made(first))
    kept = np.array([n % 3 != 0 for n in range(30)])
    left = [text for n, text in enumerate(first) if n % 3]
    assert listed(made(first).without(kept)) == listed(made(left))
    assert listed(made(first).without(np.zeros(30, bool))) == {}


def test_a_word_that_is_nowhere_has_no_rows() -> None:
    rows, often = made(["pump"]).of("valve")
    assert len(rows) == len(often) == 0
    assert listed(made([])) == {}


def test_new_rows_stand_beside_the_others_until_they_are_many() -> None:
    rows = texts(4, 64)
    layers, held, joined = Layered(made(rows), NONE, 64), list(rows), 0
    rng = random.Random(5)
    for step in range(30):
        more = texts(100 + step, rng.randrange(1, 4))
        layers, held = layers.plus(made(more), len(held), len(more)), [*held, *more]
        joined += not len(layers.newer.rows)
        assert listed(layers) == listed(made(held))
        kept = np.array([rng.random() > 0.05 for _ in held])
        layers = layers.without(kept)
        held = [text for text, stays in zip(held, kept, strict=True) if stays]
        assert listed(layers) == listed(made(held))
    assert 0 < joined < 30
