"""Nearest neighbours by an embedding model, as a candidate.

Rules: training texts are embedded through the path of apps; questions and training texts go through
the same model without a prefix, written as a classifier of the task reads them; of a large split
`train` the items with the smallest digests are learned.
"""

from array import array
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from operator import attrgetter
from typing import Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

from appliance.datasets.items import Item
from appliance.evals.answers import WHOLE, parts
from appliance.evals.baselines import Classify, Guess, Shares, combined, commonest, likeliest
from appliance.evals.subject import some
from appliance.tasks.classifiers.document import write
from appliance.tasks.classifiers.neighbours import NeighbourModel, fit_neighbours

NAME: Final = "nearest neighbours, {}"
MOST: Final = 5_000
"""Training items that are embedded."""
BATCH: Final = 32

Vector: TypeAlias = NDArray[np.float32]
Embed: TypeAlias = Callable[[Sequence[str]], Awaitable[list[bytes]]]
"""The vectors of some texts as little-endian 32-bit floats; b"" for one that is too long."""


@dataclass(frozen=True)
class NearestAnswers:
    """Answers by the labels of the nearest training texts; `size` is in bytes of served
    coefficients.
    """

    embed: Embed
    labels: Mapping[str, NeighbourModel | Classify]
    size: int

    @property
    def document(self) -> bytes | None:
        """None for answers that are objects or all alike."""
        held = self.labels.get(WHOLE)
        return write(held) if isinstance(held, NeighbourModel) else None

    async def answer(self, text: str) -> Guess | None:
        """None where the text is too long."""
        (data,) = await self.embed([text])
        if not data:
            return None
        vector = _vector(data)
        ready: dict[str, Classify] = {
            name: partial(_nearest, held, vector) if isinstance(held, NeighbourModel) else held
            for name, held in self.labels.items()
        }
        return combined(ready, text)


async def learn(
    train: Sequence[Item],
    embed: Embed,
    embedder: str,
    told: Callable[[int], None],
    text_of: Callable[[Item], str | None] = attrgetter("text"),
) -> NearestAnswers:
    """Learn training texts.

    Args:
        embedder: digest of the embedding model.
        told: gets the number of embedded texts; may stop the work.
        text_of: an item's text; None leaves the item out.
    """
    train = [item for item in train if text_of(item) is not None]
    chosen = some(train, MOST) if len(train) > MOST else tuple(train)
    vectors: list[Vector] = []
    kept: list[Item] = []
    for start in range(0, len(chosen), BATCH):
        told(start)
        batch = chosen[start : start + BATCH]
        for item, data in zip(
            batch, await embed([text_of(item) or "" for item in batch]), strict=True
        ):
            if data:
                vectors.append(_vector(data))
                kept.append(item)
    found: dict[str, NeighbourModel | Classify] = {}
    size = 0
    for name, labels in parts(kept).items():
        if len(set(labels)) < 2:
            found[name] = commonest(labels)
            continue
        held = fit_neighbours(np.stack(vectors), labels, embedder)
        size += len(write(held))
        found[name] = held
    return NearestAnswers(embed, found, size)


def _nearest(held: NeighbourModel, vector: Vector, _text: str) -> Shares:
    (shares,) = held.probabilities(vector)
    return likeliest(held.labels, shares)


def _vector(data: bytes) -> Vector:
    return np.array(array("f", data), dtype=np.float32)
