"""Memory and time of a tuning. Pure.

Rules: memory follows from the base's header and the settings only, so that it is taken from the
budget before a row is read; time follows from a few measured steps and rows of dev.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from appliance.trust.gguf.gguf import GgufFacts
from appliance.tuning.rows import TokenRow, common_prefix
from appliance.tuning.settings import TuneSettings
from appliance.tuning.trainer import batches

MIB: Final = 1 << 20
_FLOAT: Final = 4
_PROCESS: Final = 300 * MIB  # Python, numpy and torch
_COPIES: Final = 6  # of the pairs: themselves, gradient, two moments, the best, a checkpoint
_LOGITS: Final = 128 * 4  # rows of logits that exist at once, and what their gradient needs
_WIDE: Final = 4  # numbers as wide as the layer's input that the gradient needs of a token
_HEADS: Final = 3  # likewise as wide as all heads
_KEYS: Final = 6  # likewise as wide as the keys: each row has those of the shared beginning, too
_INNER: Final = 3  # likewise as wide as the feed-forward part
_FORWARD: Final = 0.45  # of the time with gradients: those of the base's weights are not computed


@dataclass(frozen=True)
class MemoryPlan:
    """Bytes by purpose.

    Attributes:
        weights: the base as 32-bit floats, and its layers with the pairs added.
        pairs: trained numbers, and the optimiser's state.
        activations: the gradient's, of the tokens that are computed at once.
        server: the worker.
    """

    weights: int
    pairs: int
    activations: int
    process: int
    server: int

    @property
    def trainer(self) -> int:
        return self.weights + self.pairs + self.activations + self.process

    @property
    def total(self) -> int:
        return self.trainer + self.server

    def describe(self) -> str:
        """In MiB, for a person."""
        parts = (
            ("weights", self.weights), ("adapter and optimiser", self.pairs),
            ("activations", self.activations), ("process", self.process), ("server", self.server),
        )  # fmt: skip
        listed = ", ".join(f"{name} {size // MIB}" for name, size in parts)
        return f"{self.total // MIB} MiB ({listed})"


def adapter_numbers(facts: GgufFacts, settings: TuneSettings) -> int:
    """The numbers of an adapter's matrices."""
    heads, shared = facts.n_head * facts.head_dim_k, facts.n_head_kv * facts.head_dim_k
    width, inner = facts.n_embd, _inner(facts)
    sums = (width + heads) + 2 * (width + shared) + (heads + width) + 3 * (width + inner)
    return facts.n_layer * settings.rank * sums


def memory(facts: GgufFacts, settings: TuneSettings, server: int) -> MemoryPlan:
    """`server`: bytes of the worker."""
    sizes = {name: math.prod(tensor.shape) for name, tensor in facts.tensors.items()}
    linear = sum(size for name, size in sizes.items() if name.startswith("blk."))
    pairs = adapter_numbers(facts, settings)
    heads, shared = facts.n_head * facts.head_dim_k, facts.n_head_kv * facts.head_dim_k
    inner = _inner(facts)
    of_layer = _WIDE * facts.n_embd + _HEADS * heads + _KEYS * shared + _INNER * inner
    layers = (
        of_layer + facts.n_layer * facts.n_embd
        if settings.recompute
        else (facts.n_layer * of_layer)
    )
    tokens = max(settings.tokens, settings.longest)
    scores = heads // facts.head_dim_k * settings.longest * tokens if settings.recompute else 0
    return MemoryPlan(
        weights=(sum(sizes.values()) + linear) * _FLOAT,
        pairs=pairs * _COPIES * _FLOAT,
        activations=(tokens * layers + scores + _LOGITS * facts.n_vocab) * _FLOAT,
        process=_PROCESS,
        server=server,
    )


def _inner(facts: GgufFacts) -> int:
    gate = facts.tensors.get("blk.0.ffn_gate.weight")
    return gate.shape[1] if gate is not None else 4 * facts.n_embd


@dataclass(frozen=True)
class Work:
    """Computation of a tuning.

    Attributes:
        tokens: computed with their gradients.
        scored: tokens without gradients, on dev.
        proved: rows of dev that the engine answers at the end.
    """

    steps: int
    tokens: int
    scored: int
    proved: int
    seeds: int = 1

    def seconds(self, pace: "MeasuredPace") -> float:
        """Longest time, if the machine stays as busy as now."""
        trained = pace.begin + (self.tokens + self.scored * _FORWARD) * pace.token
        return pace.read + self.seeds * trained + self.proved * pace.row


@dataclass(frozen=True)
class MeasuredPace:
    """Seconds, as measured.

    Attributes:
        read: until the rows and the engine's scores of the untrained model are there.
        begin: until the trainer takes its first step.
        token: a token with its gradient.
        row: a row of dev in the engine: scores, an answer, and the distribution over the labels.
    """

    read: float
    begin: float
    token: float
    row: float


def work(
    rows: Sequence[TokenRow], dev: Sequence[TokenRow], settings: TuneSettings, seeds: int = 1
) -> Work:
    """The work, if training does not stop early."""
    prefix = common_prefix([*rows, *dev])
    steps = batches.steps(len(rows), settings.batch, settings.epochs)
    each = batches.computed(rows, prefix, settings.tokens, settings.batch, settings.seed)
    parts = batches.parts(dev, range(len(dev)), prefix, settings.tokens)
    scored = sum(
        prefix + len(part) * (max(len(dev[n].inputs) for n in part) - prefix) for part in parts
    )
    evaluations = math.ceil(settings.epochs * settings.evaluations) + 1  # and once as exported
    return Work(steps, round(each * settings.epochs), scored * evaluations, len(dev), seeds)
