"""The adapter's file: read by the strict reader of imports, number by number."""

import numpy as np
import pytest

from appliance.errors import TuningRefused
from appliance.trust.gguf.lora import vet_lora
from appliance.trust.gguf.reader import Reader, read_header
from appliance.trust.gguf.tensors import places, read_tensors
from appliance.tuning import plan
from appliance.tuning.adapter_file import Matrices, write, zeros
from appliance.tuning.settings import TuneSettings
from tests.tuning.shapes import facts


def matrices(seed: int = 0) -> Matrices:
    noise = np.random.default_rng(seed)
    return {
        "blk.0.attn_q.weight.lora_a": noise.standard_normal((3, 8)).astype("<f4"),
        "blk.0.attn_q.weight.lora_b": noise.standard_normal((5, 3)).astype("<f4"),
        "blk.1.ffn_down.weight.lora_a": noise.standard_normal((3, 7)).astype("<f4"),
        "blk.1.ffn_down.weight.lora_b": noise.standard_normal((8, 3)).astype("<f4"),
    }


def test_the_file_is_one_that_an_import_accepts() -> None:
    lora = vet_lora(write(matrices(), architecture="llama", name="orders v1", alpha=6.0))
    assert (lora.architecture, lora.name, lora.rank, lora.alpha) == ("llama", "orders v1", 3, 6.0)
    assert lora.pairs["blk.0.attn_q.weight"].down == (8, 3)
    assert lora.pairs["blk.1.ffn_down.weight"].up == (3, 8)


def test_every_number_is_in_its_place() -> None:
    given = matrices()
    data = write(given, architecture="llama", name="", alpha=6.0)
    reader = Reader(data, len(data))
    header = read_header(reader)
    tensors = read_tensors(reader, header)
    for tensor, at in places(reader, header, tensors):
        found = np.frombuffer(data[at : at + tensor.bytes], "<f2").reshape(tensor.shape[::-1])
        assert np.array_equal(found, given[tensor.name].astype("<f2"))


def test_a_blank_adapter_has_the_pairs_that_a_trained_one_has() -> None:
    blank = zeros(facts(layers=2), 16)
    assert sum(matrix.size for matrix in blank.values()) == plan.adapter_numbers(
        facts(layers=2), TuneSettings()
    )
    lora = vet_lora(write(blank, architecture="llama", name="blank", alpha=32.0))
    assert len(lora.pairs) == 2 * 7 and lora.rank == 16
    assert not any(matrix.any() for matrix in blank.values())


def test_the_same_matrices_give_the_same_bytes() -> None:
    settings = {"architecture": "llama", "name": "x"}
    assert write(matrices(), alpha=6.0, **settings) == write(matrices(), alpha=6.0, **settings)
    shuffled = dict(reversed(list(matrices().items())))
    assert write(shuffled, alpha=6.0, **settings) == write(matrices(), alpha=6.0, **settings)
    assert write(matrices(1), alpha=6.0, **settings) != write(matrices(), alpha=6.0, **settings)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), 1e9])
def test_what_is_not_finite_in_16_bits_is_refused(value: float) -> None:
    given = dict(matrices())
    given["blk.0.attn_q.weight.lora_b"] = given["blk.0.attn_q.weight.lora_b"].copy()
    given["blk.0.attn_q.weight.lora_b"][2, 1] = value
    with pytest.raises(TuningRefused) as refused:
        write(given, architecture="llama", name="", alpha=6.0)
    assert refused.value.code == "tuning_not_finite"
