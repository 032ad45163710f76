"""The candidates without a language model that every evaluation measures first.

Rules: they see the split `train` only; at n items they see the n whose digests are smallest;
answers are timed one by one; each field of an object is learned by itself.
"""

import hashlib
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Final, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from appliance.datasets.items import Item
from appliance.evals.answers import WHOLE, joined, parts
from appliance.tasks.classifiers.document import write
from appliance.tasks.classifiers.linear import Linear, fit_linear

SIZES: Final = (100, 300, 1_000)
"""Training items of the learning curve, besides all of them."""
MAJORITY: Final = "majority"
LINEAR: Final = "logistic regression"
MOST_CLASSES: Final = 200
"""A part of the answers with more labels than this is left to the commonest one."""

Shares: TypeAlias = Sequence[tuple[str, float]]
"""Labels, the likeliest first, and how likely each is."""
Classify = Callable[[str], Shares]


class Guess(NamedTuple):
    """An answer and the confidence in it.

    Attributes:
        shares: of an answer that is one label; empty for an object.
    """

    answer: str
    confidence: float
    shares: Shares = ()


@dataclass(frozen=True)
class Learned:
    """A baseline that can answer.

    Attributes:
        size: bytes of its coefficients as served.
    """

    answer: Callable[[str], Guess]
    size: int


@dataclass(frozen=True)
class Baseline:
    """A baseline."""

    name: str
    fit: Callable[[], Learned]

    def answers(self, texts: Sequence[str]) -> Iterator[tuple[Guess, float]]:
        return timed(self.fit(), texts)


def timed(learned: Learned, texts: Sequence[str]) -> Iterator[tuple[Guess, float]]:
    """Each text's answer and its seconds."""
    for text in texts:
        begun = time.perf_counter()
        guess = learned.answer(text)
        yield guess, time.perf_counter() - begun


def battery(train: Sequence[Item]) -> list[Baseline]:
    """Majority, then logistic regression at each size of the learning curve and at all items."""
    if not train:
        return []
    found = [Baseline(MAJORITY, partial(_majority, train))]
    ordered = sorted(train, key=lambda item: hashlib.sha256(item.id.encode()).digest())
    for size in (n for n in SIZES if n < len(train)):
        if learnable(ordered[:size]):
            found.append(Baseline(f"{LINEAR}, n={size:,}", partial(_linear, ordered[:size])))
    if learnable(train):
        found.append(Baseline(LINEAR, partial(_linear, train)))
    return found


def learnable(train: Sequence[Item]) -> bool:
    """True if some part differs between items and repeats."""
    return any(_classes(labels) for labels in parts(train).values())


def combined(answer: Mapping[str, Classify], text: str) -> Guess:
    """The whole answer, as confident as its weakest part."""
    found = {name: classify(text) for name, classify in answer.items()}
    whole = joined({name: shares[0][0] for name, shares in found.items()})
    return Guess(whole, min(shares[0][1] for shares in found.values()), found.get(WHOLE, ()))


def commonest(labels: Sequence[str]) -> Classify:
    """The commonest label; of equals the one that sorts first."""
    counts = Counter(labels)
    ordered = sorted(counts, key=lambda name: (-counts[name], name))
    shares = [(name, counts[name] / len(labels)) for name in ordered]
    return lambda _: shares


def likeliest(labels: Sequence[str], shares: NDArray[np.float64]) -> Shares:
    """A distribution, sorted; of equal labels the first one first."""
    return [(labels[n], float(shares[n])) for n in np.argsort(-shares, kind="stable")]


def _majority(train: Sequence[Item]) -> Learned:
    answer = {name: commonest(labels) for name, labels in parts(train).items()}
    return Learned(partial(combined, answer), len(combined(answer, "").answer.encode()))


def _linear(train: Sequence[Item]) -> Learned:
    texts = [item.text for item in train]
    answer: dict[str, Classify] = {}
    size = 0
    for name, labels in parts(train).items():
        if not _classes(labels):
            answer[name] = commonest(labels)
            continue
        model = fit_linear(texts, labels)
        size += len(write(model))

        def classify(text: str, model: Linear = model) -> Shares:
            (shares,) = model.probabilities([text])
            return likeliest(model.labels, shares)

        answer[name] = classify
    return Learned(partial(combined, answer), size)


def _classes(labels: Sequence[str]) -> bool:
    return 2 <= len(set(labels)) <= min(MOST_CLASSES, max(2, len(labels) // 2))
