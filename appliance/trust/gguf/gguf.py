"""Vetting a GGUF file before llama.cpp sees a byte of it.

Rules: the format must hold to the last byte (`gguf_reader`, `gguf_tensors`); the model must be one
whole file of a listed architecture and tokenizer, with hyper-parameters that agree and a vocabulary
that llama.cpp can index safely. Its kind follows from its pooling: a decoder without one writes
text, one with mean, CLS or last pooling embeds, an encoder with rank pooling and a head for one
score reranks. No exception but a refusal leaves `vet`.
"""

import math
import re
from collections.abc import Mapping
from typing import Final

from msgspec import field

from appliance.errors import GgufRejected
from appliance.facts import ModelFacts
from appliance.text import visible
from appliance.trust.gguf.computable import check_numbers, check_types
from appliance.trust.gguf.matrices import matrices, widest
from appliance.trust.gguf.reader import (
    INTEGERS,
    MAX_METADATA,
    Array,
    Buffer,
    Kind,
    Reader,
    Scalar,
    read_header,
)
from appliance.trust.gguf.tensors import Tensor, read_tensors
from appliance.trust.gguf.unigram import check_unigram
from appliance.types import ModelKind

__all__ = ["ARCHITECTURES", "ENCODERS", "MAX_METADATA", "GgufFacts", "vet"]

ARCHITECTURES: Final = frozenset(
    {
        "cohere2", "command-r", "ernie4_5", "exaone4", "gemma", "gemma2", "gemma3", "gemma4",
        "glm4", "gpt-oss", "granite", "granitemoe", "internlm2", "lfm2", "llama", "mistral3",
        "olmo2", "phi2", "phi3", "qwen2", "qwen2moe", "qwen3", "qwen3moe", "smollm3", "stablelm",
        "starcoder2",
    }
)  # fmt: skip
"""Decoders whose KV cache can be accounted for: plain attention, and in `lfm2` short convolutions,
whose states are smaller than the cells that the account has for their layers."""

_SENTENCEPIECE: Final = "llama"
_WORDPIECE: Final = "bert"
_UNIGRAM: Final = "t5"
ENCODERS: Final[Mapping[str, frozenset[str]]] = {
    "bert": frozenset({_WORDPIECE, _UNIGRAM}),  # the second of bge-m3 and multilingual-e5
    "gemma-embedding": frozenset({_SENTENCEPIECE}),
    "nomic-bert": frozenset({_WORDPIECE}),
}
"""Encoders with one vector a text, and the tokenizers that each is read with."""

TOKENIZERS: Final = frozenset({"llama", "gpt2", "gemma4"})
_QUADRATIC: Final = frozenset({"superbpe"})
_WORDPIECE_DEFAULTS: Final = 104  # llama.cpp's own ids of [UNK], [CLS], [SEP], [MASK]: 100 to 103
_EMBEDS: Final = frozenset({1, 2, 3})  # llama_pooling_type: mean, CLS, last
_RANKS: Final = 4
_TOKENIZER: Final = "tokenizer.ggml."
_BYTE_TOKEN: Final = re.compile(rb"<0x[0-9A-Fa-f]{2}>")
_MAX_LAYERS: Final = 512  # LLAMA_MAX_LAYERS
_MAX_WIDTH: Final = 1 << 20
_TOKEN_TYPE_BYTE: Final = 6

Metadata = Mapping[str, Scalar | Array]


class GgufFacts(ModelFacts, frozen=True, kw_only=True):
    """Facts of a model, and those that no record keeps.

    Attributes:
        chat_template: Jinja source, or None.
        tensors: the tensor table, by name.
    """

    chat_template: str | None = field(name="template")
    tensors: Mapping[str, Tensor]

    def kept(self) -> ModelFacts:
        return ModelFacts(**{name: getattr(self, name) for name in ModelFacts.__struct_fields__})


def encodes(facts: ModelFacts) -> bool:
    """True of an encoder, which has no KV cache."""
    return facts.architecture in ENCODERS


def vet(data: Buffer, size: int | None = None) -> GgufFacts:
    """Check a GGUF file.

    Args:
        data: the file, or its first `MAX_METADATA` bytes.
        size: bytes of the whole file when `data` is its beginning only.
    """
    reader = Reader(data, len(data) if size is None else size)
    header = read_header(reader)
    metadata = header.metadata
    if text_of(metadata, "general.type", "model") == "adapter":
        raise GgufRejected(
            "adapter_in_model_place", "The file is an adapter, and the id is that of a model."
        )
    tensors = read_tensors(reader, header)
    if _integer(metadata, "split.count", 1, "gguf_split") not in (0, 1):
        raise GgufRejected("gguf_split", "The model is split over several files.")
    architecture = text_of(metadata, "general.architecture")
    accepted = ARCHITECTURES | ENCODERS.keys()
    if architecture not in accepted:
        raise GgufRejected(
            "gguf_architecture",
            f"The architecture {visible(architecture, limit=64)!r} is not on the list: "
            f"{', '.join(sorted(accepted))}.",
        )
    n_vocab = _check_tokenizer(metadata, ENCODERS.get(architecture, TOKENIZERS))
    hyperparameters = _hyperparameters(metadata, architecture)
    check_types(tensors)
    head = max(hyperparameters["n_embd"] // hyperparameters["n_head"], 1)
    check_numbers(metadata, architecture, head)
    template = text_of(metadata, "tokenizer.chat_template", "") or None
    return GgufFacts(
        architecture=architecture,
        n_tensors=len(tensors),
        file_bytes=reader.size,
        tensor_bytes=sum(tensor.bytes for tensor in tensors.values()),
        **hyperparameters,
        n_vocab=n_vocab,
        has_template=template is not None,
        name=text_of(metadata, "general.name", ""),
        kind=_kind(metadata, architecture, tensors, hyperparameters["n_embd"]),
        matrices=matrices(tensors, writes=architecture not in ENCODERS),
        layer_bytes=_largest_layer(tensors),
        output_bytes=sum(
            tensors[name].bytes
            for name in (
                "output_norm.weight",
                "output.weight" if "output.weight" in tensors else "token_embd.weight",
            )
            if name in tensors
        ),
        n_wide=widest(tensors, _number(metadata, f"{architecture}.expert_used_count", 1)),
        n_merges=_merges(metadata),
        licence=_licence(metadata),
        n_window=_number(metadata, f"{architecture}.attention.sliding_window", 0),
        chat_template=template,
        tensors=tensors,
    )


def _largest_layer(tensors: Mapping[str, Tensor]) -> int:
    layers: dict[str, int] = {}
    for name, tensor in tensors.items():
        parts = name.split(".")
        if parts[0] == "blk" and len(parts) > 2:
            layers[parts[1]] = layers.get(parts[1], 0) + tensor.bytes
    return max(layers.values(), default=0)


def _kind(
    metadata: Metadata, architecture: str, tensors: Mapping[str, Tensor], n_embd: int
) -> ModelKind:
    key = f"{architecture}.pooling_type"
    pooling = _integer(metadata, key, 0, "gguf_value")
    if pooling in _EMBEDS:
        return "embed"
    if pooling == _RANKS:
        _check_ranks(metadata, architecture, tensors, n_embd)
        return "rerank"
    if pooling or architecture in ENCODERS:
        raise GgufRejected(
            "gguf_value",
            f"{key} is {pooling}: not mean (1), CLS (2), last (3) or rank (4).",
            param=key,
        )
    return "generate"


def _check_ranks(
    metadata: Metadata, architecture: str, tensors: Mapping[str, Tensor], n_embd: int
) -> None:
    """Refuse a reranker that would score otherwise than it was trained."""
    if architecture != "bert":
        raise GgufRejected("rerank_unusable", f"Models of type {architecture} do not rerank here.")
    head = tensors.get("cls.output.weight")
    if head is None:
        raise GgufRejected("rerank_unusable", "The classification head is missing.")
    labels = metadata.get("bert.classifier.output_labels")
    if math.prod(head.shape) != n_embd or (isinstance(labels, Array) and labels.count != 1):
        raise GgufRejected("rerank_unusable", "The classification head does not give one score.")
    if _integer(metadata, _TOKENIZER + "token_type_count", 1, "gguf_value") != 1:
        raise GgufRejected(
            "rerank_unusable",
            "The model tells query and document apart by token types, which the engine does not.",
        )


def _hyperparameters(metadata: Metadata, architecture: str) -> dict[str, int]:
    def largest(name: str, high: int, default: int | None = None) -> int:
        return _largest(metadata, f"{architecture}.{name}", high, default)

    n_layer = largest("block_count", _MAX_LAYERS)
    n_embd = largest("embedding_length", _MAX_WIDTH)
    n_head = largest("attention.head_count", n_embd)
    n_head_kv = largest("attention.head_count_kv", n_head, n_head)
    for name in ("attention.head_count", "attention.head_count_kv"):
        value = metadata.get(f"{architecture}.{name}")
        if isinstance(value, Array) and value.count != n_layer:
            raise GgufRejected("gguf_value", f"{name} has {value.count} values, not {n_layer}.")
    plain = max(n_embd // n_head, 1)
    key = largest("attention.key_length", _MAX_WIDTH, plain)
    value_ = largest("attention.value_length", _MAX_WIDTH, plain)
    return {
        "n_layer": n_layer,
        "n_embd": n_embd,
        "n_head": n_head,
        "n_head_kv": n_head_kv,
        "head_dim_k": max(key, largest("attention.key_length_swa", _MAX_WIDTH, key)),
        "head_dim_v": max(value_, largest("attention.value_length_swa", _MAX_WIDTH, value_)),
        "n_ctx_train": largest("context_length", 1 << 30),
    }


def _licence(metadata: Metadata) -> str:
    """An SPDX id, or words; "" where the value is no text."""
    value = metadata.get("general.license")
    stated = value.value if isinstance(value, Scalar) else ""
    return visible(stated, limit=100) if isinstance(stated, str) else ""


def _merges(metadata: Metadata) -> int:
    found = _array(metadata, "merges", {Kind.STRING})
    return found.count if found is not None else 0


def _number(metadata: Metadata, key: str, least: int) -> int:
    """A number that only an estimate needs: llama.cpp refuses another value."""
    value = metadata.get(key)
    if isinstance(value, Scalar) and value.kind in INTEGERS:
        return min(max(int(value.value), least), _MAX_WIDTH)
    return least


def _largest(metadata: Metadata, key: str, high: int, default: int | None) -> int:
    """A positive number; of an array with one number per layer, the largest."""
    value = metadata.get(key)
    if isinstance(value, Array) and value.kind in INTEGERS and 0 < value.count <= _MAX_LAYERS:
        numbers = value.integers()
        if min(numbers) < 0:
            raise GgufRejected("gguf_value", f"{key} holds a negative number.", param=key)
        number = max(numbers)
    else:
        number = _integer(metadata, key, default, "gguf_value")
    if not 1 <= number <= high:
        raise GgufRejected("gguf_value", f"{key} is {number}, not 1 to {high}.", param=key)
    return number


def _check_tokenizer(metadata: Metadata, allowed: frozenset[str]) -> int:
    kind = text_of(metadata, _TOKENIZER + "model")
    if kind not in allowed:
        raise GgufRejected(
            "gguf_tokenizer",
            f"The tokenizer {visible(kind, limit=64)!r} is not one of this architecture: "
            f"{', '.join(sorted(allowed))}.",
        )
    tokens = _array(metadata, "tokens", {Kind.STRING})
    if tokens is None or not tokens.count:
        raise GgufRejected("gguf_tokenizer", "The vocabulary is empty or missing.")
    # llama.cpp gives empty tokens a name and aborts when two tokens are equal.
    texts = [text or b"[EMPTY_%d]" % index for index, text in enumerate(tokens.strings)]
    if len(set(texts)) != len(texts):
        raise GgufRejected("gguf_tokenizer", "Two tokens have the same text.")
    for name, kinds in (("scores", {Kind.FLOAT32}), ("token_type", {Kind.INT32})):
        parallel = _array(metadata, name, kinds)
        if parallel is not None and parallel.count != tokens.count:
            raise GgufRejected(
                "gguf_tokenizer", f"{tokens.count} tokens, but {parallel.count} of {name}."
            )
    if kind == _SENTENCEPIECE and not _spells_every_byte(set(texts)):
        raise GgufRejected("gguf_tokenizer", "Some bytes have no token, which llama.cpp needs.")
    if text_of(metadata, _TOKENIZER + "pre", "") in _QUADRATIC:
        raise GgufRejected("gguf_tokenizer", "The tokenizer takes quadratic time for digits.")
    if kind == _WORDPIECE and tokens.count < _WORDPIECE_DEFAULTS:
        raise GgufRejected("gguf_tokenizer", "The vocabulary lacks BERT's special tokens.")
    if kind == _UNIGRAM:
        scores = _array(metadata, "scores", {Kind.FLOAT32})
        check_unigram(tokens.count, scores, metadata.get(_TOKENIZER + "precompiled_charsmap"))
    merges = _array(metadata, "merges", {Kind.STRING})
    if merges is None and kind not in {_SENTENCEPIECE, _WORDPIECE, _UNIGRAM}:
        raise GgufRejected("gguf_tokenizer", "The merges are missing.")
    _check_byte_tokens(texts, _array(metadata, "token_type", {Kind.INT32}))
    _check_token_ids(metadata, tokens.count)
    return tokens.count


def _spells_every_byte(texts: set[bytes]) -> bool:
    return all(b"<0x%02X>" % n in texts or bytes([n]) in texts for n in range(256))


def _check_byte_tokens(texts: list[bytes], types: Array | None) -> None:
    kinds = types.integers() if types is not None else [1] * len(texts)
    if not 0 <= min(kinds) <= max(kinds) <= _TOKEN_TYPE_BYTE:
        raise GgufRejected("gguf_tokenizer", "A token has an unknown type.")
    for text, kind in zip(texts, kinds, strict=True):
        looks_like = len(text) == 6 and text.startswith(b"<0x") and text.endswith(b">")
        if (looks_like or kind == _TOKEN_TYPE_BYTE) and not _BYTE_TOKEN.fullmatch(text):
            raise GgufRejected("gguf_tokenizer", f"{text[:32]!r} is not a byte token.")


def _check_token_ids(metadata: Metadata, n_vocab: int) -> None:
    for key, value in metadata.items():
        if isinstance(value, Scalar) and key.endswith("token_id"):
            ids = [_integer(metadata, key, None, "gguf_tokenizer")]
        elif isinstance(value, Array) and key.endswith(("token_ids", "suppress_tokens")):
            ids = value.integers() if value.kind in INTEGERS else [-1]
        else:
            continue
        if key == _TOKENIZER + "padding_token_id":
            continue  # llama.cpp takes its default for one that is outside, and nothing is padded
        if ids and not 0 <= min(ids) <= max(ids) < n_vocab:
            raise GgufRejected("gguf_tokenizer", f"{key} is outside the vocabulary.", param=key)


def _array(metadata: Metadata, name: str, kinds: set[Kind]) -> Array | None:
    value = metadata.get(_TOKENIZER + name)
    if value is None:
        return None
    if not isinstance(value, Array) or value.kind not in kinds:
        raise GgufRejected("gguf_tokenizer", f"{_TOKENIZER}{name} has a wrong type.")
    return value


def _integer(metadata: Metadata, key: str, default: int | None, code: str) -> int:
    value = metadata.get(key)
    if value is None and default is not None:
        return default
    if not isinstance(value, Scalar) or value.kind not in INTEGERS:
        raise GgufRejected(code, f"{key} is missing or not an integer.", param=key)
    return int(value.value)


def text_of(metadata: Metadata, key: str, default: str | None = None) -> str:
    """A text (`gguf_value`)."""
    value = metadata.get(key)
    if value is None and default is not None:
        return default
    if not isinstance(value, Scalar) or not isinstance(value.value, str):
        raise GgufRejected("gguf_value", f"{key} is missing or not a string.", param=key)
    return value.value
