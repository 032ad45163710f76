"""Texts as weighted n-grams: TF-IDF of words and of characters within words.

Rules: n-grams of characters occur in at least two texts; term frequency is logarithmic, both blocks
have length 1; of too many features the commonest are kept.
Sources: Salton & Buckley, Inf. Process. Manag. 24, 1988; the smoothed inverse document frequency
and the forms of n-grams are those of scikit-learn, with which this is compared.
"""

import itertools
import math
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from appliance.tasks.classifiers.sparse import Sparse

MOST: Final = 50_000
"""Features of each block."""
MOST_CHARACTERS: Final = 20_000
"""Longer texts are cut: the beginning of a document decides."""
_WORD: Final = re.compile(r"\w\w+")


def words(text: str) -> Iterator[str]:
    """Words of at least two letters or digits, in lower case, and pairs of neighbours."""
    found = _WORD.findall(text[:MOST_CHARACTERS].lower())
    yield from found
    yield from (f"{a} {b}" for a, b in itertools.pairwise(found))


def characters(text: str) -> Iterator[str]:
    """Two to four characters within a word, with a blank before and after it."""
    for word in text[:MOST_CHARACTERS].lower().split():
        padded = f" {word} "
        for length in (2, 3, 4):
            yield padded[:length]
            yield from (
                padded[start : start + length] for start in range(1, len(padded) - length + 1)
            )
            if length >= len(padded):
                break  # a short word is one n-gram, once


@dataclass(frozen=True)
class Block:
    """Features of one kind: places by name, and the weight of each place."""

    places: Mapping[str, int]
    weights: Sequence[float]

    def vector(self, features: Iterable[str]) -> dict[int, float]:
        """Of length 1; unknown features are left out."""
        counts = Counter(features)
        held = {
            place: (1 + math.log(count)) * self.weights[place]
            for name, count in counts.items()
            if (place := self.places.get(name)) is not None
        }
        length = math.sqrt(math.fsum(value * value for value in held.values()))
        return {place: held[place] / length for place in sorted(held)} if length else {}


def fit_block(texts: Sequence[Sequence[str]], least: int) -> Block:
    """Features of at least `least` texts, weighted by rarity."""
    seen: Counter[str] = Counter()
    for features in texts:
        seen.update(set(features))
    kept = [name for name, count in seen.items() if count >= least]
    kept = sorted(sorted(kept, key=lambda name: (-seen[name], name))[:MOST])
    n = len(texts)
    weights = [math.log((1 + n) / (1 + seen[name])) + 1 for name in kept]
    return Block({name: place for place, name in enumerate(kept)}, weights)


@dataclass(frozen=True)
class NgramVocabulary:
    """Both blocks; columns of the characters come after those of the words."""

    words: Block
    characters: Block

    @property
    def size(self) -> int:
        return len(self.words.weights) + len(self.characters.weights)

    def matrix(self, texts: Sequence[str]) -> Sparse:
        return Sparse([self.row(text) for text in texts], self.size)

    def row(self, text: str) -> dict[int, float]:
        after = len(self.words.weights)
        letters = self.characters.vector(characters(text))
        return self.words.vector(words(text)) | {
            after + place: value for place, value in letters.items()
        }


def fit_vocabulary(texts: Sequence[str]) -> NgramVocabulary:
    """The vocabulary of training texts."""
    return NgramVocabulary(
        fit_block([list(words(text)) for text in texts], 1),
        fit_block([list(characters(text)) for text in texts], 2),
    )
