"""The estimate before loading, on plain numbers."""

from dataclasses import replace

import pytest

from appliance.config import ModelConfig
from appliance.engine.memory import MIB, estimate, longest_text
from appliance.trust.gguf import GgufFacts

FACTS = GgufFacts(
    architecture="llama",
    n_tensors=272,
    file_bytes=98 * MIB,
    tensor_bytes=96 * MIB,
    n_ctx_train=8192,
    n_layer=30,
    n_embd=576,
    n_head=9,
    n_head_kv=3,
    head_dim_k=64,
    head_dim_v=64,
    n_vocab=49152,
    chat_template=None,
    name="SmolLM2",
    quantised_bytes=96 * MIB,
)


def test_the_kv_cache_is_cells_times_layers_times_key_and_value_heads_of_16_bits() -> None:
    got = estimate(FACTS, ModelConfig(n_ctx=2048, slots=8))
    assert got.kv == 2048 * 30 * 3 * (64 + 64) * 2


def test_separate_streams_take_a_cache_each() -> None:
    unified = estimate(FACTS, ModelConfig(n_ctx=2048, slots=8))
    separate = estimate(FACTS, ModelConfig(n_ctx=2048, slots=8, reproducible=True))
    assert separate.kv == 8 * unified.kv


def test_the_sealed_copy_and_the_repacked_weights_count_both() -> None:
    got = estimate(FACTS, ModelConfig())
    assert (got.sealed, got.repacked) == (98 * MIB, 96 * MIB)
    parts = got.sealed + got.repacked + got.kv + got.compute
    assert got.total == parts * 11 // 10


@pytest.mark.parametrize(
    "bigger",
    [
        replace(FACTS, file_bytes=FACTS.file_bytes + MIB),
        replace(FACTS, quantised_bytes=FACTS.quantised_bytes + MIB),
        replace(FACTS, n_layer=31),
        replace(FACTS, n_head_kv=4),
        replace(FACTS, head_dim_k=65),
        replace(FACTS, n_vocab=60_000),
        replace(FACTS, n_embd=600),
    ],
)
def test_more_of_anything_never_needs_less(bigger: GgufFacts) -> None:
    assert estimate(bigger, ModelConfig()).total > estimate(FACTS, ModelConfig()).total


def test_the_description_has_every_number() -> None:
    got = estimate(FACTS, ModelConfig())
    for number in (got.total, got.sealed, got.repacked, got.kv, got.compute):
        assert str(number // MIB) in got.describe()


def test_a_large_context_is_counted_without_overflow() -> None:
    got = estimate(FACTS, ModelConfig(n_ctx=1 << 22, slots=256, reproducible=True))
    assert got.total > 1 << 40


def test_whole_texts_need_no_cache_in_an_encoder_and_one_batch_in_a_decoder() -> None:
    config = ModelConfig(n_ctx=8192, prefill_budget=512)
    encoder = replace(FACTS, architecture="bert", kind="embed", n_ctx_train=512)
    assert estimate(encoder, config).kv == 0
    assert longest_text(encoder, config) == 512 and longest_text(FACTS, config) == 8192
    decoder = replace(encoder, architecture="qwen3")
    assert estimate(decoder, config).kv == 512 * 30 * 3 * (64 + 64) * 2
    longer = replace(encoder, n_ctx_train=1024)
    assert estimate(longer, config).compute > 2 * estimate(encoder, config).compute - 200 * MIB


def test_weights_of_16_bits_are_not_repacked() -> None:
    assert estimate(replace(FACTS, quantised_bytes=0), ModelConfig()).repacked == 0
