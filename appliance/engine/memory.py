"""How much memory a model takes, from its header and its settings, before it is loaded.

Pure. The sealed copy counts once, a model held on the disk not at all; weights that the CPU
backend repacks count again; an estimate is an upper bound of the usual case plus 10 %.
"""

from dataclasses import dataclass

from appliance.config import ModelConfig
from appliance.engine.cells import SCORED
from appliance.trust.gguf import GgufFacts

MIB = 1 << 20
_PROCESS = 110 * MIB  # Python, numpy, llama.cpp and their heaps
_KV_BYTES = 2  # the cache holds 16-bit floats
_WIDE_ROWS = 24  # intermediate rows of n_embd floats that the compute buffer keeps per token


@dataclass(frozen=True)
class Estimate:
    """Bytes by purpose."""

    sealed: int
    repacked: int
    kv: int
    compute: int
    adapters: int = 0

    @property
    def total(self) -> int:
        """The sum plus 10 %."""
        parts = (self.sealed, self.repacked, self.kv, self.compute, self.adapters)
        return sum(parts) * 11 // 10

    def describe(self) -> str:
        """The numbers in MiB, for a person."""
        return (
            f"{self.total // MIB} MiB (sealed copy {self.sealed // MIB}, repacked weights "
            f"{self.repacked // MIB}, KV cache {self.kv // MIB}, compute {self.compute // MIB}, "
            f"adapters {self.adapters // MIB}, plus 10 %)"
        )


def estimate(facts: GgufFacts, config: ModelConfig) -> Estimate:
    """The memory of one worker with this model and these settings."""
    if facts.kind != "generate":
        return _whole_texts(facts, config)
    cells = config.n_ctx * (config.slots if config.reproducible else 1)
    per_cell = facts.n_layer * facts.n_head_kv * (facts.head_dim_k + facts.head_dim_v) * _KV_BYTES
    kept = 0 if config.reproducible else config.kept_prefixes
    batch = min(config.prefill_budget + config.slots, 512)
    rows = 2 * (config.slots + kept + SCORED)  # of logits, in the graph and for reading
    compute = batch * facts.n_embd * 4 * _WIDE_ROWS + rows * facts.n_vocab * 4
    return Estimate(
        sealed=facts.file_bytes if config.hold == "memory" else 0,
        repacked=facts.quantised_bytes,
        kv=cells * per_cell,
        compute=compute + _PROCESS,
    )


def host_process() -> int:
    """What of `Estimate.compute` is the process itself, which no GPU holds; bytes."""
    return _PROCESS


def adapter_bytes(file_bytes: int) -> int:
    """The memory of an adapter: the sealed copy, and that of the worker."""
    return 2 * file_bytes


def longest_text(facts: GgufFacts, config: ModelConfig) -> int:
    """Most tokens of one request: what is configured, and for whole texts what was trained."""
    return config.n_ctx if facts.kind == "generate" else min(config.n_ctx, facts.n_ctx_train)


def _whole_texts(facts: GgufFacts, config: ModelConfig) -> Estimate:
    """Embedding and reranking: one batch at a time, with attention among all its tokens."""
    batch = max(longest_text(facts, config), config.prefill_budget)
    per_cell = facts.n_layer * facts.n_head_kv * (facts.head_dim_k + facts.head_dim_v) * _KV_BYTES
    per_token = facts.n_embd * _WIDE_ROWS + facts.n_head * batch
    return Estimate(
        sealed=facts.file_bytes if config.hold == "memory" else 0,
        repacked=facts.quantised_bytes,
        kv=0 if facts.encodes else batch * per_cell,
        compute=batch * per_token * 4 + _PROCESS,
    )
