"""Models that compute each token to the same bits in any company; why others do not. Pure.

Rules: a model is covered where kernels of ours compute all that depends on the number of rows.
Everything comes from vetted files and from the check of the kernels; a worker's word is not
believed.

Source: `supported` in kernels/attention.cpp, `found` in kernels/adapter.cpp, `weights_of` in
kernels/weights.cpp; measurements are in docs/adr/0066-the-same-bits-in-any-company.md.
"""

import enum
from typing import Final

from appliance.trust.gguf.gguf import GgufFacts
from appliance.trust.gguf.lora import Lora
from appliance.trust.gguf.matrices import looked_up
from appliance.trust.gguf.tensors import TYPES
from appliance.workers.cpu_variants import Variant
from appliance.workers.kernel_check import FORMATS

ATTENTION: Final = "attention"
ADAPTER: Final = "adapter"
_WIDTHS: Final = frozenset({32, 64, 80, 96, 128, 256})
_GROUP: Final = 64  # most query heads that share one head of the cache
_RANK: Final = 256
_LANES: Final = 16
_SOFT_CAP: Final = frozenset({"gemma2"})
_SINKS: Final = frozenset({"gpt-oss"})
_STATES: Final = frozenset({"lfm2"})


class Obstacle(enum.StrEnum):
    """Why an answer cannot be computed again to the last bit; a record has its value."""

    GPU = "gpu"
    KERNELS = "kernels"
    MATRICES = "matrices"
    EXPERTS = "experts"
    HEADS = "heads"
    WINDOWS = "windows"
    LONG_ROPE = "long_rope"
    SOFT_CAP = "soft_cap"
    SINKS = "sinks"
    STATES = "states"
    ADAPTER = "adapter"
    UPSTREAM = "upstream"
    POOLING = "pooling"
    CLASSIFIER = "classifier"
    PASSAGES = "passages"


WORDS: Final = {
    Obstacle.GPU: "a GPU computes it",
    Obstacle.KERNELS: "a kernel that it needs is not used on this processor",
    Obstacle.MATRICES: "some of its matrices have a format without a kernel of ours",
    Obstacle.EXPERTS: "it has experts",
    Obstacle.HEADS: "its heads have a width without a kernel of ours",
    Obstacle.WINDOWS: "it has sliding windows, which were not measured",
    Obstacle.LONG_ROPE: "its positions depend on the size of the context (LongRoPE)",
    Obstacle.SOFT_CAP: "its attention has a soft cap",
    Obstacle.SINKS: "its attention has sinks",
    Obstacle.STATES: "it has recurrent layers",
    Obstacle.ADAPTER: "its adapter has matrices without a kernel of ours",
    Obstacle.UPSTREAM: "another host answered",
    Obstacle.POOLING: "it makes vectors or scores, which are summed over all texts of a batch",
    Obstacle.CLASSIFIER: "no language model answered",
    Obstacle.PASSAGES: "its prompt had passages, which the record names and does not hold",
}
"""For a person, after "cannot, because" or "no:"."""


def obstacle(
    facts: GgufFacts, variant: Variant, *, gpu: bool, adapter: Lora | None = None
) -> Obstacle | None:
    """The first obstacle to the same bits, for a checked `variant`; None for a covered model."""
    if gpu:
        return Obstacle.GPU
    if facts.kind != "generate":
        return Obstacle.POOLING
    used = set(variant.kernels) - set(variant.wrong)
    if ATTENTION not in used or (adapter is not None and ADAPTER not in used):
        return Obstacle.KERNELS
    if (found := _attention(facts) or _matrices(facts, used)) is not None:
        return found
    return None if adapter is None or _fits(adapter) else Obstacle.ADAPTER


def _attention(facts: GgufFacts) -> Obstacle | None:
    if facts.architecture in _SOFT_CAP:
        return Obstacle.SOFT_CAP
    if facts.architecture in _SINKS:
        return Obstacle.SINKS
    if facts.architecture in _STATES:
        return Obstacle.STATES
    same = facts.head_dim_k == facts.head_dim_v and facts.head_dim_k in _WIDTHS
    if not same or facts.n_head > _GROUP * facts.n_head_kv:
        return Obstacle.HEADS
    if any(name.endswith("rope_factors_long.weight") for name in facts.tensors):
        return Obstacle.LONG_ROPE
    return Obstacle.WINDOWS if facts.n_window else None


def _matrices(facts: GgufFacts, used: set[str]) -> Obstacle | None:
    """Check every tensor that a product reads; rows that are looked up have no order of sums."""
    tables = looked_up(facts.tensors, writes=True)
    for tensor in facts.tensors.values():
        dimensions = sum(extent > 1 for extent in tensor.shape)
        kind = TYPES[tensor.type].name
        if dimensions > 2:
            return Obstacle.EXPERTS
        if dimensions < 2 or tensor.name in tables:
            continue
        if kind not in FORMATS:
            return Obstacle.MATRICES
        if kind not in used:
            return Obstacle.KERNELS
    return None


def _fits(adapter: Lora) -> bool:
    return all(
        pair.floats and pair.down[0] % _LANES == 0 and pair.up[0] <= _RANK
        for pair in adapter.pairs.values()
    )
