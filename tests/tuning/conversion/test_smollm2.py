"""A published model there and back: the same weights, and the same tokens in the engine."""

import json
import os
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from appliance.engine.quantized import Order
from appliance.trust.gguf.gguf import vet
from appliance.trust.gguf.reader import Array, Reader, Scalar, read_header
from appliance.trust.gguf.tensors import Tensor, places, read_tensors
from appliance.tuning.conversion.process import convert
from appliance.tuning.quantizer_process import made_by_child
from appliance.tuning.served import serving
from appliance.workers.cpu_variants import HostVariant
from tests.tuning.conversion import directories
from tests.tuning.conversion.directories import Weights
from tests.tuning.runs import sealed

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]
F16, NORMAL, CONTROL = 1, 1, 3
OWN = "tokenizer.ggml."
TEXTS = (
    "Replace the hose at pump 1204, then bleed the system.",
    "  two spaces\n\n\tand a tab: 3.14159 = pi?",
    "Größe 42 µm — 日本語, нещо, 🚀 and don't, I'LL.",
    "<|im_start|>user\n<repo_name>x<|im_end|>",
)
OLD = {
    "attn_q": "self_attn.q_proj", "attn_k": "self_attn.k_proj", "attn_v": "self_attn.v_proj",
    "attn_output": "self_attn.o_proj", "ffn_gate": "mlp.gate_proj", "ffn_up": "mlp.up_proj",
    "ffn_down": "mlp.down_proj", "attn_norm": "input_layernorm",
    "ffn_norm": "post_attention_layernorm",
    "token_embd.weight": "model.embed_tokens.weight", "output_norm.weight": "model.norm.weight",
}  # fmt: skip
"""By the name in a GGUF file, that of the publisher."""
Parsed = tuple[dict[str, Scalar | Array], dict[str, tuple[Tensor, bytes]]]


def parsed(data: bytes) -> Parsed:
    reader = Reader(data, len(data))
    header = read_header(reader)
    found = places(reader, header, read_tensors(reader, header))
    tensors = {t.name: (t, data[at : at + t.bytes]) for t, at in found}
    return dict(header.metadata), tensors


def published(path: Path, source: Parsed) -> Path:
    """The directory that such a file would have been made of."""
    pairs, tensors = source

    def number(key: str) -> Any:
        value = pairs[key]
        assert isinstance(value, Scalar)
        return value.value

    path.mkdir()
    heads, kv = number("llama.attention.head_count"), number("llama.attention.head_count_kv")
    config = directories.config(
        "llama", hidden_size=number("llama.embedding_length"), num_attention_heads=heads,
        num_key_value_heads=kv, intermediate_size=number("llama.feed_forward_length"),
        num_hidden_layers=number("llama.block_count"), vocab_size=number("llama.vocab_size"),
        max_position_embeddings=number("llama.context_length"),
        rms_norm_eps=number("llama.attention.layer_norm_rms_epsilon"),
        rope_theta=number("llama.rope.freq_base"),
    )  # fmt: skip
    (path / "config.json").write_text(json.dumps(config))
    tokens, merges = pairs[f"{OWN}tokens"], pairs[f"{OWN}merges"]
    kinds = pairs[f"{OWN}token_type"]
    assert isinstance(tokens, Array) and isinstance(merges, Array) and isinstance(kinds, Array)
    texts = [token.decode() for token in tokens.strings]
    document = directories.tokenizer("smollm", post_processor=None)
    document["added_tokens"] = [
        {"id": n, "content": texts[n], "special": kind == CONTROL}
        for n, kind in enumerate(kinds.integers())
        if kind != NORMAL
    ]
    document["model"]["vocab"] = {text: n for n, text in enumerate(texts)}
    document["model"]["merges"] = [merge.decode() for merge in merges.strings]
    (path / "tokenizer.json").write_text(json.dumps(document))
    settings = {
        f"{name}_token": texts[number(f"{OWN}{key}_token_id")]
        for name, key in (("bos", "bos"), ("eos", "eos"), ("unk", "unknown"), ("pad", "padding"))
        if f"{OWN}{key}_token_id" in pairs
    }
    settings["chat_template"] = number("tokenizer.chat_template")
    (path / "tokenizer_config.json").write_text(json.dumps(settings))
    weights: Weights = {}
    for name, (tensor, data) in tensors.items():
        values = np.frombuffer(data, "<f2" if tensor.type == F16 else "<f4")
        values = values.reshape(tensor.shape[::-1])
        turned = {"attn_q": heads, "attn_k": kv}.get(name.split(".")[-2])
        if turned:
            rows = values.reshape(turned, len(values) // turned // 2, 2, -1)
            values = rows.swapaxes(1, 2).reshape(values.shape)
        weights[publisher(name)] = values
    directories.write_safetensors(path / "model.safetensors", weights)
    return path


def publisher(name: str) -> str:
    if name in OLD:
        return OLD[name]
    _, layer, part, kind = name.split(".")
    return f"model.layers.{layer}.{OLD[part]}.{kind}"


async def tokens_of(path: Path) -> list[tuple[int, ...]]:
    base = sealed(path)
    model: Any = SimpleNamespace(sealed=base, facts=vet(path.read_bytes()))
    async with serving(model, 128, HostVariant().get(), 1) as served:
        found = [await served.text(text) for text in TEXTS]
        found.append(
            await served.conversation([{"role": "user", "content": text} for text in TEXTS])
        )
    base.close()
    return found


async def test_there_and_back(default_model_path: Path, tmp_path: Path) -> None:
    base = sealed(default_model_path)
    order = Order(F16, 1, [], 0, 4 << 30, 1 << 30, again=True)
    fd, _ = await made_by_child(base, order, HostVariant().get().path)
    base.close()
    wide = tmp_path / "wide.gguf"
    with os.fdopen(fd, "rb") as file:
        file.seek(0)
        wide.write_bytes(file.read())
    source = parsed(wide.read_bytes())
    made = convert(published(tmp_path / "smollm2", source), tmp_path / "made.gguf")
    pairs, tensors = parsed(made.path.read_bytes())
    assert tensors.keys() == source[1].keys()
    assert all(data == source[1][name][1] for name, (_, data) in tensors.items())
    own = [key for key in source[0] if key.startswith("tokenizer.")]
    lost = {key for key in own if pairs.get(key) != source[0][key]}
    assert lost <= {f"{OWN}add_space_prefix"}  # which is of other tokenizers
    numbers = [key for key in source[0] if key.startswith("llama.")]
    assert {key: pairs[key] for key in numbers} == {key: source[0][key] for key in numbers}
    assert await tokens_of(made.path) == await tokens_of(wide)
