"""Mapping of tensors: names, shapes, types, and the order of Llama's rows."""

import json

import numpy as np
import pytest

from appliance.errors import TuningRefused
from appliance.tuning.conversion import config, safetensors
from appliance.tuning.conversion.documents import Members
from appliance.tuning.conversion.safetensors import Stored
from appliance.tuning.conversion.weights import plan
from tests.tuning.conversion import directories
from tests.tuning.conversion.directories import HEAD, HEADS, NAMES, Weights


def stored(tensors: Weights) -> dict[str, Stored]:
    names = {dtype: name for name, dtype in NAMES.items()}
    entries = {n: (names[v.dtype], v.shape, v.nbytes) for n, v in tensors.items()}
    head = json.dumps(directories.table(entries)).encode()
    return safetensors.read(head, "x", 8 + len(head) + sum(v.nbytes for v in tensors.values()))


def test_rows_of_queries_are_put_in_pairs() -> None:
    tensors = directories.weights("llama", "F16")
    model = config.read(Members("config.json", directories.config("llama")))
    found = {one.place.name: one for one in plan(model, stored(tensors))}
    values = tensors["model.layers.1.self_attn.q_proj.weight"]
    data = found["blk.1.attn_q.weight"].converted(values.tobytes())
    new = np.frombuffer(data, "<f2").reshape(values.shape)
    for head in range(HEADS):
        for number in range(HEAD // 2):  # transformers turns halves, llama.cpp neighbours
            row = head * HEAD
            assert (new[row + 2 * number] == values[row + number]).all()
            assert (new[row + 2 * number + 1] == values[row + number + HEAD // 2]).all()
    same = tensors["model.layers.1.self_attn.v_proj.weight"].tobytes()
    assert found["blk.1.attn_v.weight"].converted(same) == same


@pytest.mark.parametrize("dtype", ["BF16", "F16", "F32"])
def test_norms_and_biases_become_32_bit_floats(dtype: str) -> None:
    tensors = directories.weights("qwen2", dtype)
    model = config.read(Members("config.json", directories.config("qwen2")))
    found = {one.place.name: one for one in plan(model, stored(tensors))}
    values = tensors["model.layers.0.self_attn.k_proj.bias"]
    exact = (values.astype("<u4") << 16).view("<f4") if dtype == "BF16" else values.astype("<f4")
    one = found["blk.0.attn_k.bias"]
    assert one.place.type == 0 and one.converted(values.tobytes()) == exact.tobytes()
    rows = tensors["model.layers.0.self_attn.k_proj.weight"].tobytes()
    assert found["blk.0.attn_k.weight"].converted(rows) == rows  # Qwen turns halves there, too
    assert found["blk.0.attn_k.weight"].place.type == {"F32": 0, "F16": 1, "BF16": 30}[dtype]


def test_the_output_of_a_tied_model_is_not_written_twice() -> None:
    tensors = directories.weights("llama", "F16")
    tensors["lm_head.weight"] = tensors["model.embed_tokens.weight"]
    tensors["model.layers.0.self_attn.rotary_emb.inv_freq"] = np.ones(8, "<f4")
    model = config.read(Members("config.json", directories.config("llama")))
    assert "output.weight" not in {one.place.name for one in plan(model, stored(tensors))}


@pytest.mark.parametrize(
    ("name", "shape", "said"),
    [
        ("model.norm.weight", None, "model.norm.weight is missing"),
        ("model.layers.2.input_layernorm.weight", (64,), "no tensor of llama"),
        ("model.layers.0.self_attn.q_proj.bias", (64,), "no tensor of llama"),
        ("model.embed_tokens.weight", (64, 64), "config.json says"),
        ("model.norm.weight", (1, 64), "config.json says"),
    ],
)
def test_other_tensors_than_those_of_the_architecture_are_refused(
    name: str, shape: tuple[int, ...] | None, said: str
) -> None:
    tensors = directories.weights("llama", "F16")
    if shape is None:
        del tensors[name]
    else:
        tensors[name] = np.ones(shape, "<f2")
    with pytest.raises(TuningRefused, match=said) as refused:
        plan(config.read(Members("config.json", directories.config("llama"))), stored(tensors))
    assert refused.value.code == "convert_tensors"
