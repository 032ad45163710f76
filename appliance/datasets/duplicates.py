"""Exact and near duplicates of texts, by an own MinHash.

Rules: texts are compared in plain form; similarity is a Jaccard index: of the character trigrams
within words where a text is short, so that typing errors and the order of words hardly count, and
of words and pairs of neighbours between texts of at least `LONG` words; a pair is judged by its
true similarity; a pair at the threshold is missed with a probability below 1e-4, one 0.1 above it
below 1e-7; the same texts give the same pairs.
Sources: Broder, SEQUENCES 1997; Leskovec, Rajaraman & Ullman, Mining of Massive Datasets, 3rd ed.,
section 3.4.
"""

import hashlib
import itertools
import re
import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from appliance.datasets.minhash import Hashes, candidates

THRESHOLD: Final = 0.6
LONG: Final = 16
_SLACK: Final = 0.2
"""How far below the threshold an estimate may be: 4.9 standard errors at 0.6."""


def plain(text: str) -> str:
    """Without case, accents' forms, marks and repeated spaces."""
    folded = unicodedata.normalize("NFKC", text).casefold()
    return re.sub(r"[\W_]+", " ", folded).strip()


def shape(text: str) -> Hashes:
    """Trigrams, or words and pairs of a long text."""
    found = _features(text)
    return found.trigrams if found.words is None else found.words


def similarity(first: str, second: str) -> float:
    """Of two texts in plain form, between 0 and 1."""
    return _alike(_features(first), _features(second))


class Index:
    """The near-duplicates among texts.

    Args:
        texts: in plain form; equal texts are near-duplicates, too.
        threshold: least similarity.

    Raises:
        ValueError: the threshold is below 0.5, where the bands would miss pairs.
    """

    def __init__(self, texts: Sequence[str], threshold: float = THRESHOLD) -> None:
        if not 0.5 <= threshold <= 1:
            raise ValueError("a threshold is between 0.5 and 1")
        self.threshold = threshold
        alike: dict[bytes, int] = {}
        self._sets: list[_Features] = []
        self._members: list[list[int]] = []
        self._kind: list[int | None] = []
        for index, text in enumerate(texts):
            found = _features(text)
            if not len(found.trigrams):
                self._kind.append(None)  # an empty text is like none
                continue
            kind = alike.setdefault(found.key, len(alike))
            self._kind.append(kind)
            if kind == len(self._sets):
                self._sets.append(found)
                self._members.append([])
            self._members[kind].append(index)
        codes, estimates, self.complete = _candidates(self._sets, threshold - _SLACK)
        left, right = np.divmod(codes, max(1, len(self._sets)))
        source = np.concatenate([left, right])
        target = np.concatenate([right, left])
        order = np.lexsort((target, -np.concatenate([estimates, estimates]), source))
        self._target = target[order]
        self._start = np.searchsorted(source[order], np.arange(len(self._sets) + 1))

    def pairs(self) -> list[tuple[int, int, float]]:
        """Indices and similarity, the lower index first, in order."""
        found = []
        for kind, members in enumerate(self._members):
            found += [(i, j, 1.0) for n, i in enumerate(members) for j in members[n + 1 :]]
            for other, value in self._near(kind):
                if other > kind:
                    found += [
                        (min(i, j), max(i, j), value) for i in members for j in self._members[other]
                    ]
        return sorted(found)

    def matches(self, of: Iterable[int], among: Iterable[int]) -> dict[int, tuple[int, float]]:
        """For each index of `of` with a near-duplicate in `among`: the likeliest closest one.

        Closest by estimate; its similarity is the true one.
        """
        allowed = set(among)
        partners = [next((i for i in members if i in allowed), None) for members in self._members]
        found: dict[int, tuple[int, float]] = {}
        for index in of:
            kind = self._kind[index]
            if kind is None:
                continue
            same = next((i for i in self._members[kind] if i in allowed and i != index), None)
            if same is not None:
                found[index] = (same, 1.0)
                continue
            wanted = (other for other in self._targets(kind) if partners[other] is not None)
            for other in wanted:
                value = _alike(self._sets[kind], self._sets[other])
                if value >= self.threshold and (partner := partners[other]) is not None:
                    found[index] = (partner, value)
                    break
        return found

    def components(self) -> list[int]:
        """By index, the smallest that near-duplicates connect it with."""
        parent = list(range(len(self._sets)))

        def find(kind: int) -> int:
            while parent[kind] != kind:
                parent[kind] = parent[parent[kind]]
                kind = parent[kind]
            return kind

        for kind in range(len(self._sets)):
            for other in self._targets(kind):
                low, high = sorted((find(kind), find(other)))
                if low != high and _alike(self._sets[kind], self._sets[other]) >= self.threshold:
                    parent[high] = low
        smallest: dict[int, int] = {}
        for index, found in enumerate(self._kind):
            if found is not None:
                smallest.setdefault(find(found), index)
        return [
            index if found is None else smallest[find(found)]
            for index, found in enumerate(self._kind)
        ]

    def _targets(self, kind: int) -> list[int]:
        found: list[int] = self._target[self._start[kind] : self._start[kind + 1]].tolist()
        return found

    def _near(self, kind: int) -> Iterator[tuple[int, float]]:
        for other in self._targets(kind):
            value = _alike(self._sets[kind], self._sets[other])
            if value >= self.threshold:
                yield other, value


class _Features(NamedTuple):
    """Of one text; words and pairs if it is long."""

    trigrams: Hashes
    words: Hashes | None

    @property
    def key(self) -> bytes:
        """Equal where texts are alike."""
        if self.words is None:
            return self.trigrams.tobytes()
        return b"words" + self.words.tobytes()


def _features(text: str) -> _Features:
    words = text.split()
    if len(words) < LONG:
        return _Features(_trigrams(text), None)
    pairs = [f"{a} {b}" for a, b in itertools.pairwise(words)]
    hashed = {
        int.from_bytes(hashlib.blake2b(part.encode(), digest_size=8).digest())
        for part in (*words, *pairs)
    }
    return _Features(_trigrams(text), np.array(sorted(hashed), dtype=np.uint64))


def _alike(first: _Features, second: _Features) -> float:
    if first.words is not None and second.words is not None:
        return _jaccard(first.words, second.words)
    return _jaccard(first.trigrams, second.trigrams)


def _trigrams(text: str) -> Hashes:
    """Distinct trigrams within words, blanks around each word; exact, 21 bits a character."""
    if not text:
        return np.empty(0, dtype=np.uint64)
    codes = np.frombuffer(f" {text} ".encode("utf-32-le"), dtype=np.uint32).astype(np.uint64)
    inside = codes[1:-1] != ord(" ")
    grams = codes[:-2] << np.uint64(42) | codes[1:-1] << np.uint64(21) | codes[2:]
    return np.unique(grams[inside])


def _jaccard(first: Hashes, second: Hashes) -> float:
    shared = len(np.intersect1d(first, second, assume_unique=True))
    union = len(first) + len(second) - shared
    return shared / union if union else 1.0


def _candidates(
    texts: Sequence[_Features], least: float
) -> tuple[NDArray[np.int64], NDArray[np.float64], bool]:
    """As `minhash.candidates`."""
    long = np.array([text.words is not None for text in texts], dtype=bool)
    by_word = np.flatnonzero(long)
    words = [text.words for text in texts if text.words is not None]
    codes, shares, complete = candidates([text.trigrams for text in texts], long, least)
    others, more, all_of_them = candidates(words, np.zeros(len(words), dtype=bool), least)
    if len(others):
        left, right = np.divmod(others, len(words))
        others = by_word[left] * len(texts) + by_word[right]
    return (
        np.concatenate([codes, others]),
        np.concatenate([shares, more]),
        complete and all_of_them,
    )
