"""Probability of each label of a set, from the log-probabilities of the written one.

Rules: at each token the possible labels split into those that follow it and those that would have
followed another one; each part has the raw probability of its token, normalised over the parts.
Labels that the engine did not distinguish share it. A label that no reported token begins has
nothing. The answer's own share is the product over the label trie, as for `labels` tasks.
"""

import math
from array import array
from collections.abc import Sequence

from appliance.routing.upstreams.exchange import invalid
from appliance.types import TokenLogprob

_LEAST = 1e-12


def vector(labels: Sequence[str], text: str, tokens: Sequence[TokenLogprob]) -> bytes:
    """Logarithms of shares, little-endian 32-bit floats.

    Raises:
        UpstreamLost: `upstream_invalid`: the text is no label.
    """
    if text not in labels:
        raise invalid("its answer is none of the labels")
    found = shares(labels, labels.index(text), tokens)
    return array("f", [math.log(max(share, _LEAST)) for share in found]).tobytes()


def shares(labels: Sequence[str], written: int, tokens: Sequence[TokenLogprob]) -> list[float]:
    """The shares add up to one; `written` is the index of the written label."""
    found = [0.0] * len(labels)
    alive, left, at = list(range(len(labels))), 1.0, 0
    for token in tokens:
        if len(alive) == 1:
            break
        step = token.token.decode("utf-8", "replace")
        odds = {piece.decode("utf-8", "replace"): math.exp(value) for piece, value in token.top}
        odds[step] = math.exp(token.logprob or 0.0)
        parts = _parts([(label, labels[label][at:]) for label in alive], odds)
        mine = next(name for name, part in parts.items() if written in part)
        total = sum(odds.get(name, 0.0) for name in parts) or 1.0
        for name, part in parts.items():
            share = odds.get(name, 0.0) / total
            if name == mine:
                continue
            for label in part:
                found[label] = left * share / len(part)
        left *= odds.get(mine, 0.0) / total
        alive, at = parts[mine], at + len(step)
        if not labels[written].startswith(labels[written][:at]) or at > len(labels[written]):
            break
    if len(alive) > 1 and at >= len(labels[written]):
        alive = [written]
    for label in alive:
        found[label] = left / len(alive)
    total = sum(found) or 1.0
    return [share / total for share in found]


def _parts(rests: Sequence[tuple[int, str]], odds: dict[str, float]) -> dict[str, list[int]]:
    """Labels by the longest reported token that continues them; "" for none."""
    found: dict[str, list[int]] = {}
    for label, rest in rests:
        fitting = [name for name in odds if name and rest.startswith(name)]
        found.setdefault(max(fitting, key=len, default=""), []).append(label)
    return found
