"""Groups of near-duplicate texts, for the recipe of an example set.

Texts whose MinHash signatures of word 5-shingles share one of ten bands of six rows are one group:
most pairs with a Jaccard similarity above 0.68 are (Broder, SEQUENCES 1997; Leskovec, Rajaraman &
Ullman, Mining of Massive Datasets, 3rd ed., section 3.4). The numbers are part of the recipe.
"""

import hashlib
from typing import Final

_BANDS: Final = 10
_ROWS: Final = 6
_WORDS: Final = 5
_MASK: Final = (1 << 32) - 1
_PRIME: Final = (1 << 61) - 1


def near_groups(texts: list[str]) -> list[int]:
    """For each text, in lower case with single spaces, the index of its group's first text."""
    parent = list(range(len(texts)))

    def find(index: int) -> int:
        while parent[index] != index:
            parent[index] = parent[parent[index]]
            index = parent[index]
        return index

    seeds = [
        (int(_hex(f"a{i}")[:15], 16) | 1, int(_hex(f"b{i}")[:15], 16))
        for i in range(_BANDS * _ROWS)
    ]
    buckets: dict[tuple[int, ...], int] = {}
    for index, text in enumerate(texts):
        hashes = [int(_hex(shingle)[:12], 16) for shingle in _shingles(text)]
        signature = [min((a * x + b) % _PRIME & _MASK for x in hashes) for a, b in seeds]
        for band in range(_BANDS):
            rows = signature[band * _ROWS : (band + 1) * _ROWS]
            other = buckets.setdefault((band, *rows), index)
            parent[find(index)] = find(other)
    return [find(index) for index in range(len(texts))]


def _shingles(text: str) -> set[str]:
    words = text.split()
    count = max(1, len(words) - _WORDS + 1)
    return {" ".join(words[start : start + _WORDS]) for start in range(count)}


def _hex(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
