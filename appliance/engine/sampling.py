"""From a row of logits to a token id.

Order: temperature, top-k, top-p, min-p, one draw; the order of Hugging Face's generation and of
vLLM. The random number of a request depends on its seed and its step only, never on what else
is in the batch: Philox (Salmon et al., SC'11) is a counter-based generator, so step n is a
lookup and not the n-th call.
"""

import numpy as np
from numpy.typing import NDArray

from appliance.types import Sampling


def uniform(seed: int, step: int) -> float:
    """A number in [0, 1) that depends on seed and step alone."""
    key = seed & (2**64 - 1)
    return float(np.random.Generator(np.random.Philox(key=key, counter=step)).random())


def pick(logits: NDArray[np.float32], sampling: Sampling, step: int) -> int:
    """The next token.

    Args:
        logits: one row, shape (n_vocab,); not changed.
        sampling: the request's settings.
        step: tokens generated so far.
    """
    if sampling.temperature == 0:
        return int(logits.argmax())
    ids, probabilities = distribution(logits, sampling)
    mass = np.cumsum(probabilities)
    at = int(np.searchsorted(mass, uniform(sampling.seed, step) * mass[-1], side="right"))
    return int(ids[min(at, len(ids) - 1)])


def distribution(
    logits: NDArray[np.float32], sampling: Sampling
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """The tokens that may be drawn, most likely first, and their probabilities before rescaling.

    Returns:
        ids and probabilities, both of shape (kept,) with kept >= 1.
    """
    with np.errstate(over="ignore"):  # a temperature next to 0 leaves the likeliest token alone
        scaled = (logits.astype(np.float64) - float(logits.max())) / sampling.temperature
    if 0 < sampling.top_k < len(scaled):
        kept = np.argpartition(scaled, -sampling.top_k)[-sampling.top_k :]
    else:
        kept = np.arange(len(scaled))
    order = kept[np.argsort(-scaled[kept], kind="stable")]
    weights = np.exp(scaled[order])
    probabilities = weights / weights.sum()
    count = len(order)
    if sampling.top_p < 1:
        count = int(np.searchsorted(np.cumsum(probabilities), sampling.top_p)) + 1
    if sampling.min_p > 0:
        count = min(count, int((probabilities >= sampling.min_p * probabilities[0]).sum()))
    count = max(1, min(count, len(order)))
    return order[:count], probabilities[:count]
