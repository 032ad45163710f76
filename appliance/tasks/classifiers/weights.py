"""The deciding features of a regression over n-grams. Pure.

Rules: a label's weight is relative to the mean of the other labels, since only differences decide;
in a text a feature counts its contribution to the answer's score over that of the next label.
"""

from dataclasses import dataclass

import numpy as np

from appliance.tasks.classifiers.linear import Linear
from appliance.tasks.classifiers.ngrams import NgramVocabulary


@dataclass(frozen=True)
class Feature:
    """An n-gram and its weight for a label; below 0 it is against it."""

    name: str
    weight: float


@dataclass(frozen=True)
class LabelDecision:
    """Decision on a text.

    Attributes:
        features: of the text; the sum of all of them and `start` is the difference of the scores.
    """

    answer: str
    against: str
    confidence: float
    features: tuple[Feature, ...]
    start: float


def strongest(model: Linear, label: str, most: int) -> tuple[Feature, ...]:
    """Features with the highest weights; ValueError for another label."""
    place = model.labels.index(label)
    others = [n for n in range(len(model.labels)) if n != place]
    scores = model.weights[:, place] - model.weights[:, others].mean(axis=1)
    best = np.argsort(-scores, kind="stable")[:most]
    names = _names(model.vocabulary)
    return tuple(Feature(names[n], float(scores[n])) for n in best if scores[n] > 0)


def decided(model: Linear, text: str) -> LabelDecision:
    """Features that decided over the next label, the strongest first."""
    shares = model.probabilities([text])[0]
    order = np.argsort(-shares, kind="stable")
    first, second = int(order[0]), int(order[1])
    apart = np.asarray(model.weights[:, first] - model.weights[:, second], dtype=np.float64)
    row = model.vocabulary.row(text)
    names = _names(model.vocabulary)
    found = [Feature(names[n], value * float(apart[n])) for n, value in row.items()]
    start = float(model.intercepts[first] - model.intercepts[second])
    ordered = sorted(found, key=lambda feature: (-abs(feature.weight), feature.name))
    return LabelDecision(
        model.labels[first], model.labels[second], float(shares[first]), tuple(ordered), start
    )


def _names(vocabulary: NgramVocabulary) -> list[str]:
    blocks = (vocabulary.words.places, vocabulary.characters.places)
    words, characters = (sorted(places, key=lambda name: places[name]) for places in blocks)
    return [*words, *(f"'{name}'" for name in characters)]
