"""The candidates without a language model that every evaluation measures first.

Rules: they see the split `train` alone; at n items they see the n whose digests are smallest, so
the choice depends on no order; answers are timed one by one, as an app would wait for them.
"""

import hashlib
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Final

from appliance.datasets.items import Item
from appliance.tasks.classifiers.linear import fit_linear

SIZES: Final = (100, 300, 1_000)
"""Training items of the learning curve, besides all of them."""
MAJORITY: Final = "majority"
LINEAR: Final = "logistic regression"

Answered = tuple[str, float | None, float]
"""An answer, the confidence in it, and the seconds that it took."""


@dataclass(frozen=True)
class Baseline:
    """One of them.

    Attributes:
        fit: learns from the training items and answers texts, one at a time.
    """

    name: str
    fit: Callable[[], Callable[[str], tuple[str, float | None]]]

    def answers(self, texts: Sequence[str]) -> Iterator[Answered]:
        """Learn, then answer each text."""
        answer = self.fit()
        for text in texts:
            begun = time.perf_counter()
            label, confidence = answer(text)
            yield label, confidence, time.perf_counter() - begun


def battery(train: Sequence[Item]) -> list[Baseline]:
    """Majority, then logistic regression at each size of the learning curve and at all items."""
    found = [Baseline(MAJORITY, partial(_majority, train))]
    if len({item.label for item in train}) < 2:
        return found
    ordered = sorted(train, key=lambda item: hashlib.sha256(item.id.encode()).digest())
    for size in (n for n in SIZES if n < len(train)):
        some = ordered[:size]
        if len({item.label for item in some}) > 1:
            found.append(Baseline(f"{LINEAR}, n={size:,}", partial(_linear, some)))
    return [*found, Baseline(LINEAR, partial(_linear, train))]


def _majority(train: Sequence[Item]) -> Callable[[str], tuple[str, float | None]]:
    counts = Counter(item.label for item in train)
    label = min(counts, key=lambda name: (-counts[name], name))
    return lambda _: (label, counts[label] / len(train))


def _linear(train: Sequence[Item]) -> Callable[[str], tuple[str, float | None]]:
    model = fit_linear([item.text for item in train], [item.label for item in train])

    def answer(text: str) -> tuple[str, float | None]:
        (shares,) = model.probabilities([text])
        best = int(shares.argmax())
        return model.labels[best], float(shares[best])

    return answer
