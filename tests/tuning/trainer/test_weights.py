"""Weights of a base: unpacked by ggml itself, and refused where the network would not use them."""

import mmap
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from appliance.errors import TuningRefused
from appliance.trust.gguf.tensors import TYPES
from appliance.tuning.trainer.weights import read, shape_of, unpacker
from appliance.workers.cpu_variants import library_directory

HEADER: dict[str, Any] = {
    "general.architecture": "llama", "llama.block_count": 2, "llama.embedding_length": 64,
    "llama.attention.head_count": 4, "llama.attention.head_count_kv": 2,
    "llama.attention.layer_norm_rms_epsilon": 1e-5,
}  # fmt: skip


@pytest.fixture(scope="module")
def unpack() -> Any:
    return unpacker(library_directory() / "libggml-base.so")


def test_blocks_are_unpacked_as_their_format_says(unpack: Any) -> None:
    noise = np.random.default_rng(0)
    scale, offset = np.array([0.5], "<f2"), np.array([-3.0], "<f2")
    nibbles = noise.integers(0, 16, 32, np.uint8)
    packed = nibbles[:16] | nibbles[16:] << 4
    q4_1 = scale.tobytes() + offset.tobytes() + packed.tobytes()
    eights = noise.integers(-127, 128, 32).astype(np.int8)
    wanted = {
        3: (q4_1, nibbles * np.float32(0.5) - 3),
        8: (scale.tobytes() + eights.tobytes(), eights * np.float32(0.5)),
        1: (eights.astype("<f2").tobytes(), eights.astype(np.float32)),
        0: (eights.astype("<f4").tobytes(), eights.astype(np.float32)),
        30: ((eights.astype("<f4").view("<u4") >> 16).astype("<u2").tobytes(), eights),
    }
    for kind, (blocks, values) in wanted.items():
        found = np.empty(32, np.float32)
        unpack(kind, memoryview(blocks), found)
        assert np.array_equal(found, values), TYPES[kind].name


def test_a_type_that_holds_no_floats_is_refused(unpack: Any) -> None:
    with pytest.raises(TuningRefused) as refused:
        unpack(26, memoryview(bytes(32)), np.empty(8, np.float32))
    assert refused.value.code == "tuning_architecture"


def test_the_shape_is_that_of_the_header() -> None:
    shape = shape_of(HEADER)
    assert (shape.layers, shape.width, shape.heads, shape.heads_kv, shape.head) == (2, 64, 4, 2, 16)
    assert shape.pairs and shape.base == 10_000
    qwen = {key.replace("llama", "qwen2"): value for key, value in HEADER.items()}
    assert not shape_of({**qwen, "general.architecture": "qwen2"}).pairs


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"general.architecture": "gemma3"}, "llama and qwen2 can"),
        ({"llama.rope.scaling.type": "yarn"}, "positions that are scaled"),
        ({"llama.rope.dimension_count": 8}, "a part has no position"),
        ({"llama.block_count": "two"}, "llama.block_count is missing or no number"),
        ({"llama.attention.layer_norm_rms_epsilon": None}, "is missing or no number"),
    ],
)
def test_what_the_network_does_not_compute_is_refused(change: dict[str, Any], reason: str) -> None:
    with pytest.raises(TuningRefused, match=reason) as refused:
        shape_of({**HEADER, **change})
    assert refused.value.code == "tuning_architecture"


@pytest.mark.model
def test_the_default_model_is_read_whole(default_model_path: Path, unpack: Any) -> None:
    with (
        default_model_path.open("rb") as file,
        mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data,
    ):
        shape, weights = read(data, unpack)
        assert (shape.layers, shape.width) == (30, 576)
        assert weights["blk.0.ffn_down.weight"].shape == (576, 1536)
        assert all(np.isfinite(matrix).all() for matrix in weights.values())
        spread = weights["blk.3.attn_q.weight"].std()
        assert 0.01 < spread < 1
