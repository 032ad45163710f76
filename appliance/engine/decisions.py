"""Confidence of a model in tokens that it chose itself.

Rules: a token without an alternative in the form of an answer is no decision. Values come from the
raw distribution, before penalties, bias, masks and temperature.
"""

import math
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from appliance.engine.logprobs import FLOOR, normaliser
from appliance.engine.sampling import Row
from appliance.types import Decision


class Decisions:
    """The decisions of one answer."""

    def __init__(self) -> None:
        self._offset = 0
        self._raw: Row = np.empty(0, np.float32)
        self._may: NDArray[np.bool_] = np.empty(0, np.bool_)

    def watching(
        self, logits: Row, restrict: Callable[[Row], None] | None
    ) -> Callable[[Row], None]:
        """The same restriction, which remembers what it leaves of the next token.

        Nothing changes `logits` (the raw row, shape (n_vocab,)) until `score`.
        """

        def watched(row: Row) -> None:
            if restrict is not None:
                restrict(row)
            self._raw, self._may = logits, row > -np.inf

        return watched

    def score(self, token: int) -> Decision | None:
        """Describe the choice of the next token; None where the form left no choice."""
        row, total = normaliser(self._raw)
        values = row[self._may & (row > -np.inf)].astype(np.float64)
        if len(values) < 2:
            return None
        second, first = np.partition(values, len(values) - 2)[-2:]
        weights = np.exp(values - first)
        part = float(first) + math.log(weights.sum())
        mean = float((weights * values).sum() / weights.sum())
        return Decision(
            self._offset,
            max(float(row[token]) - total, FLOOR),
            float(first - second),
            max(0.0, part - mean),
            min(0.0, max(part - total, FLOOR)),
        )

    def wrote(self, piece: bytes) -> None:
        self._offset += len(piece)
