"""From a row of logits to a token id.

Order: repetition, frequency and presence penalty, logit bias, tokens that may not come (a grammar's
mask, early ends), then temperature, top-k, top-p, min-p, typical, one draw; as in vLLM and Hugging
Face's generation. The random number of a request depends on its seed and its step only (Philox,
Salmon et al., SC'11, a counter-based generator).

Rules: a row that asks for nothing costs an argmax and no copy. Of equal logits the lowest id is the
likeliest. A logit that is not a number cannot be drawn; when none can, there is no token.
"""

import math
from collections.abc import Callable, Collection
from collections.abc import Sequence as ReadOnly

import numpy as np
from numpy.typing import NDArray

from appliance.types import Sampling

Row = NDArray[np.float32]
_HIGHEST = float(np.finfo(np.float32).max)


class Sampler:
    """One answer's state between its logits and its next token.

    Args:
        prompt_tokens: where the answer begins in the tokens that `pick` is given.
        keep: the caller reads the logits afterwards, so that they must not change.
    """

    def __init__(self, sampling: Sampling, prompt_tokens: int, *, keep: bool) -> None:
        self._sampling = sampling
        self._prompt_tokens = prompt_tokens
        self._keep = keep
        self._penalises = (
            sampling.repetition_penalty != 1
            or sampling.presence_penalty != 0
            or sampling.frequency_penalty != 0
        )
        self._biased = np.array([t for t, _ in sampling.logit_bias], np.int64)
        self._bias = np.array([b for _, b in sampling.logit_bias], np.float32)
        self._counts: dict[int, int] = {}  # how often each token was generated
        self._counted = 0

    def pick(
        self,
        logits: Row,
        tokens: ReadOnly[int],
        *,
        restrict: Callable[[Row], None] | None = None,
        banned: Collection[int] = (),
    ) -> int | None:
        """The next token, None if there is none that may come.

        Args:
            logits: one row, shape (n_vocab,); changed only by `restrict`, unless `keep`.
            restrict: sets what may not come next to minus infinity, in place.
            banned: tokens that may come only if nothing else may.
        """
        row = logits
        if self._penalises or len(self._biased) or banned or (restrict and self._keep):
            row = logits.copy()
        if self._penalises:
            self._penalise(row, tokens)
        if len(self._biased):
            row[self._biased] += self._bias
        if restrict is not None:
            restrict(row)
        if banned:
            _ban(row, banned)
        return pick(row, self._sampling, len(tokens) - self._prompt_tokens)

    def _penalise(self, row: Row, tokens: ReadOnly[int]) -> None:
        """Apply the penalties of CTRL (Keskar et al. 2019) and OpenAI, in place."""
        settings = self._sampling
        if not self._counted:
            self._counted = self._prompt_tokens
            if settings.repetition_penalty != 1:
                self._counts = dict.fromkeys(tokens[: self._prompt_tokens], 0)
        for token in tokens[self._counted :]:
            self._counts[token] = self._counts.get(token, 0) + 1
        self._counted = len(tokens)
        size = len(self._counts)
        ids = np.fromiter(self._counts, np.int64, size)
        counts = np.fromiter(self._counts.values(), np.float32, size)
        values = row[ids]
        if settings.repetition_penalty != 1:
            factor = np.float32(settings.repetition_penalty)
            with np.errstate(over="ignore"):
                values = np.where(values > 0, values / factor, values * factor)
        values -= np.float32(settings.frequency_penalty) * counts
        values -= np.float32(settings.presence_penalty) * (counts > 0)
        row[ids] = values


def uniform(seed: int, step: int) -> float:
    """A number in [0, 1) that depends on seed and step only."""
    key = seed & (2**64 - 1)
    return float(np.random.Generator(np.random.Philox(key=key, counter=step)).random())


def pick(logits: Row, sampling: Sampling, step: int) -> int | None:
    """The next token by temperature, cutoffs and draw; None if no logit is a number.

    Args:
        logits: one row, shape (n_vocab,); not changed.
    """
    best = int(logits.argmax())
    if not math.isfinite(logits[best]):  # argmax finds the first that is not a number, or infinity
        logits = finite(logits)
        best = int(logits.argmax())
        if logits[best] == -np.inf:
            return None
    if sampling.temperature == 0:
        return best
    ids, probabilities = distribution(logits, sampling)
    mass = np.cumsum(probabilities)
    at = int(np.searchsorted(mass, uniform(sampling.seed, step) * mass[-1], side="right"))
    last = int(np.searchsorted(mass, mass[-1]))  # what follows it has no mass
    return int(ids[min(at, last)])


def finite(logits: Row) -> Row:
    """A copy where NaN is minus infinity and nothing is plus infinity."""
    return np.nan_to_num(logits, nan=-np.inf, posinf=_HIGHEST, neginf=-np.inf)


def distribution(logits: Row, sampling: Sampling) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """The ids that may be drawn and their probabilities before rescaling, both of shape (kept,)
    with kept >= 1; most likely first, unless no cutoff asks for an order.
    """
    with np.errstate(over="ignore"):  # a temperature next to 0 leaves the likeliest token alone
        scaled = (logits.astype(np.float64) - float(logits.max())) / sampling.temperature
    weights = np.exp(scaled)
    if 0 < sampling.top_k < len(weights):
        order = largest(logits, sampling.top_k)
        probabilities = weights[order] / weights[order].sum()
    elif sampling.top_p < 1 or sampling.min_p > 0 or sampling.typical_p < 1:
        order = _sorted_head(weights, sampling)
        probabilities = weights[order] / weights.sum()
    else:
        return np.arange(len(weights)), weights / weights.sum()
    count = len(order)
    if sampling.top_p < 1:
        count = int(np.searchsorted(np.cumsum(probabilities), sampling.top_p)) + 1
    if sampling.min_p > 0:
        count = min(count, int((probabilities >= sampling.min_p * probabilities[0]).sum()))
    count = max(1, min(count, len(order)))
    order, probabilities = order[:count], probabilities[:count]
    if sampling.typical_p < 1:
        typical = _typical(probabilities, sampling.typical_p)
        order, probabilities = order[typical], probabilities[typical]
    return order, probabilities


def largest(values: Row, count: int) -> NDArray[np.int64]:
    """Ids of the `count` largest values, largest first; of equal ones the lowest id first."""
    if count < len(values):
        least = np.partition(values, len(values) - count)[len(values) - count]
        kept = np.flatnonzero(values >= least)
    else:
        kept = np.arange(len(values))
    return kept[np.argsort(-values[kept], kind="stable")][:count]


def _sorted_head(weights: NDArray[np.float64], sampling: Sampling) -> NDArray[np.int64]:
    """All tokens that top-p and min-p can keep, most likely first.

    Tokens that each have less than (1 - top_p) / n of the mass are outside the nucleus, and need no
    sorting.
    """
    floor = (1 - sampling.top_p) * weights.sum() / len(weights)
    # Half of it: the sums of many small numbers are not exact.
    kept = np.flatnonzero(weights >= max(floor / 2, sampling.min_p / 2))
    return kept[np.argsort(-weights[kept], kind="stable")]


def _typical(probabilities: NDArray[np.float64], mass: float) -> NDArray[np.int64]:
    """Places of the locally typical tokens (Meister et al. 2022), in their order.

    Typical are those whose surprise is next to the entropy; as many as reach the mass.
    """
    p = probabilities / probabilities.sum()
    with np.errstate(divide="ignore", invalid="ignore"):
        surprise = -np.log(p)
        entropy = float(np.nansum(p * surprise))
    order = np.argsort(np.abs(surprise - entropy), kind="stable")
    count = int(np.searchsorted(np.cumsum(p[order]), mass)) + 1
    return np.sort(order[:count])


def _ban(row: Row, banned: Collection[int]) -> None:
    """Set the tokens to minus infinity, in place, unless nothing else is left."""
    ids = list(banned)
    before = row[ids]
    row[ids] = -np.inf
    if not (row > -np.inf).any():
        row[ids] = before
