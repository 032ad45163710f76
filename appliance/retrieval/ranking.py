"""Candidates of a search and their order. Pure numbers over a caller's readable chunks.

Rules:
- Every statistic counts readable chunks only, so that a score reveals nothing about the others.
- A chunk's score, also the rough one in numbers of 8 bits that chooses candidates, does not depend
  on its neighbours in memory.
- Equal scores are ordered by document and place, never by a document's arrival.

Sources: Robertson and Zaragoza, "The Probabilistic Relevance Framework: BM25 and Beyond" (2009);
Bruch, Gai and Ingber, "An Analysis of Fusion Functions for Hybrid Retrieval" (ACM TOIS 42, 2023).
"""

import math
from collections.abc import Mapping, Sequence
from typing import Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

K1: Final = 1.2
B: Final = 0.75
_NEAR: Final = 0.9
"""Weight of vectors in a fusion: chosen on half of the questions of `debfaq` in three languages."""
_DIGITS: Final = 9
_SPARE: Final = 128
"""Candidates beyond the wanted ones that are scored again in 64 bits."""
_BLOCK: Final = 256
"""Rows that are multiplied together: as 32-bit floats they fit the processor's cache."""
_MOST_CODE: Final = 127

Ints: TypeAlias = NDArray[np.int64]
Codes: TypeAlias = NDArray[np.int8]
Floats: TypeAlias = NDArray[np.float32]
Bools: TypeAlias = NDArray[np.bool_]
Ranked: TypeAlias = list[tuple[int, float]]
"""Rows and their scores, best first."""


def bm25(
    postings: Sequence[tuple[Ints, Ints]], lengths: Ints, readable: Bools
) -> NDArray[np.float64]:
    """Unreadable rows score 0.

    Args:
        postings: each term's rows and counts.
        lengths: words of each row.
    """
    scores = np.zeros(len(lengths))
    count = int(readable.sum())
    if not count:
        return scores
    average = max(1.0, int(lengths[readable].sum()) / count)
    for rows, often in postings:
        kept = readable[rows]
        rows, often = rows[kept], often[kept]
        if not len(rows):
            continue
        idf = math.log1p((count - len(rows) + 0.5) / (len(rows) + 0.5))
        damped = often + K1 * (1 - B + B * lengths[rows] / average)
        scores[rows] += idf * often * (K1 + 1) / damped
    return scores


def quantised(vectors: Floats) -> tuple[Codes, Floats]:
    """Vectors, one a row, in 8 bits with a scale each: scale times code is nearly the number."""
    scales = np.abs(vectors).max(axis=1, initial=0) / _MOST_CODE
    codes = np.rint(vectors / np.where(scales > 0, scales, 1)[:, None])
    return codes.astype(np.int8), scales.astype(np.float32)


def nearest(codes: Codes, scales: Floats, query: Floats, readable: Bools, wanted: int) -> Ints:
    """Readable rows, rising, that include those nearest to the query.

    Rows are chosen by their rough cosine, `_SPARE` more than wanted, which covers the roughness.
    Blocks without a readable row are not multiplied.

    Args:
        codes, scales: by `quantised`.
        wanted: number of nearest rows.
    """
    row = np.flatnonzero(readable)
    most = wanted + _SPARE
    if len(row) <= most:
        return row
    products = np.empty(len(codes), np.float32)
    needed = np.logical_or.reduceat(readable, np.arange(0, len(readable), _BLOCK))
    block = np.empty((_BLOCK, codes.shape[1]), np.float32)
    for start in (np.flatnonzero(needed) * _BLOCK).tolist():
        some = codes[start : start + _BLOCK]
        floats = block[: len(some)]
        np.copyto(floats, some)
        np.matmul(floats, query, out=products[start : start + _BLOCK])
    rough = products[row] * scales[row]
    return np.sort(row[np.argpartition(-rough, most)[:most]])


def cosines(vectors: Floats, query: Floats) -> NDArray[np.float64]:
    """In 64-bit floats; all vectors have length 1."""
    if not len(vectors):
        return np.zeros(0)
    return np.asarray((vectors.astype(np.float64) * query.astype(np.float64)).sum(axis=1))


def best(rows: Ints, scores: NDArray[np.float64], order: Ints, wanted: int) -> Ranked:
    """The best rows.

    Args:
        order: of each row of the index, its rank by document and position.
    """
    scores = np.round(scores, _DIGITS)
    if len(scores) > 4 * wanted > 0:  # sort no more than those that can be among the best
        least = np.partition(scores, -wanted)[-wanted]
        rows, scores = rows[scores >= least], scores[scores >= least]
    ranked = np.lexsort((order[rows], -scores))[:wanted]
    return [(int(rows[n]), float(scores[n])) for n in ranked]


def fused(
    rows: Ints, words: NDArray[np.float64], near: NDArray[np.float64], order: Ints, wanted: int
) -> Ranked:
    """The best candidates of both generators, by a weighted sum of their scores.

    Each score is scaled to [0, 1] over the candidates: of words from 0, of vectors from the least
    cosine.

    Args:
        rows: candidates of either generator.
        words, near: BM25 and the cosine of each of them.
    """
    if not len(rows):
        return []
    most, least, span = words.max(), near.min(), np.ptp(near)
    by_words = words / most if most > 0 else words
    by_vectors = (near - least) / span if span > 0 else np.zeros(len(near))
    return best(rows, _NEAR * by_vectors + (1 - _NEAR) * by_words, order, wanted)


def ndcg(ranked: Sequence[str], grades: Mapping[str, int], wanted: int = 10) -> float:
    """Normalised discounted cumulative gain of one query, in [0, 1].

    Source: Jaervelin and Kekaelaeinen, ACM TOIS 20(4), 2002, with the gains as they are given.

    Args:
        ranked: found names, best first; a repeated name counts once, where it is first.
        grades: gains of the relevant names.
    """
    unique = list(dict.fromkeys(ranked))[:wanted]
    gained = sum(grades.get(name, 0) / math.log2(n + 2) for n, name in enumerate(unique))
    ideal = sorted(grades.values(), reverse=True)[:wanted]
    most = sum(grade / math.log2(n + 2) for n, grade in enumerate(ideal))
    return gained / most if most else 0.0


def recall(ranked: Sequence[str], grades: Mapping[str, int], wanted: int = 10) -> float:
    """The share of the relevant names among the first different ones; arguments as of `ndcg`."""
    first = list(dict.fromkeys(ranked))[:wanted]
    return len(grades.keys() & set(first)) / len(grades) if grades else 0.0
