"""Layers never take more than is free, as many as fit are placed, and what is asked for is done."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.config import ModelConfig
from appliance.errors import StateRefused
from appliance.trust.gguf import gguf
from appliance.workers.gpu_layers import CONTEXT, GpuMemory, Needs, needs_of, plan

NEEDS = Needs(layers=10, layer=90, kv=10, output=50, fixed=500)

sizes = st.integers(0, 3000)
needs = st.builds(
    Needs,
    layers=st.integers(1, 60),
    layer=st.integers(1, 200),
    kv=st.integers(0, 50),
    output=st.integers(0, 300),
    fixed=st.integers(0, 400),
)


def gpus(*free: int) -> list[GpuMemory]:
    return [GpuMemory(f"GPU {i}", 10_000, amount) for i, amount in enumerate(free)]


@pytest.mark.parametrize(
    ("free", "split"),
    [
        ((1550,), (11,)),  # 500 + 50 + 10 x 100
        ((1549,), (10,)),
        ((550,), (1,)),
        ((549,), (0,)),
        ((0, 1550), (0, 11)),
        ((1550, 5000), (11, 0)),
        ((1000, 1050), (5, 6)),
        ((600, 1050), (1, 6)),
        ((1050, 600), (6, 0)),
        ((400, 400), (0, 0)),
        ((), ()),
    ],
)
def test_plain_numbers(free: tuple[int, ...], split: tuple[int, ...]) -> None:
    found = plan(gpus(*free), NEEDS, None)
    assert (found.split, found.layers, found.of) == (split, sum(split), 11)


@given(st.lists(sizes, max_size=4), needs)
def test_nothing_takes_more_than_is_free(free: list[int], need: Needs) -> None:
    found = plan(gpus(*free), need, None)
    assert all(taken <= have for taken, have in zip(found.bytes, free, strict=True))
    assert found.layers == sum(found.split) <= need.layers + 1


@given(st.lists(sizes, min_size=1, max_size=4), needs, st.integers(0, 3))
def test_more_memory_never_places_fewer(free: list[int], need: Needs, which: int) -> None:
    more = list(free)
    more[which % len(free)] += 500
    assert plan(gpus(*more), need, None).layers >= plan(gpus(*free), need, None).layers


@given(sizes, needs)
def test_on_one_gpu_another_layer_would_not_fit(free: int, need: Needs) -> None:
    found = plan(gpus(free), need, None)
    if found.layers < found.of:
        each = need.layer + need.kv
        next_one = each if found.layers else need.fixed + need.output
        assert found.bytes[0] + next_one > free


@given(st.lists(sizes, max_size=3), needs, st.integers(1, 70))
def test_a_number_is_placed_or_refused(free: list[int], need: Needs, wanted: int) -> None:
    most = plan(gpus(*free), need, None).layers
    target = min(wanted, need.layers + 1)
    if target <= most:
        assert plan(gpus(*free), need, wanted).layers == target
    else:
        with pytest.raises(StateRefused) as caught:
            plan(gpus(*free), need, wanted)
        assert caught.value.code == "gpu_memory_insufficient"


def test_the_numbers_are_printed() -> None:
    mib = 1 << 20
    need = Needs(30, 4 * mib, mib, 16 * mib, 500 * mib)
    cards = [
        GpuMemory("NVIDIA A", 24_000 * mib, 600 * mib),
        GpuMemory("NVIDIA B", 24_000 * mib, 700 * mib),
    ]
    found = plan(cards, need, 31)
    assert found.describe(cards) == "31 of 31 layers on GPUs: 31 on NVIDIA B (666 of 700 MiB free)"
    assert "no GPU has room" in plan(gpus(1), NEEDS, None).describe(gpus(1))


def test_a_real_model(default_model_path: Path) -> None:
    facts = gguf.vet(default_model_path.read_bytes())
    need = needs_of(facts, ModelConfig())
    assert need.layers == 30
    assert 0 < need.layer * need.layers + need.output <= facts.tensor_bytes
    assert need.output == facts.output_bytes > facts.n_vocab * facts.n_embd // 2
    assert need.fixed > CONTEXT
    assert needs_of(facts, ModelConfig(n_ctx=16_384)).kv == 2 * need.kv
