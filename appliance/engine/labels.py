"""Log-probabilities of a set of labels after one prompt, from as few tokens as that takes.

Rules:
- Labels form a trie of tokens. A node is a beginning that labels share; the logits after it score
  the next token of each of these labels. A label's value is the sum over its tokens.
- Each longest beginning runs as one sequence, which scores the nodes on its way. Where every label
  is one token, the prompt alone is enough.
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
        self.ended = False  # whether the request has had its last row

    def _check(self) -> None:
        ordered = sorted(self._labels)
        for label, following in zip(ordered, [*ordered[1:], ()], strict=True):
            if not 1 <= len(label) <= MOST_TOKENS:
                raise _invalid(f"A label has {len(label)} tokens; it may have 1 to {MOST_TOKENS}.")
            if following[: len(label)] == label:
                raise _invalid("One label's tokens are the beginning of another's.")

    def paths(self) -> list[Tokens]:
        """The longest beginnings: together they pass every node."""
        inner = {node[:end] for node in self._nodes for end in range(len(node))}
        return sorted(self._nodes - inner)

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


class LabelPath:
    """One sequence's way through the trie.

    Args:
        labels: whose nodes it scores.
        prompt: tokens of the prompt.
        path: the tokens of labels that follow it.
    """

    def __init__(self, labels: Labels, prompt: int, path: Tokens) -> None:
        self.labels = labels
        self._prompt = prompt
        self._path = path

    @property
    def known(self) -> int:
        """Leading tokens that are computed as a prompt is, and may come from the cache.

        Beside labels of several tokens it is all but the last of the prompt: the logits after
        that one are needed with those of the path.
        """
        return self._prompt - bool(self._path)

    def wanted(self, start: int, end: int) -> range:
        """Positions from `start` to before `end` whose logits it needs, the last one left out."""
        last = self._prompt + len(self._path) - 1
        return range(max(start, self._prompt - 1), min(end, last))

    def tell(self, start: int, end: int, logits: NDArray[np.float32]) -> None:
        """Take the logits of a computed chunk: of the positions `wanted`, and of the last one."""
        for row, place in zip(logits, range(max(start, self._prompt - 1), end), strict=True):
            self.labels.tell(self._path[: place - self._prompt + 1], row)


def _invalid(reason: str) -> BadRequest:
    return BadRequest("labels_invalid", reason, param="labels")
