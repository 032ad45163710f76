"""Which models are computed to the same bits in any company, and what is in the way of others."""

from dataclasses import replace
from pathlib import Path

import pytest
from msgspec.structs import replace as changed

from appliance.trust.gguf.gguf import GgufFacts, vet
from appliance.trust.gguf.lora import Lora, Pair
from appliance.trust.gguf.tensors import TYPES, Tensor
from appliance.workers.coverage import WORDS, Obstacle, obstacle
from appliance.workers.cpu_variants import Variant
from appliance.workers.kernel_check import FORMATS

KERNELS = (*FORMATS, "attention", "adapter")
HOST = Variant(Path("libggml-cpu-zen4.so"), "avx512-vnni", KERNELS)
NUMBERS = {kind.name: number for number, kind in TYPES.items()}


@pytest.fixture(scope="module")
def smol(default_model_path: Path) -> GgufFacts:
    return vet(default_model_path.read_bytes())


def with_one(facts: GgufFacts, name: str, kind: str, shape: tuple[int, ...]) -> GgufFacts:
    more = {name: Tensor(name, shape, 1, NUMBERS[kind])}
    return changed(facts, tensors={**facts.tensors, **more})


def in_the_way(facts: GgufFacts, host: Variant = HOST, adapter: Lora | None = None) -> str:
    found = obstacle(facts, host, gpu=False, adapter=adapter)
    return found.value if found else ""


def test_the_default_model_is_covered_and_a_gpu_is_not(smol: GgufFacts) -> None:
    assert in_the_way(smol) == ""
    assert obstacle(smol, HOST, gpu=True) is Obstacle.GPU


@pytest.mark.parametrize("wrong", ["attention", "Q4_1", "Q8_0"])
def test_a_kernel_that_it_needs_and_that_is_not_used(smol: GgufFacts, wrong: str) -> None:
    assert in_the_way(smol, replace(HOST, wrong=(wrong,))) == "kernels"
    assert in_the_way(smol, replace(HOST, wrong=("Q4_K", "adapter"))) == ""
    assert in_the_way(smol, Variant(Path("libggml-cpu-x64.so"))) == "kernels"


def test_every_matrix_counts_and_tables_that_are_looked_up_do_not(smol: GgufFacts) -> None:
    for kind in TYPES.values():
        wide = with_one(smol, "blk.0.more.weight", kind.name, (576, 33))  # rows of no whole group
        assert (in_the_way(wide) == "") is (kind.name in FORMATS), kind
    assert in_the_way(with_one(smol, "position_embd.weight", "F32", (576, 512))) == ""
    assert in_the_way(with_one(smol, "blk.0.norm.weight", "F32", (576,))) == ""
    assert in_the_way(with_one(smol, "blk.0.experts.weight", "Q4_0", (576, 64, 8))) == "experts"
    tied = with_one(smol, "token_embd.weight", "F16", (576, 49152))
    assert in_the_way(tied) == "matrices"
    assert in_the_way(with_one(tied, "output.weight", "Q8_0", (576, 49152))) == ""


def test_heads_windows_and_other_ways_to_attend(smol: GgufFacts) -> None:
    for width in (32, 48, 64, 80, 96, 112, 128, 256, 512):
        found = in_the_way(changed(smol, head_dim_k=width, head_dim_v=width))
        assert (found == "") is (width in (32, 64, 80, 96, 128, 256)), width
    assert in_the_way(changed(smol, head_dim_v=128)) == "heads"
    assert in_the_way(changed(smol, n_head=130, n_head_kv=2)) == "heads"
    assert in_the_way(changed(smol, n_window=512)) == "windows"
    others = {"gemma2": "soft_cap", "gpt-oss": "sinks", "lfm2": "states"}
    for architecture, wanted in others.items():
        assert in_the_way(changed(smol, architecture=architecture)) == wanted
    assert in_the_way(with_one(smol, "rope_factors_long.weight", "F32", (32,))) == "long_rope"


def test_an_adapter_needs_its_kernel_and_matrices_that_it_takes(smol: GgufFacts) -> None:
    lora = Lora("llama", 9, 9, 8, 16.0, "", {"blk.0.attn_q.weight": Pair((576, 8), (8, 576))})
    assert in_the_way(smol, adapter=lora) == ""
    assert in_the_way(smol, replace(HOST, wrong=("adapter",)), lora) == "kernels"
    for pair in (Pair((576, 8), (8, 576), floats=False), Pair((576, 512), (512, 576)),
                 Pair((568, 8), (8, 576))):  # fmt: skip
        assert in_the_way(smol, adapter=replace(lora, pairs={"w": pair})) == "adapter"


def test_what_makes_vectors_is_not_covered(embedder_path: Path) -> None:
    """Vectors of multilingual-e5-small, whose matrices have kernels, differ in company, too."""
    facts = vet(embedder_path.read_bytes())
    assert (facts.kind, in_the_way(facts)) == ("embed", "pooling")
    assert in_the_way(changed(facts, kind="rerank")) == "pooling"
    assert in_the_way(changed(facts, kind="generate")) == "matrices"


def test_every_obstacle_has_words() -> None:
    assert set(WORDS) == set(Obstacle)
