"""The numbers of a decoder from config.json, and their pairs in a GGUF file. Pure.

Rules: the architecture is one that the trainer computes; refused are models with code of their own,
and anything that this converter would leave out: scaled positions, windows, quantised weights.

Source: conversion/base.py, llama.py and qwen.py of llama.cpp, as of llama-cpp-python 0.3.36.
"""

from dataclasses import dataclass
from typing import Final

from appliance.errors import TuningRefused
from appliance.tuning.conversion import documents
from appliance.tuning.conversion.documents import Members
from appliance.tuning.conversion.gguf_file import f32, text, u32

ARCHITECTURES: Final = {"LlamaForCausalLM": "llama", "Qwen2ForCausalLM": "qwen2"}
_MOST: Final = 1 << 20
_LAYERS: Final = 512
_CONTEXT: Final = 1 << 30
_BASE: Final = 10_000.0


@dataclass(frozen=True)
class DecoderConfig:
    """A decoder.

    Attributes:
        inner: width of the layers between.
    """

    architecture: str
    layers: int
    width: int
    inner: int
    heads: int
    heads_kv: int
    head: int
    context: int
    vocabulary: int
    epsilon: float
    base: float
    tied: bool

    def pairs(self, name: str, file_type: int) -> dict[str, bytes]:
        """Header pairs; `file_type` is llama.cpp's number."""
        own = f"{self.architecture}."
        return {
            "general.architecture": text(self.architecture),
            "general.type": text("model"),
            "general.name": text(name),
            "general.file_type": u32(file_type),
            "general.quantization_version": u32(2),
            own + "block_count": u32(self.layers),
            own + "context_length": u32(self.context),
            own + "embedding_length": u32(self.width),
            own + "feed_forward_length": u32(self.inner),
            own + "attention.head_count": u32(self.heads),
            own + "attention.head_count_kv": u32(self.heads_kv),
            own + "attention.key_length": u32(self.head),
            own + "attention.value_length": u32(self.head),
            own + "attention.layer_norm_rms_epsilon": f32(self.epsilon),
            own + "rope.dimension_count": u32(self.head),
            own + "rope.freq_base": f32(self.base),
            own + "vocab_size": u32(self.vocabulary),
        }


def read(table: Members) -> DecoderConfig:
    """Raises TuningRefused (`convert_architecture`, `convert_source`)."""
    refuse_code(table)
    named = table.get("architectures")
    found = [ours for theirs, ours in ARCHITECTURES.items() if named == [theirs]]
    if not found:
        raise _refused(f"{str(named)[:80]} is not one of {', '.join(ARCHITECTURES)}")
    architecture = found[0]
    if (kind := table.get("model_type", architecture)) != architecture:
        raise _refused(f"model_type is {str(kind)[:40]}, not {architecture}")
    if table.get("quantization_config") is not None:
        raise _refused("its weights are quantised; take the model in F16, BF16 or F32")
    if (act := table.get("hidden_act", "silu")) != "silu":
        raise _refused(f"hidden_act is {str(act)[:40]}, not silu")
    if table.get("use_sliding_window"):
        raise _refused("its attention has a window")
    width = table.whole("hidden_size", _MOST)
    heads = table.whole("num_attention_heads", width)
    heads_kv = table.whole("num_key_value_heads", heads, heads)
    head = table.whole("head_dim", width, max(width // heads, 1))
    if heads % heads_kv or head % 2:
        raise _refused(f"{heads} heads of {head} numbers over {heads_kv} are none")
    return DecoderConfig(
        architecture=architecture,
        layers=table.whole("num_hidden_layers", _LAYERS),
        width=width,
        inner=table.whole("intermediate_size", _MOST),
        heads=heads,
        heads_kv=heads_kv,
        head=head,
        context=table.whole("max_position_embeddings", _CONTEXT),
        vocabulary=table.whole("vocab_size", _MOST),
        epsilon=table.real("rms_norm_eps", 1e-6),
        base=_base(table),
        tied=table.member("tie_word_embeddings", bool, default=False),
    )


def refuse_code(table: Members) -> None:
    """Raises TuningRefused (`convert_source`)."""
    if table.get("auto_map"):
        raise documents.source(table.file, "names code of its own (auto_map), which is never run")


def _base(table: Members) -> float:
    """Newer files have the base of the rotation in `rope_parameters`."""
    base: object = _BASE
    for key in ("rope_scaling", "rope_parameters"):
        part = table.table(key, default={})
        way = part.get("rope_type", part.get("type", "default"))
        if way != "default":
            raise _refused(f"its positions are scaled ({str(way)[:40]})")
        base = part.get("rope_theta", base)
    return Members(table.file, {"rope_theta": table.get("rope_theta", base)}).real("rope_theta")


_refused: Final = TuningRefused.of("convert_architecture", "The model cannot be converted")
