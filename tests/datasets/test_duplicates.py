"""Near-duplicates: what counts as one, and that none is missed."""

import random

import pytest

from appliance.datasets.duplicates import LONG, THRESHOLD, Index, plain, similarity
from tests.datasets.examples import orders

LONG_TEXT = " ".join(f"word{n}" for n in range(LONG + 10))


def test_plain_form() -> None:
    assert plain("  HOSE -- O-Ring, Ünïcode\tﬁt_x ") == "hose o ring ünïcode fit x"


def test_what_is_alike() -> None:
    assert similarity("replace hose left side", "left side replace hose") == 1
    assert similarity("replace hydraulic hose left", "replace hydralic hose left") > THRESHOLD
    assert similarity("replace hose", "engine overheats") < 0.1
    assert similarity(LONG_TEXT, LONG_TEXT.replace("word3 ", "other ")) > 0.8
    assert similarity(LONG_TEXT, " ".join(reversed(LONG_TEXT.split()))) < 0.7  # order counts there


def test_every_pair_of_a_brute_force_is_found() -> None:
    texts = [plain(item.text) for item in orders(400)]
    found = {(a, b) for a, b, _ in Index(texts).pairs()}
    brute = {
        (a, b)
        for a in range(len(texts))
        for b in range(a + 1, len(texts))
        if similarity(texts[a], texts[b]) >= THRESHOLD
    }
    assert brute
    assert found == brute


def test_matches_and_components() -> None:
    texts = ["replace hose left", "hose left replace", "engine hot", "", "", "replace hose left"]
    index = Index(texts)
    assert index.complete
    assert index.pairs() == [(0, 1, 1.0), (0, 5, 1.0), (1, 5, 1.0)]
    assert index.matches([1, 2, 3], [0]) == {1: (0, 1.0)}
    assert index.matches([0], [0]) == {}
    assert index.components() == [0, 0, 2, 3, 4, 0]


def test_long_and_short_texts_beside_each_other() -> None:
    texts = [LONG_TEXT, "replace hose", LONG_TEXT + " more", "replace hoses"]
    assert [pair[:2] for pair in Index(texts).pairs()] == [(0, 2), (1, 3)]


def test_a_threshold_that_the_bands_do_not_hold() -> None:
    with pytest.raises(ValueError, match="between"):
        Index(["a"], 0.3)
    assert Index([]).components() == []


def test_the_order_of_texts_does_not_matter() -> None:
    texts = [plain(item.text) for item in orders(150)]
    shuffled = list(range(len(texts)))
    random.Random(2).shuffle(shuffled)
    first = {frozenset((texts[a], texts[b])) for a, b, _ in Index(texts).pairs()}
    other = [texts[n] for n in shuffled]
    assert {frozenset((other[a], other[b])) for a, b, _ in Index(other).pairs()} == first
