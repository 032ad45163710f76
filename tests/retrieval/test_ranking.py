"""Scores and orders, against slow and plain computations."""

import math

import numpy as np
import pytest

from appliance.retrieval import ranking
from appliance.retrieval.ranking import Bools, Ints


def ints(*values: int) -> Ints:
    return np.array(values, np.int64)


def bools(*values: int) -> Bools:
    return np.array(values, bool)


def test_bm25_is_the_formula() -> None:
    lengths = ints(10, 20, 30, 40)
    scores = ranking.bm25([(ints(0, 2), ints(1, 3))], lengths, bools(1, 1, 1, 1))
    idf = math.log1p((4 - 2 + 0.5) / (2 + 0.5))
    expected = [
        idf * tf * 2.2 / (tf + 1.2 * (0.25 + 0.75 * length / 25))
        for tf, length in ((1, 10), (3, 30))
    ]
    assert scores[[0, 2]] == pytest.approx(expected)
    assert scores[1] == scores[3] == 0


def test_statistics_count_readable_rows_alone() -> None:
    lengths, postings = ints(10, 20, 30, 40), (ints(0, 2, 3), ints(1, 3, 9))
    some = ranking.bm25([postings], lengths, bools(1, 1, 1, 0))
    alone = ranking.bm25([(ints(0, 2), ints(1, 3))], lengths[:3], bools(1, 1, 1))
    assert (some[:3] == alone).all() and some[3] == 0
    everything = ranking.bm25([postings], lengths, bools(1, 1, 1, 1))
    assert (everything[:3] != alone).any()  # the control: global statistics would tell


@pytest.mark.parametrize("share", [0.0, 0.001, 0.5, 1.0])
def test_every_readable_row_may_be_taken_and_no_other(share: float) -> None:
    rng = np.random.default_rng(2)
    vectors, readable = rng.normal(size=(2_500, 5)).astype(np.float32), rng.random(2_500) < share
    rows = ranking.nearest(*ranking.quantised(vectors), vectors[0], readable, 2_500)
    assert rows.tolist() == np.flatnonzero(readable).tolist()


def test_eight_bits_are_near_and_nothing_is_divided_by_zero() -> None:
    vectors = np.random.default_rng(4).normal(size=(50, 9)).astype(np.float32)
    vectors[7] = 0
    codes, scales = ranking.quantised(vectors)
    assert np.abs(codes * scales[:, None] - vectors).max() <= scales.max() / 2 + 1e-6
    assert not codes[7].any() and ranking.quantised(vectors[:0])[0].shape == (0, 9)


def test_the_nearest_are_among_those_of_eight_bits() -> None:
    """Also where many are nearly as near: recall of the exact ten is whole."""
    rng = np.random.default_rng(5)
    near = rng.normal(size=(6_000, 64)) * 0.15 + rng.normal(size=64)
    vectors = (near / np.linalg.norm(near, axis=1, keepdims=True)).astype(np.float32)
    codes, every = ranking.quantised(vectors), np.ones(6_000, bool)
    found = 0
    for number in range(0, 6_000, 300):
        true = np.argsort(-(vectors.astype(float) @ vectors[number].astype(float)))[:10]
        rows = ranking.nearest(*codes, vectors[number], every, 10)
        found += len(np.intersect1d(true, rows))
        assert len(rows) < 200
    assert found == 200


def test_the_best_of_many_equal_ones_are_those_of_a_whole_sort() -> None:
    rng = np.random.default_rng(3)
    scores, order = rng.integers(0, 5, 400).astype(float), rng.permutation(400)
    rows = np.arange(400)
    whole = sorted(rows.tolist(), key=lambda n: (-scores[n], order[n]))[:7]
    assert [n for n, _ in ranking.best(rows, scores, order, 7)] == whole
    assert ranking.best(rows, scores, order, 0) == []


def test_cosines_do_not_depend_on_what_stands_between() -> None:
    rng = np.random.default_rng(1)
    vectors = rng.normal(size=(3_000, 33)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    query, readable = vectors[7], rng.random(3_000) < 0.3
    rows = ranking.nearest(*ranking.quantised(vectors), query, readable, 10)
    scores = ranking.cosines(vectors[rows], query)
    alone = vectors[readable]
    there = ranking.nearest(*ranking.quantised(alone), query, np.ones(len(alone), bool), 10)
    apart = there, ranking.cosines(alone[there], query)
    order = np.arange(3_000)
    kept = np.flatnonzero(readable)
    here = ranking.best(rows, scores, order, 10)
    other = [(int(kept[n]), s) for n, s in ranking.best(*apart, np.arange(len(kept)), 10)]
    assert here == other
    slow = sorted((-float(vectors[n] @ query), n) for n in kept)[:10]
    assert [n for n, _ in here] == [n for _, n in slow]


def test_equal_scores_stand_in_the_given_order() -> None:
    rows, order = ints(0, 1, 2, 3), ints(3, 1, 2, 0)
    assert ranking.best(rows, np.array([1.0, 1.0, 2.0, 1.0]), order, 3) == [(2, 2), (3, 1), (1, 1)]


def test_fusion_adds_scores_that_were_brought_to_one_scale() -> None:
    rows, order = ints(5, 6, 7), np.arange(10)
    found = ranking.fused(rows, np.array([8.0, 4, 0]), np.array([0.7, 0.8, 0.9]), order, 3)
    assert [row for row, _ in found] == [7, 6, 5]
    assert [score for _, score in found] == pytest.approx([0.9, 0.45 + 0.05, 0.1])
    flat = ranking.fused(rows, np.array([1.0, 2, 0]), np.full(3, 0.8), order, 2)
    assert [row for row, _ in flat] == [6, 5]  # vectors say nothing here, so words decide
    silent = ranking.fused(rows, np.zeros(3), np.array([0.1, 0.3, 0.2]), order, 1)
    assert silent == [(6, 0.9)]
    assert ranking.fused(ints(), np.zeros(0), np.zeros(0), order, 3) == []


def test_recall_counts_each_name_once_among_the_first() -> None:
    grades = {"a": 2, "b": 1}
    assert ranking.recall(["a", "a", "c", "b"], grades, 3) == 1
    assert ranking.recall(["a", "a", "c", "b"], grades, 2) == 0.5
    assert ranking.recall([], grades) == ranking.recall(["a"], {}) == 0


def test_ndcg() -> None:
    grades = {"a": 2, "b": 1}
    assert ranking.ndcg(["a", "b", "c"], grades) == 1
    assert ranking.ndcg(["c"], grades) == ranking.ndcg([], grades) == ranking.ndcg(["a"], {}) == 0
    worse = (1 + 2 / math.log2(3)) / (2 + 1 / math.log2(3))
    assert ranking.ndcg(["b", "b", "a"], grades) == pytest.approx(worse)


def test_of_no_vectors_there_are_no_cosines() -> None:
    """A caller without readable documents gets no answer, and no error."""
    none = np.zeros((0, 0), np.float32)
    assert ranking.cosines(none, np.ones(48, np.float32)).shape == (0,)
