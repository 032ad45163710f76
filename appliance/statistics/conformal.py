"""Conformal p-values and e-values: is a new block like the reference?

Rules: scores are those of blocks (weeks, sessions), larger is stranger, and the reference was
scored in the same way as the new block; under exchangeability an e-value has mean at most 1 and a
p-value is at most p with probability at most p; e-values of successive blocks against one
reference are averaged, not multiplied; p-values of the jumper are fresh, one for each block.
Sources: Vovk, Gammerman & Shafer, Algorithmic Learning in a Random World, 2nd ed., 2022; Vovk,
"Conformal e-prediction", 2024; Vovk et al., "Retrain or not retrain", COPA 2021.
"""

import math
from bisect import bisect_left, insort
from collections.abc import Sequence
from typing import Final

RATES: Final = (-1.0, 0.0, 1.0)


def e_value(reference: Sequence[float], new: float) -> float:
    """How many times the mean score of reference and new block the new block has.

    Raises:
        ValueError: a score is negative, or there is no reference.
    """
    if not reference or min(reference) < 0 or new < 0:
        raise ValueError("scores are not negative, and a reference is needed")
    total = math.fsum(reference) + new
    return (len(reference) + 1) * new / total if total > 0 else 1.0


def p_value(reference: Sequence[float], new: float) -> float:
    """The share of reference and new block that are at least as strange as the new block."""
    return (1 + sum(score >= new for score in reference)) / (len(reference) + 1)


class Jumper:
    """A conformal martingale over a stream of scores: the simple jumper.

    Its evidence reaches 1 / delta with probability at most delta as long as the stream is
    exchangeable, however often it is looked at.
    """

    def __init__(self, jump: float = 0.01) -> None:
        """
        Args:
            jump: share of the wealth that is spread evenly over the bets before each score.
        """
        self._jump = jump
        self._seen: list[float] = []
        self._wealth = [1 / len(RATES)] * len(RATES)
        self._log = 0.0

    @property
    def evidence(self) -> float:
        """The e-value so far."""
        return math.exp(min(self._log, 700.0))

    def observe(self, score: float, tie: float) -> float:
        """Bet on one score, and return the evidence.

        Args:
            tie: uniform on [0, 1], drawn for this score alone; breaks ties, as the smoothed
                p-value of conformal prediction does.
        """
        insort(self._seen, score)
        equal = self._seen.count(score)
        above = len(self._seen) - bisect_left(self._seen, score) - equal
        p = (above + tie * equal) / len(self._seen)
        total = math.fsum(self._wealth)
        kept = [(1 - self._jump) * w + self._jump * total / len(RATES) for w in self._wealth]
        kept = [w * (1 + rate * (p - 0.5)) for w, rate in zip(kept, RATES, strict=True)]
        gain = math.fsum(kept)
        self._log += math.log(gain)
        self._wealth = [w / gain for w in kept]
        return self.evidence
