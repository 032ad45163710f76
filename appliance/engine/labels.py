"""Log-probabilities of a set of labels after one prompt, from as few tokens as that takes.

Rules:
- Labels form a trie of tokens; the logits after a node score the next token of each label below it.
  A label's value is the sum over its tokens.
- The prompt is computed once and scores the root. Each longest beginning is a path: it goes through
  the model whole, several in one step.
- Values come from the raw distribution. No label is the beginning of another.
- A label that may stay unscored does: the likeliest beginnings are followed first, one path of each
  at a time, and the rest are left where together they hold no more than the tolerance: of the
  shares that are meant, and of the model's probability of all labels. The labels of a beginning
  that was left have equal parts of its probability.
"""

import math
from collections.abc import Mapping
from collections.abc import Sequence as ReadOnly
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from appliance.engine.logprobs import FLOOR, normaliser
from appliance.errors import BadRequest
from appliance.types import Unscored

MOST_TOKENS = 32
"""Most tokens of one label: the scored positions that a step has room for, and the last one."""

Tokens: TypeAlias = tuple[int, ...]
"""Of a label, or of a beginning of it."""


class Labels:
    """The labels of one request.

    Args:
        unscored: the labels that may stay unscored; None scores all.

    Raises:
        BadRequest: `labels_invalid` when a label is empty, too long or the beginning of another, or
            the priors are not one for each.
    """

    def __init__(self, labels: ReadOnly[ReadOnly[int]], unscored: Unscored | None = None) -> None:
        self.tokens = self._labels = [tuple(label) for label in labels]
        self._check()
        if unscored is not None and len(unscored.prior) not in (0, len(self._labels)):
            raise _invalid(f"{len(self._labels)} labels have {len(unscored.prior)} priors.")
        self._unscored = unscored
        self._values: dict[Tokens, dict[int, float]] = {}
        self._following: dict[Tokens, set[int]] = {}
        for label in self._labels:
            for end, token in enumerate(label):
                self._following.setdefault(label[:end], set()).add(token)
        inner = {node[:end] for node in self._following for end in range(len(node))}
        self._left = sorted(self._following.keys() - inner - {()})
        self._paths = tuple(self._left)

    def _check(self) -> None:
        ordered = sorted(self._labels)
        for label, following in zip(ordered, [*ordered[1:], ()], strict=True):
            if not 1 <= len(label) <= MOST_TOKENS:
                raise _invalid(f"A label has {len(label)} tokens; it may have 1 to {MOST_TOKENS}.")
            if following[: len(label)] == label:
                raise _invalid("One label's tokens are the beginning of another's.")

    @property
    def paths(self) -> tuple[Tokens, ...]:
        """The paths to compute next; before the prompt is scored, all of them."""
        return self._paths

    def first(self, tokens: int, most: int) -> tuple[Tokens, ...]:
        """The first paths, up to `most` of them and `tokens` together."""
        taken: list[Tokens] = []
        for path in self._paths[:most]:
            tokens -= len(path)
            if tokens < 0:
                break
            taken.append(path)
        return tuple(taken)

    def tell_prompt(self, logits: NDArray[np.float32]) -> None:
        """Take the logits after the prompt, shape (n_vocab,); not changed."""
        self._tell((), logits)
        self._paths = self._wanted()

    def tell_paths(self, paths: ReadOnly[Tokens], logits: NDArray[np.float32]) -> None:
        """Take the logits after each token, shape (tokens, n_vocab)."""
        rows = iter(logits)
        for path in paths:
            for end in range(1, len(path) + 1):
                self._tell(path[:end], next(rows))
        self._left = [path for path in self._left if path not in paths]
        self._paths = self._wanted()

    def _tell(self, node: Tokens, logits: NDArray[np.float32]) -> None:
        if node in self._values:
            return
        row, total = normaliser(logits)
        self._values[node] = {
            token: max(float(row[token]) - total, FLOOR) for token in self._following[node]
        }

    def _wanted(self) -> tuple[Tokens, ...]:
        if self._unscored is None:
            return tuple(self._left)
        power, priors = self._unscored.power, self._unscored.prior or (0.0,) * len(self._labels)
        together: dict[Tokens, list[float]] = {}
        for reach, prior in zip(self._reaches(), priors, strict=True):
            together.setdefault(reach, []).append(prior)
        most = {
            reach: power * self._value(reach) + _most(some, 1 - power)
            for reach, some in together.items()
        }
        raw = _parts({reach: self._value(reach) for reach in together})
        shares = {reach: max(share, raw[reach]) for reach, share in _parts(most).items()}
        spare, kept = self._unscored.tolerance, list[Tokens]()
        for reach in sorted(shares, key=lambda reach: (shares[reach], reach)):
            if reach in self._following:  # not a whole label
                spare -= shares[reach]
                if spare < 0:
                    kept.append(next(path for path in self._left if path[: len(reach)] == reach))
        return tuple(reversed(kept))

    def _reaches(self) -> list[Tokens]:
        """The part of each label whose value is known: the whole, or a beginning."""
        return [
            next((la[:n] for n in range(1, len(la)) if la[:n] not in self._values), la)
            for la in self._labels
        ]

    def _value(self, tokens: Tokens) -> float:
        return sum(self._values[tokens[:at]][token] for at, token in enumerate(tokens))

    @property
    def complete(self) -> bool:
        return () in self._values and not self._paths

    def values(self) -> NDArray[np.float32]:
        """The logarithm of each label's probability, shape (labels,); once `complete`."""
        reaches = self._reaches()
        return np.array(
            [self._value(reach) - math.log(reaches.count(reach)) for reach in reaches], np.float32
        )


def _most(priors: ReadOnly[float], rest: float) -> float:
    """The logarithm of the largest sum of exp(prior) * share^(1 - rest); all shares make 1.

    Source: Hölder's inequality, which is sharp.
    """
    values = np.array(priors)
    return float(rest * np.logaddexp.reduce(values / rest) if rest > 0 else values.max())


def _parts(logs: Mapping[Tokens, float]) -> dict[Tokens, float]:
    likeliest = max(logs.values())
    weights = {reach: math.exp(value - likeliest) for reach, value in logs.items()}
    whole = math.fsum(weights.values())
    return {reach: weight / whole for reach, weight in weights.items()}


def _invalid(reason: str) -> BadRequest:
    return BadRequest("labels_invalid", reason, param="labels")
