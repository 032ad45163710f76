"""Estimate of a model's memory, from its header, its settings and the host's processor backend.
Pure.

A model has two peaks. While it is loaded, its sealed copy is next to the weights that are copied
out of it; a model on the disk has no such copy, and of its weights only those count that the
processor wants in another order (`repacking`). While it serves, there are the weights, the cache
and the buffers. An estimate is the larger of both, plus 8 %. Measured:
`benchmarks/results/estimate.md`.
"""

from collections.abc import Collection
from dataclasses import dataclass

from appliance.config import ModelConfig
from appliance.engine.cells import BRANCHES, SCORED
from appliance.engine.scheduler import FORCED
from appliance.facts import ModelFacts
from appliance.trust.gguf.gguf import encodes
from appliance.trust.gguf.matrices import TABLE, TIED
from appliance.workers.repacking import copied, loaded

MIB = 1 << 20
_PROCESS = 58 * MIB  # Python, numpy, llama.cpp's libraries, their heaps
_WORD_BYTES = 160  # of a token, for llama.cpp
_GUIDED_BYTES = 530  # of a token, for llguidance once there was a schema
_MERGE_BYTES = 200  # of a merge of the tokeniser
_KV_BYTES = 2  # the cache holds 16-bit floats
_MASK_BYTES = 2  # so does the mask of flash attention
_UBATCH = 512  # tokens that llama.cpp computes at once
_WIDE_ROWS = 24  # intermediate rows of n_embd floats that the compute buffer keeps per token


@dataclass(frozen=True)
class Estimate:
    """Bytes by purpose.

    Attributes:
        sealed: the file, in sealed memory while it is loaded, and what the copying of a large
            embedding takes beyond the weights.
        weights: those in the worker's own memory.
        compute: buffers of the largest step, and the logits that are read.
        process: the worker itself, with llama.cpp's tables of the vocabulary.
        words: the tables for schemas.
    """

    sealed: int
    weights: int
    kv: int
    compute: int
    adapters: int = 0
    process: int = 0
    words: int = 0

    @property
    def total(self) -> int:
        always = self.weights + self.process
        while_it_loads = self.sealed + self.adapters // 2  # of adapters the sealed copies
        serving = self.kv + self.compute + self.adapters + self.words
        return (always + max(while_it_loads, serving)) * 27 // 25

    def describe(self) -> str:
        return (
            f"{self.total // MIB} MiB (weights {self.weights // MIB}, process "
            f"{self.process // MIB}, and while it is loaded a sealed copy of "
            f"{self.sealed // MIB}, then KV cache {self.kv // MIB}, compute "
            f"{self.compute // MIB}, adapters {self.adapters // MIB}, tables for schemas "
            f"{self.words // MIB}; plus 8 %)"
        )


def estimate(
    facts: ModelFacts, config: ModelConfig, variant: str, wrong: Collection[str] = ()
) -> Estimate:
    """Memory of one worker; `variant` as of `HostVariant.name`, `wrong` are kernels not used."""
    writes, sealed = facts.kind == "generate", config.hold == "memory"
    known = facts.matrices, variant, wrong
    weights = loaded(facts.file_bytes, *known) if sealed else copied(*known)
    return Estimate(
        sealed=facts.file_bytes + max(0, _first(facts) - weights) if sealed else 0,
        weights=weights,
        kv=_cells(facts, config) * _cell_bytes(facts),
        compute=_step(facts, config) if writes else _batch(facts, config),
        process=_PROCESS + facts.n_vocab * _WORD_BYTES + facts.n_merges * _MERGE_BYTES,
        words=facts.n_vocab * _GUIDED_BYTES if writes else 0,
    )


def adapter_bytes(file_bytes: int) -> int:
    """The memory of an adapter: the sealed copy, and that of the worker."""
    return 2 * file_bytes


def longest_text(facts: ModelFacts, config: ModelConfig) -> int:
    """Most tokens of one request: as configured; for whole texts, as trained."""
    return config.n_ctx if facts.kind == "generate" else min(config.n_ctx, facts.n_ctx_train)


def _first(facts: ModelFacts) -> int:
    """The embedding and its staging copy: it is read first, and each weight through a copy."""
    tables = (size for name, size in facts.matrices.items() if name.endswith((TABLE, TIED)))
    return 2 * sum(tables)


def _cells(facts: ModelFacts, config: ModelConfig) -> int:
    """Cells of the cache; whole texts need one batch of them, an encoder none."""
    if facts.kind == "generate":
        return config.n_ctx * (config.slots if config.reproducible else 1)
    return 0 if encodes(facts) else _batch_tokens(facts, config)


def _cell_bytes(facts: ModelFacts) -> int:
    return facts.n_layer * facts.n_head_kv * (facts.head_dim_k + facts.head_dim_v) * _KV_BYTES


def _step(facts: ModelFacts, config: ModelConfig) -> int:
    """The largest step of a model that writes.

    The layers' intermediate results share one buffer with the logits; the masks of attention stay
    all the time.
    """
    sequences = config.slots + (0 if config.reproducible else config.kept_prefixes + BRANCHES)
    tokens = min(config.prefill_budget + FORCED * config.slots, _UBATCH, config.n_ctx)
    tokens += sequences  # llama.cpp plans for as many of each: it rounds up
    masks = (2 if facts.n_window else 1) * tokens * config.n_ctx * _MASK_BYTES
    layer = tokens * (4 * facts.n_embd + 3 * facts.n_wide) * 4
    rows = max(config.slots + SCORED, sequences)
    row = facts.n_vocab * 4
    read = rows * row
    if config.reproducible:  # each sequence is computed alone, and the rows are put together
        read += 2 * config.slots * row
    return masks + max(layer, rows * row) + read


def _batch_tokens(facts: ModelFacts, config: ModelConfig) -> int:
    return max(longest_text(facts, config), config.prefill_budget)


def _batch(facts: ModelFacts, config: ModelConfig) -> int:
    """Embedding and reranking: one batch at a time, with attention among all its tokens."""
    batch = _batch_tokens(facts, config)
    return batch * (facts.n_embd * _WIDE_ROWS + facts.n_head * batch) * 4
