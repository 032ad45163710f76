"""Log-probabilities of a set of labels after one prompt, from as few tokens as that takes.

Rules:
- Labels form a trie of tokens. A node is a beginning that labels share; the logits after it score
  the next token of each of these labels. A label's value is the sum over its tokens.
- The prompt is computed once and scores the root. Each longest beginning is a path: it goes through
  the model whole, behind the cells of the prompt, several in one step, and leaves no cells. Where
  every label is one token, the prompt alone is enough.
- Values come from the raw distribution, as those of `logprobs` do: before any setting of the
  request.
- No label is the beginning of another, because their values could not be compared.
"""

from collections.abc import Sequence as ReadOnly
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from appliance.engine.logprobs import FLOOR, normaliser
from appliance.errors import BadRequest

MOST_TOKENS = 32
"""Most tokens of one label: the scored positions that a step has room for, and the last one."""

Tokens: TypeAlias = tuple[int, ...]
"""Of a label, or of a beginning of it."""


class Labels:
    """The labels of one request and what is known of their values.

    Args:
        labels: the tokens of each label.

    Raises:
        BadRequest: `labels_invalid` when a label is empty, too long or the beginning of another.
    """

    def __init__(self, labels: ReadOnly[ReadOnly[int]]) -> None:
        self._labels = [tuple(label) for label in labels]
        self._check()
        self._values: dict[Tokens, dict[int, float]] = {}
        self._nodes = {label[:end] for label in self._labels for end in range(len(label))}
        inner = {node[:end] for node in self._nodes for end in range(len(node))}
        self._paths = sorted(self._nodes - inner - {()})

    def _check(self) -> None:
        ordered = sorted(self._labels)
        for label, following in zip(ordered, [*ordered[1:], ()], strict=True):
            if not 1 <= len(label) <= MOST_TOKENS:
                raise _invalid(f"A label has {len(label)} tokens; it may have 1 to {MOST_TOKENS}.")
            if following[: len(label)] == label:
                raise _invalid("One label's tokens are the beginning of another's.")

    @property
    def paths(self) -> tuple[Tokens, ...]:
        """The longest beginnings that were not scored yet; with the prompt they pass every node."""
        return tuple(self._paths)

    def first(self, tokens: int, most: int) -> tuple[Tokens, ...]:
        """The first paths, up to `most` of them and so many tokens together."""
        taken: list[Tokens] = []
        for path in self._paths[:most]:
            tokens -= len(path)
            if tokens < 0:
                break
            taken.append(path)
        return tuple(taken)

    def tell_paths(self, paths: ReadOnly[Tokens], logits: NDArray[np.float32]) -> None:
        """Take the logits after each token of some paths, shape (tokens, n_vocab)."""
        rows = iter(logits)
        for path in paths:
            for end in range(1, len(path) + 1):
                self.tell(path[:end], next(rows))
        self._paths = [path for path in self._paths if path not in paths]

    def tell(self, node: Tokens, logits: NDArray[np.float32]) -> None:
        """Take the logits after a node, shape (n_vocab,); not changed."""
        if node in self._values:
            return
        row, total = normaliser(logits)
        size = len(node)
        following = {la[size] for la in self._labels if len(la) > size and la[:size] == node}
        self._values[node] = {token: max(float(row[token]) - total, FLOOR) for token in following}

    @property
    def complete(self) -> bool:
        """Whether every node was scored."""
        return len(self._values) == len(self._nodes)

    def values(self) -> NDArray[np.float32]:
        """The logarithm of each label's probability, shape (labels,); once `complete`."""
        sums = [
            sum(self._values[label[:at]][token] for at, token in enumerate(label))
            for label in self._labels
        ]
        return np.array(sums, np.float32)


def _invalid(reason: str) -> BadRequest:
    return BadRequest("labels_invalid", reason, param="labels")
