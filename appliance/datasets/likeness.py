"""Texts that are alike as they are, or once personal data are masked.

Rules: two texts that differ only in a person's name, date or number are one text; masked text is
only compared; a pair is reported with its higher similarity.
"""

from collections.abc import Iterable, Sequence

from appliance.datasets.duplicates import THRESHOLD, Index, plain
from appliance.datasets.personal_data import mask


class Likeness:
    """Near-duplicates among texts."""

    def __init__(self, texts: Sequence[str], threshold: float = THRESHOLD) -> None:
        self.texts = [plain(text) for text in texts]
        masked = [plain(mask(text)) for text in texts]
        forms = [self.texts] if masked == self.texts else [self.texts, masked]
        self._indexes = [Index(form, threshold) for form in forms]
        self.threshold = threshold
        self.complete = all(index.complete for index in self._indexes)

    def matches(self, of: Iterable[int], among: Iterable[int]) -> dict[int, tuple[int, float]]:
        wanted, allowed = list(of), list(among)
        found: dict[int, tuple[int, float]] = {}
        for index in self._indexes:
            for one, match in index.matches(wanted, allowed).items():
                if one not in found or match[1] > found[one][1]:
                    found[one] = match
        return found

    def components(self) -> list[int]:
        found = (pair for index in self._indexes for pair in enumerate(index.components()))
        return joined(len(self.texts), found)


def joined(count: int, pairs: Iterable[tuple[int, int]]) -> list[int]:
    """By number, the smallest of its part."""
    parent = list(range(count))

    def find(n: int) -> int:
        while parent[n] != n:
            parent[n] = parent[parent[n]]
            n = parent[n]
        return n

    for one, other in pairs:
        low, high = sorted((find(one), find(other)))
        parent[high] = low
    return [find(n) for n in range(count)]
