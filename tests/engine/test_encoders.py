"""Encoders beside MiniLM's kind, with small random weights, in the real engine.

XLM-R's kind with a Unigram vocabulary (bge-m3, multilingual-e5, bge-reranker-v2-m3), and
EmbeddingGemma's. Ollama's and MLX's writers leave the last tensor without padding.
"""

from pathlib import Path

import numpy as np
import pytest

from appliance.engine.runner import Library
from appliance.trust.gguf.gguf import vet
from appliance.trust.gguf.reader import Kind
from tests.engine.test_pooler import answers, ask, load, pooler
from tests.minilm import Floats, write_gguf
from tests.trust.forge import BYTES, array, scalar, string, u32

WIDTH, INNER, LAYERS = 32, 64, 2
UNIGRAM = ("<s>", "<pad>", "</s>", "<unk>", "▁", *"abcdefghijklmnopqrstuvwxyz.", "▁pump", "ing")
PIECES = ("<pad>", "<eos>", "<bos>", "<unk>", *BYTES, "▁", *"abcdefghijklmnopqrstuvwxyz.")


def shaped(sizes: dict[str, tuple[int, ...]]) -> dict[str, Floats]:
    random = np.random.default_rng(5)
    return {
        name: (random.standard_normal(size) * 0.2 + ("norm.weight" in name)).astype(np.float32)
        for name, size in sizes.items()
    }


def xlm_roberta(path: Path) -> Path:
    count = len(UNIGRAM)
    pairs = {
        "general.architecture": string("bert"),
        "bert.context_length": u32(64), "bert.block_count": u32(LAYERS),
        "bert.embedding_length": u32(WIDTH), "bert.feed_forward_length": u32(INNER),
        "bert.attention.head_count": u32(4), "bert.pooling_type": u32(2),
        "bert.attention.layer_norm_epsilon": scalar(Kind.FLOAT32, 1e-5),
        "bert.attention.causal": scalar(Kind.BOOL, 0),
        "tokenizer.ggml.model": string("t5"), "tokenizer.ggml.pre": string("default"),
        "tokenizer.ggml.tokens": array(Kind.STRING, UNIGRAM),
        "tokenizer.ggml.scores": array(Kind.FLOAT32, [-1.0] * count),
        "tokenizer.ggml.token_type": array(Kind.INT32, [3, 3, 3, 2, *[1] * (count - 4)]),
        "tokenizer.ggml.token_type_count": u32(1),
        "tokenizer.ggml.bos_token_id": u32(0), "tokenizer.ggml.eos_token_id": u32(2),
        "tokenizer.ggml.unknown_token_id": u32(3), "tokenizer.ggml.seperator_token_id": u32(2),
        "tokenizer.ggml.padding_token_id": u32(2**32 - 1),
        "tokenizer.ggml.add_bos_token": scalar(Kind.BOOL, 1),
        "tokenizer.ggml.add_eos_token": scalar(Kind.BOOL, 1),
        "tokenizer.ggml.add_space_prefix": scalar(Kind.BOOL, 1),
    }  # fmt: skip
    sizes: dict[str, tuple[int, ...]] = {
        "token_embd.weight": (count, WIDTH), "position_embd.weight": (64, WIDTH),
        "token_types.weight": (1, WIDTH), "token_embd_norm.weight": (WIDTH,),
        "token_embd_norm.bias": (WIDTH,),
    }  # fmt: skip
    for layer in range(LAYERS):
        for name, size in {
            "attn_q": (WIDTH, WIDTH), "attn_k": (WIDTH, WIDTH), "attn_v": (WIDTH, WIDTH),
            "attn_output": (WIDTH, WIDTH), "ffn_up": (INNER, WIDTH), "ffn_down": (WIDTH, INNER),
        }.items():  # fmt: skip
            sizes[f"blk.{layer}.{name}.weight"] = size
            sizes[f"blk.{layer}.{name}.bias"] = size[:1]
        for name in ("attn_output_norm", "layer_output_norm"):
            sizes[f"blk.{layer}.{name}.weight"] = sizes[f"blk.{layer}.{name}.bias"] = (WIDTH,)
    sizes |= {"cls.weight": (WIDTH, WIDTH), "cls.bias": (WIDTH,)}
    sizes |= {"cls.output.weight": (1, WIDTH), "cls.output.bias": (1,)}
    return write_gguf(path, pairs, shaped(sizes))


def gemma(path: Path) -> Path:
    count, own = len(PIECES), "gemma-embedding."
    pairs = {
        "general.architecture": string("gemma-embedding"),
        own + "context_length": u32(64), own + "block_count": u32(6),
        own + "embedding_length": u32(WIDTH), own + "feed_forward_length": u32(INNER),
        own + "attention.head_count": u32(4), own + "attention.head_count_kv": u32(1),
        own + "attention.key_length": u32(8), own + "attention.value_length": u32(8),
        own + "attention.sliding_window": u32(16), own + "pooling_type": u32(1),
        own + "attention.layer_norm_rms_epsilon": scalar(Kind.FLOAT32, 1e-6),
        "tokenizer.ggml.model": string("llama"), "tokenizer.ggml.pre": string("default"),
        "tokenizer.ggml.tokens": array(Kind.STRING, PIECES),
        "tokenizer.ggml.scores": array(Kind.FLOAT32, [-1.0] * count),
        "tokenizer.ggml.token_type": array(
            Kind.INT32, [3, 3, 3, 2, *[6] * 256, *[1] * (count - 260)]
        ),
        "tokenizer.ggml.bos_token_id": u32(2), "tokenizer.ggml.eos_token_id": u32(1),
        "tokenizer.ggml.unknown_token_id": u32(3),
        "tokenizer.ggml.add_bos_token": scalar(Kind.BOOL, 1),
    }  # fmt: skip
    sizes: dict[str, tuple[int, ...]] = {"token_embd.weight": (count, WIDTH)}
    for layer in range(6):
        for name, size in {
            "attn_q": (32, WIDTH), "attn_k": (8, WIDTH), "attn_v": (8, WIDTH),
            "attn_output": (WIDTH, 32), "ffn_gate": (INNER, WIDTH), "ffn_up": (INNER, WIDTH),
            "ffn_down": (WIDTH, INNER), "attn_norm": (WIDTH,), "post_attention_norm": (WIDTH,),
            "attn_q_norm": (8,), "attn_k_norm": (8,), "ffn_norm": (WIDTH,),
            "post_ffw_norm": (WIDTH,),
        }.items():  # fmt: skip
            sizes[f"blk.{layer}.{name}.weight"] = size
    sizes["output_norm.weight"] = (WIDTH,)
    return write_gguf(path, pairs, shaped(sizes))


@pytest.mark.parametrize("kind", ["xlm-roberta", "gemma"])
def test_texts_get_vectors_of_their_own(library: Library, tmp_path: Path, kind: str) -> None:
    path = tmp_path / "model.gguf"
    xlm_roberta(path) if kind == "xlm-roberta" else gemma(path)
    assert vet(path.read_bytes()).kind == "embed"
    service = pooler(library, path, load("embed", n_ctx=64))
    rows = answers(service, ask("the pump leaks.", "pumping", "pumping"))[1]
    assert np.allclose(np.linalg.norm(rows, axis=1), 1, atol=1e-5)
    assert np.allclose(rows[1], rows[2]) and not np.allclose(rows[0], rows[1])


def test_a_unigram_pair_has_two_separators(library: Library, tmp_path: Path) -> None:
    path = xlm_roberta(tmp_path / "model.gguf")
    service = pooler(library, path, load("embed", n_ctx=64))
    begin = service._begin("a")
    assert begin == [0, *service._plain("a"), 2, 2]
    assert service._tokens(None, "a")[0] == 0 and service._tokens(None, "a")[-1] == 2


def test_a_model_without_the_padding_at_its_end_computes_the_same(
    library: Library, tmp_path: Path
) -> None:
    whole = xlm_roberta(tmp_path / "whole.gguf")
    bare = tmp_path / "bare.gguf"
    bare.write_bytes(whole.read_bytes()[:-28])  # the last tensor is one number
    for path in (whole, bare):
        vet(path.read_bytes())
    first, second = (
        answers(pooler(library, path, load("embed", n_ctx=64)), ask("pumping"))[1]
        for path in (whole, bare)
    )
    assert np.array_equal(first, second)
