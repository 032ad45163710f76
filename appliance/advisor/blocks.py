"""Weeks of a task's requests as rows of numbers, for finding drift. Pure.

Rules: the first whole week is the profile, and no block itself, so that all later weeks are
measured alike; a block keeps no text; a week with few requests is no block.
"""

import math
import re
import zlib
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Final

import numpy as np
from numpy.typing import NDArray

WEEK_US: Final = 7 * 86_400_000_000
FEWEST: Final = 20
"""Requests that make a block of a week."""
_WORDS: Final = 1 << 16
"""Places that words are hashed to; a word that shares one with a known word counts as known."""
_ANSWERS: Final = 8
_MIDDLE: Final = 64
_SURE: Final = 0.9
_UNSURE: Final = 0.5
_WORD: Final = re.compile(r"\w+")
NAMES: Final = {
    "failures": "answers that failed or broke the form",
    "cut": "answers that were cut at their limit",
    "deferred": "requests that were deferred",
    "prompt": "length of the prompt",
    "answer": "length of the answer",
    "confidence": "mean confidence",
    "sure": "answers with a confidence above 0.9",
    "unsure": "answers with a confidence below 0.5",
    "words": "words that the first week did not have",
    "unknown": "share of a request's words that the first week did not have",
    "middle": "distance of the texts from those of the first week",
    "misses": "questions to which no passage was found",
    "overrides": "answers that a person changed",
}
"""Statistics by name; `words`, in weeks of older versions, counts words and no requests: one long
text decides it. `label 0` and so on are shares of the commonest answers."""


@dataclass(frozen=True)
class WeekObserved:
    """One request as observed; None where nothing was observed.

    Attributes:
        text: the input, where its key agreed and it was kept; likewise `answer`.
    """

    time_us: int
    failed: bool = False
    cut: bool = False
    deferred: bool = False
    prompt_tokens: int = 0
    answer_tokens: int = 0
    confidence: float | None = None
    text: str | None = None
    answer: str | None = None
    missed: bool | None = None
    overridden: bool | None = None

    @cached_property
    def places(self) -> list[int]:
        return [_place(word) for word in _words(self.text or "")]

    @cached_property
    def vector(self) -> NDArray[np.float64]:
        return _vector(self.text or "")


@dataclass(frozen=True)
class Profile:
    """The reference that later weeks are compared with.

    Attributes:
        words: the known words, packed.
        answers: the commonest ones; hashes, no texts.
        middle: mean of the texts' hashed trigrams.
    """

    week: int
    words: bytes
    answers: tuple[int, ...]
    middle: tuple[float, ...]

    def __post_init__(self) -> None:
        """Raises ValueError: words of another version."""
        if len(self.known_words()) != _WORDS // 8:
            raise ValueError("words")

    def known_words(self) -> bytes:
        """Raises ValueError."""
        try:
            return zlib.decompress(self.words)
        except zlib.error as error:
            raise ValueError("words") from error


@dataclass(frozen=True)
class WeekBlock:
    """One week.

    Attributes:
        week: number since the epoch.
        values: mean of each observed statistic.
    """

    week: int
    requests: int
    values: Mapping[str, float]


def week_of(time_us: int) -> int:
    """Weeks since the epoch."""
    return time_us // WEEK_US


def profile(week: int, seen: Iterable[WeekObserved]) -> Profile:
    """Build the profile of the first week."""
    bits = np.zeros(_WORDS, dtype=np.uint8)
    answers: Counter[int] = Counter()
    vectors = []
    for each in seen:
        if each.text is not None:
            bits[each.places] = 1
            vectors.append(each.vector)
        if each.answer is not None:
            answers[_place(each.answer)] += 1
    middle = np.mean(vectors, axis=0) if vectors else np.zeros(_MIDDLE)
    commonest = tuple(answer for answer, _ in answers.most_common(_ANSWERS))
    words = zlib.compress(np.packbits(bits).tobytes())
    return Profile(week, words, commonest, tuple(map(float, middle)))


def block(week: int, seen: Sequence[WeekObserved], known: Profile) -> WeekBlock | None:
    """None where the week has too few requests."""
    if len(seen) < FEWEST:
        return None
    found: dict[str, float | None] = {
        "failures": _mean(each.failed for each in seen),
        "cut": _mean(each.cut for each in seen),
        "deferred": _mean(each.deferred for each in seen),
        "prompt": _mean(math.log1p(each.prompt_tokens) for each in seen),
        "answer": _mean(math.log1p(each.answer_tokens) for each in seen),
        "misses": _mean(each.missed for each in seen if each.missed is not None),
        "overrides": _mean(each.overridden for each in seen if each.overridden is not None),
    }
    sure = [each.confidence for each in seen if each.confidence is not None]
    found["confidence"] = _mean(sure)
    found["sure"] = _mean(value > _SURE for value in sure)
    found["unsure"] = _mean(value < _UNSURE for value in sure)
    texts = [each for each in seen if each.text is not None]
    if len(texts) >= FEWEST:
        bits = np.unpackbits(np.frombuffer(known.known_words(), dtype=np.uint8))
        found["unknown"] = _mean(1 - float(bits[t.places].mean()) for t in texts if t.places)
        middle = np.mean([text.vector for text in texts], axis=0)
        found["middle"] = float(np.linalg.norm(middle - np.asarray(known.middle)))
    answers = [_place(each.answer) for each in seen if each.answer is not None]
    if len(answers) >= FEWEST:
        for number, answer in enumerate(known.answers):
            found[f"label {number}"] = _mean(each == answer for each in answers)
    kept = {name: value for name, value in found.items() if value is not None}
    return WeekBlock(week, len(seen), kept)


def table(blocks: Sequence[WeekBlock]) -> tuple[tuple[str, ...], NDArray[np.float64]]:
    """Statistics of every block; a row of values a block."""
    names = [name for name in blocks[0].values if all(name in b.values for b in blocks)]
    rows = [[block.values[name] for name in names] for block in blocks]
    return tuple(names), np.array(rows, dtype=np.float64).reshape(len(blocks), len(names))


def named(statistic: str) -> str:
    """Name a statistic for people."""
    if statistic.startswith("label "):
        return f"share of an answer that was common at first (number {int(statistic[6:]) + 1})"
    return NAMES.get(statistic, statistic)


def _words(text: str) -> list[str]:
    return _WORD.findall(text.lower())


def _place(word: str) -> int:
    return zlib.crc32(word.encode("utf-8", "replace")) % _WORDS


def _vector(text: str) -> NDArray[np.float64]:
    """A text by its trigrams of characters, hashed to a direction and a sign; of length 1."""
    data = f"  {text.lower()} ".encode("utf-8", "replace")[:2_000]
    hashes = np.array([zlib.crc32(data[at : at + 3]) for at in range(len(data) - 2)])
    signs = np.where(hashes & _WORDS, 1.0, -1.0)
    found = np.bincount(hashes % _MIDDLE, weights=signs, minlength=_MIDDLE)
    return np.asarray(found / max(1.0, float(np.linalg.norm(found))), dtype=np.float64)


def _mean(values: Iterable[float | bool | None]) -> float | None:
    numbers = [float(value) for value in values if value is not None]
    return math.fsum(numbers) / len(numbers) if numbers else None
