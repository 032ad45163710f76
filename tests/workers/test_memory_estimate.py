"""The estimate before loading, on plain numbers; `tests/system/test_estimate.py` measures it."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from appliance.config import ModelConfig
from appliance.facts import ModelFacts
from appliance.workers.memory_estimate import MIB, Estimate, estimate, longest_text

FACTS = ModelFacts(
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
    has_template=False,
    name="SmolLM2",
    kind="generate",
    layer_bytes=0,
    output_bytes=0,
    n_window=0,
    n_merges=0,
    matrices={"Q4_K": 66 * MIB, "Q8_0": 30 * MIB},
    n_wide=1536,
)
VARIANT = "zen4"


def needs(facts: ModelFacts = FACTS, variant: str = VARIANT, **settings: Any) -> Estimate:
    return estimate(facts, ModelConfig(**settings), variant)


def test_the_kv_cache_is_cells_times_layers_times_key_and_value_heads_of_16_bits() -> None:
    assert needs(n_ctx=2048, slots=8).kv == 2048 * 30 * 3 * (64 + 64) * 2


def test_separate_streams_take_a_cache_each() -> None:
    unified = needs(n_ctx=2048, slots=8)
    separate = needs(n_ctx=2048, slots=8, reproducible=True)
    assert separate.kv == 8 * unified.kv


def test_a_sealed_copy_is_there_while_the_weights_are_loaded_and_the_cache_afterwards() -> None:
    got = needs()
    larger = 66 * MIB * 4 // 144
    assert (got.sealed, got.weights) == (98 * MIB, 98 * MIB + larger)
    assert got.kv + got.compute > got.sealed
    serving = got.kv + got.compute + got.words
    assert got.total == (got.weights + got.process + serving) * 27 // 25
    small = needs(n_ctx=512, slots=1)
    assert small.total == (small.weights + small.process + small.sealed) * 27 // 25
    assert needs(variant="x64").weights == 98 * MIB
    assert needs(variant="").weights == 98 * MIB + larger  # no engine is there to ask: the most
    without = estimate(FACTS, ModelConfig(), VARIANT, ("Q4_K", "Q8_0"))
    assert without.weights == 98 * MIB


def test_a_large_embedding_is_there_twice_while_it_is_read() -> None:
    tied = replace(FACTS, matrices={"Q4_K": 20 * MIB, "Q8_0 tied": 70 * MIB})
    got = needs(tied)
    assert got.sealed == 98 * MIB + 140 * MIB - got.weights
    assert needs(tied, hold="disk").sealed == 0


def test_of_a_file_that_stays_on_the_disk_those_count_that_are_kept_in_another_order() -> None:
    got = needs(hold="disk")
    assert (got.sealed, got.weights) == (0, 66 * MIB * 148 // 144 + 30 * MIB)
    assert needs(hold="disk", variant="x64").weights == 0


MORE = {
    "file_bytes": MIB, "n_layer": 1, "n_head_kv": 1, "head_dim_k": 1, "head_dim_v": 1,
    "n_vocab": 10_000, "n_embd": 1, "n_wide": 1, "n_window": 512, "n_merges": 10_000,
}  # fmt: skip


@pytest.mark.parametrize(("name", "more"), MORE.items(), ids=MORE)
def test_more_of_anything_needs_more(name: str, more: int) -> None:
    bigger = replace(FACTS, **{name: getattr(FACTS, name) + more})
    # With one slot the layers' results are larger than the logits, with which they share a buffer.
    assert needs(bigger, slots=1).total > needs(slots=1).total


settings = st.fixed_dictionaries(
    {
        "n_ctx": st.integers(128, 1 << 22),
        "slots": st.integers(1, 256),
        "reproducible": st.booleans(),
        "prefill_budget": st.integers(16, 8192),
        "kept_prefixes": st.integers(0, 255),
    }
)
grown = st.fixed_dictionaries({name: st.integers(0, 1 << 20) for name in MORE})
kinds = st.sampled_from(["Q4_0", "Q4_1", "Q4_K", "Q6_K", "Q8_0", "F16", "MXFP4 experts"])
weights = st.dictionaries(kinds, st.integers(0, 1 << 40))


@given(settings, grown, weights, st.sampled_from(["", "x64", VARIANT, "sapphirerapids"]))
def test_nothing_that_grows_ever_needs_less(
    config: dict[str, Any], growth: dict[str, int], matrices: dict[str, int], variant: str
) -> None:
    small = replace(FACTS, matrices=matrices)
    values = {name: getattr(small, name) + more for name, more in growth.items()}
    big = replace(small, **values)
    for name in ("sealed", "weights", "kv", "compute", "process", "total"):
        assert getattr(needs(big, variant, **config), name) >= getattr(
            needs(small, variant, **config), name
        )


@given(settings, st.sampled_from(["n_ctx", "slots", "kept_prefixes"]), st.integers(0, 1000))
def test_no_setting_that_grows_ever_needs_less(
    config: dict[str, Any], name: str, more: int
) -> None:
    assert needs(**{**config, name: config[name] + more}).total >= needs(**config).total


@given(settings, weights)
def test_the_parts_are_the_whole_and_never_negative(
    config: dict[str, Any], matrices: dict[str, int]
) -> None:
    got = needs(replace(FACTS, matrices=matrices), **config)
    assert min(vars(got).values()) >= 0
    assert got.total <= sum(vars(got).values()) * 27 // 25
    assert got.weights <= FACTS.file_bytes + sum(matrices.values()) * 37 / 36  # Q4_K: by 2.8 %
    for number in (got.total, *vars(got).values()):
        assert str(number // MIB) in got.describe()


def test_a_large_context_is_counted_without_overflow() -> None:
    assert needs(n_ctx=1 << 22, slots=256, reproducible=True).total > 1 << 40


def test_whole_texts_need_no_cache_in_an_encoder_and_one_batch_in_a_decoder() -> None:
    config = ModelConfig(n_ctx=8192, prefill_budget=512)
    encoder = replace(FACTS, architecture="bert", kind="embed", n_ctx_train=512)
    assert estimate(encoder, config, VARIANT).kv == 0
    assert longest_text(encoder, config) == 512 and longest_text(FACTS, config) == 8192
    decoder = replace(encoder, architecture="qwen3")
    assert estimate(decoder, config, VARIANT).kv == 512 * 30 * 3 * (64 + 64) * 2
    longer = replace(encoder, n_ctx_train=1024)
    assert (
        estimate(longer, config, VARIANT).compute > 2 * estimate(encoder, config, VARIANT).compute
    )
