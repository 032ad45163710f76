"""Tiny whole models of several architectures, which llama.cpp loads and computes with."""

from collections.abc import Callable
from typing import Final

import numpy as np

from appliance.trust.gguf.reader import Kind
from appliance.trust.gguf.tensors import TYPES
from tests.trust.forge import Gguf, Tensor, array, scalar, string, u32

EMBD: Final = 256  # a row of every quantised type
FF, HEADS, KV_HEADS, LAYERS, CONTEXT = 512, 4, 2, 2, 64
HEAD: Final = EMBD // HEADS
F32, F16, Q4_0, Q8_0 = 0, 1, 2, 8


def tensor(name: str, shape: tuple[int, ...], kind: int) -> Tensor:
    """With the size that it must have."""
    return Tensor(name, shape, kind, size_of(shape, kind))


def size_of(shape: tuple[int, ...], kind: int) -> int:
    """Rounded down where rows are no blocks."""
    elements = int(np.prod([abs(extent) for extent in shape], dtype=object))
    block = TYPES.get(kind, TYPES[F32])
    return elements // block.elements * block.bytes


def f32(value: float) -> bytes:
    return scalar(Kind.FLOAT32, value)


def _hyperparameters(architecture: str, **more: bytes) -> dict[str | bytes, bytes]:
    values: dict[str | bytes, bytes] = {
        "general.architecture": string(architecture),
        "general.name": string("tiny"),
    }
    for name, value in {
        "context_length": u32(CONTEXT),
        "block_count": u32(LAYERS),
        "embedding_length": u32(EMBD),
        "feed_forward_length": u32(FF),
        "attention.head_count": u32(HEADS),
        **more,
    }.items():
        values[f"{architecture}.{name}"] = value
    return values


def _spm() -> dict[str | bytes, bytes]:
    tokens = ["<unk>", "<s>", "</s>", *(f"<0x{n:02X}>" for n in range(256))]
    tokens += ["▁", "▁the", *"etaoinshrdlu", "th", "he"]
    kinds = [2, 3, 3, *[6] * 256, *[1] * (len(tokens) - 259)]
    return {
        "tokenizer.ggml.model": string("llama"),
        "tokenizer.ggml.tokens": array(Kind.STRING, tokens),
        "tokenizer.ggml.scores": array(Kind.FLOAT32, [-float(n) for n in range(len(tokens))]),
        "tokenizer.ggml.token_type": array(Kind.INT32, kinds),
        "tokenizer.ggml.bos_token_id": u32(1),
        "tokenizer.ggml.eos_token_id": u32(2),
        "tokenizer.ggml.unknown_token_id": u32(0),
        "tokenizer.ggml.add_bos_token": scalar(Kind.BOOL, 1),
        "tokenizer.ggml.add_eos_token": scalar(Kind.BOOL, 0),
        "tokenizer.ggml.add_space_prefix": scalar(Kind.BOOL, 1),
    }


def _byte_letters() -> list[str]:
    printable = [*range(33, 127), *range(161, 173), *range(174, 256)]
    others = [n for n in range(256) if n not in printable]
    return [*map(chr, printable), *(chr(256 + n) for n in range(len(others)))]


def _bpe(pre: str) -> dict[str | bytes, bytes]:
    tokens = [*_byte_letters(), "th", "he", "the", "<|end|>", "<|im_start|>"]
    kinds = [1] * (len(tokens) - 2) + [3, 4]
    return {
        "tokenizer.ggml.model": string("gpt2"),
        "tokenizer.ggml.pre": string(pre),
        "tokenizer.ggml.tokens": array(Kind.STRING, tokens),
        "tokenizer.ggml.token_type": array(Kind.INT32, kinds),
        "tokenizer.ggml.merges": array(Kind.STRING, ["t h", "h e", "th e"]),
        "tokenizer.ggml.bos_token_id": u32(len(tokens) - 2),
        "tokenizer.ggml.eos_token_id": u32(len(tokens) - 2),
        "tokenizer.ggml.add_bos_token": scalar(Kind.BOOL, 0),
    }


def _wordpiece() -> dict[str | bytes, bytes]:
    tokens = ["[PAD]", *(f"[unused{n}]" for n in range(99)), "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    tokens += [*(f"▁{letter}" for letter in "etaoinshrdlu"), *"etaoinshrdlu", "▁the"]
    kinds = [3] * 104 + [1] * (len(tokens) - 104)
    return {
        "tokenizer.ggml.model": string("bert"),
        "tokenizer.ggml.pre": string("default"),
        "tokenizer.ggml.tokens": array(Kind.STRING, tokens),
        "tokenizer.ggml.token_type": array(Kind.INT32, kinds),
        "tokenizer.ggml.token_type_count": u32(2),
        "tokenizer.ggml.unknown_token_id": u32(100),
        "tokenizer.ggml.bos_token_id": u32(101),
        "tokenizer.ggml.seperator_token_id": u32(102),
        "tokenizer.ggml.padding_token_id": u32(0),
        "tokenizer.ggml.mask_token_id": u32(103),
    }


_VOCABULARY: Final = {"spm": 275, "bpe": 261, "wordpiece": 129}


def _decoder(vocabulary: int, kind: int, *, tied: bool, bias: bool) -> list[Tensor]:
    tensors = [tensor("token_embd.weight", (EMBD, vocabulary), kind)]
    tensors.append(tensor("output_norm.weight", (EMBD,), F32))
    if not tied:
        tensors.append(tensor("output.weight", (EMBD, vocabulary), Q8_0))
    for n in range(LAYERS):
        b = f"blk.{n}."
        tensors += [
            tensor(b + "attn_norm.weight", (EMBD,), F32),
            tensor(b + "attn_q.weight", (EMBD, EMBD), kind),
            tensor(b + "attn_k.weight", (EMBD, KV_HEADS * HEAD), kind),
            tensor(b + "attn_v.weight", (EMBD, KV_HEADS * HEAD), kind),
            tensor(b + "attn_output.weight", (EMBD, EMBD), kind),
            tensor(b + "ffn_norm.weight", (EMBD,), F32),
            tensor(b + "ffn_gate.weight", (EMBD, FF), kind),
            tensor(b + "ffn_up.weight", (EMBD, FF), kind),
            tensor(b + "ffn_down.weight", (FF, EMBD), kind),
        ]
        if bias:
            tensors += [
                tensor(b + "attn_q.bias", (EMBD,), F32),
                tensor(b + "attn_k.bias", (KV_HEADS * HEAD,), F32),
                tensor(b + "attn_v.bias", (KV_HEADS * HEAD,), F32),
            ]
    return tensors


def _encoder(vocabulary: int) -> list[Tensor]:
    tensors = [
        tensor("token_embd.weight", (EMBD, vocabulary), F16),
        tensor("position_embd.weight", (EMBD, CONTEXT), F32),
        tensor("token_types.weight", (EMBD, 2), F32),
    ]
    pairs: dict[str, tuple[int, ...]] = {"token_embd_norm": (EMBD,)}
    for n in range(LAYERS):
        pairs |= {
            f"blk.{n}.{name}": (EMBD, rows) if rows else (EMBD,)
            for name, rows in {
                "attn_q": EMBD,
                "attn_k": EMBD,
                "attn_v": EMBD,
                "attn_output": EMBD,
                "attn_output_norm": 0,
                "ffn_up": FF,
                "layer_output_norm": 0,
            }.items()
        }
        pairs[f"blk.{n}.ffn_down"] = (FF, EMBD)
    for name, shape in pairs.items():
        kind = Q8_0 if len(shape) > 1 else F32
        tensors.append(tensor(f"{name}.weight", shape, kind))
        tensors.append(tensor(f"{name}.bias", shape[-1:], F32))
    return tensors


def llama() -> Gguf:
    """A decoder with a SentencePiece vocabulary."""
    pairs = _hyperparameters(
        "llama",
        **{
            "attention.head_count_kv": u32(KV_HEADS),
            "attention.layer_norm_rms_epsilon": f32(1e-5),
            "rope.dimension_count": u32(HEAD),
            "rope.freq_base": f32(10000.0),
        },
    )
    return Gguf(
        pairs={**pairs, **_spm()},
        tensors=_decoder(_VOCABULARY["spm"], Q4_0, tied=False, bias=False),
    )


def qwen2() -> Gguf:
    """A decoder with biases and a BPE vocabulary."""
    pairs = _hyperparameters(
        "qwen2",
        **{
            "attention.head_count_kv": u32(KV_HEADS),
            "attention.layer_norm_rms_epsilon": f32(1e-6),
            "rope.freq_base": f32(1e6),
        },
    )
    return Gguf(
        pairs={**pairs, **_bpe("qwen2")},
        tensors=_decoder(_VOCABULARY["bpe"], F16, tied=False, bias=True),
    )


def gemma() -> Gguf:
    """A decoder whose embedding is its output, with head sizes of its own."""
    pairs = _hyperparameters(
        "gemma",
        **{
            "attention.head_count_kv": u32(KV_HEADS),
            "attention.key_length": u32(HEAD),
            "attention.value_length": u32(HEAD),
            "attention.layer_norm_rms_epsilon": f32(1e-6),
        },
    )
    return Gguf(
        pairs={**pairs, **_spm()},
        tensors=_decoder(_VOCABULARY["spm"], Q8_0, tied=True, bias=False),
    )


def bert() -> Gguf:
    """An encoder that embeds."""
    pairs = _hyperparameters(
        "bert",
        **{
            "attention.layer_norm_epsilon": f32(1e-12),
            "attention.causal": scalar(Kind.BOOL, 0),
            "pooling_type": u32(1),
        },
    )
    return Gguf(pairs={**pairs, **_wordpiece()}, tensors=_encoder(_VOCABULARY["wordpiece"]))


def lfm2() -> Gguf:
    """A decoder whose first layer is a short convolution, with a state in place of cells."""
    pairs = _hyperparameters(
        "lfm2",
        **{
            "attention.head_count_kv": array(Kind.INT32, [0, KV_HEADS]),
            "attention.layer_norm_rms_epsilon": f32(1e-5),
            "rope.freq_base": f32(1e6),
            "shortconv.l_cache": u32(3),
        },
    )
    tensors = [
        tensor("token_embd.weight", (EMBD, _VOCABULARY["bpe"]), Q8_0),
        tensor("token_embd_norm.weight", (EMBD,), F32),
    ]
    for n in range(LAYERS):
        b = f"blk.{n}."
        tensors += [
            tensor(b + "attn_norm.weight", (EMBD,), F32),
            tensor(b + "ffn_norm.weight", (EMBD,), F32),
            tensor(b + "ffn_gate.weight", (EMBD, FF), Q8_0),
            tensor(b + "ffn_up.weight", (EMBD, FF), Q8_0),
            tensor(b + "ffn_down.weight", (FF, EMBD), Q8_0),
        ]
    tensors += [
        tensor("blk.0.shortconv.conv.weight", (3, EMBD), F32),
        tensor("blk.0.shortconv.in_proj.weight", (EMBD, 3 * EMBD), Q8_0),
        tensor("blk.0.shortconv.out_proj.weight", (EMBD, EMBD), Q8_0),
        tensor("blk.1.attn_q_norm.weight", (HEAD,), F32),
        tensor("blk.1.attn_k_norm.weight", (HEAD,), F32),
        tensor("blk.1.attn_q.weight", (EMBD, EMBD), Q8_0),
        tensor("blk.1.attn_k.weight", (EMBD, KV_HEADS * HEAD), Q8_0),
        tensor("blk.1.attn_v.weight", (EMBD, KV_HEADS * HEAD), Q8_0),
        tensor("blk.1.attn_output.weight", (EMBD, EMBD), Q8_0),
    ]
    return Gguf(pairs={**pairs, **_bpe("lfm2")}, tensors=tensors)


MODELS: Final[dict[str, Callable[[], Gguf]]] = {
    "llama": llama,
    "qwen2": qwen2,
    "gemma": gemma,
    "bert": bert,
}
"""Those whose mutants were counted before and after the checks of `computable`."""
LATER: Final[dict[str, Callable[[], Gguf]]] = {"lfm2": lfm2}
