"""Model directories as publishers have them, with small random weights."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

WIDTH, HEADS, HEADS_KV, HEAD, INNER, LAYERS, VOCABULARY = 64, 4, 2, 16, 96, 2, 272
NAMES: dict[str, np.dtype[Any]] = {
    "F32": np.dtype("<f4"),
    "F16": np.dtype("<f2"),
    "BF16": np.dtype("<u2"),
}
WORDS = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+"
REST = r" ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
TEMPLATE = "{% for m in messages %}{{ m.content }}<|im_end|>\n{% endfor %}"
Weights = dict[str, NDArray[Any]]


def config(architecture: str, **more: Any) -> dict[str, Any]:
    name = {"llama": "LlamaForCausalLM", "qwen2": "Qwen2ForCausalLM"}[architecture]
    return {
        "architectures": [name], "model_type": architecture, "hidden_act": "silu",
        "hidden_size": WIDTH, "num_attention_heads": HEADS, "num_key_value_heads": HEADS_KV,
        "intermediate_size": INNER, "num_hidden_layers": LAYERS, "vocab_size": VOCABULARY,
        "max_position_embeddings": 128, "rms_norm_eps": 1e-05, "rope_theta": 100000,
        "rope_scaling": None, "tie_word_embeddings": architecture == "llama", "use_cache": True,
        "bos_token_id": 257, "eos_token_id": 258, "torch_dtype": "bfloat16", **more,
    }  # fmt: skip


def letters() -> list[str]:
    """A letter for each byte, as in byte-level tokenizers."""
    printable = [*range(33, 127), *range(161, 173), *range(174, 256)]
    others = [n for n in range(256) if n not in printable]
    return [*map(chr, printable), *(chr(256 + n) for n in range(len(others)))]


def cut(pattern: str) -> list[dict[str, Any]]:
    """Cuts by a pattern, as in Qwen and Llama 3."""
    return [
        {"type": "Split", "pattern": {"Regex": pattern}, "behavior": "Isolated", "invert": False},
        {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": False, "use_regex": False},
    ]


CUTTERS: dict[str, tuple[Any, list[dict[str, Any]], bool]] = {
    "smollm": (
        None,
        [
            {"type": "Digits", "individual_digits": True},
            {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True,
             "use_regex": True},
        ],
        False,
    ),
    "qwen2": ({"type": "NFC"}, cut(WORDS + r"|\p{N}|" + REST), False),
    "llama-bpe": (None, cut(WORDS + r"|\p{N}{1,3}|" + REST), True),
}  # fmt: skip


def tokenizer(kind: str = "smollm", **more: Any) -> dict[str, Any]:
    normaliser, parts, whole = CUTTERS[kind]
    vocabulary = {letter: n for n, letter in enumerate([*letters(), "th"])}
    added = [
        {"id": 257, "content": "<|im_start|>", "special": True, "lstrip": False, "rstrip": False},
        {"id": 258, "content": "<|im_end|>", "special": True, "single_word": False},
        {"id": 259, "content": "<tool>", "special": False, "normalized": False},
    ]
    model = {
        "type": "BPE", "dropout": None, "unk_token": None, "continuing_subword_prefix": None,
        "end_of_word_suffix": None, "fuse_unk": False, "byte_fallback": False,
        "ignore_merges": whole, "vocab": vocabulary, "merges": [["t", "h"]],
    }  # fmt: skip
    return {
        "version": "1.0", "added_tokens": added, "normalizer": normaliser,
        "pre_tokenizer": {"type": "Sequence", "pretokenizers": parts}, "model": model,
        "post_processor": {"type": "ByteLevel", "trim_offsets": False}, **more,
    }  # fmt: skip


def begun(token: str = "<|im_start|>") -> dict[str, Any]:
    single = [
        {"SpecialToken": {"id": token, "type_id": 0}},
        {"Sequence": {"id": "A", "type_id": 0}},
    ]
    step = {"type": "TemplateProcessing", "single": single, "pair": [], "special_tokens": {}}
    return {"type": "Sequence", "processors": [{"type": "ByteLevel"}, step]}


def given(**more: Any) -> dict[str, Any]:
    return {
        "bos_token": "<|im_start|>", "eos_token": {"content": "<|im_end|>"}, "pad_token": None,
        "model_max_length": 1000000000000000019884624838656, "chat_template": TEMPLATE, **more,
    }  # fmt: skip


def weights(architecture: str, dtype: str) -> Weights:
    """BF16 as its bits."""
    random = np.random.default_rng(4)
    queries, kv = HEADS * HEAD, HEADS_KV * HEAD
    shapes: dict[str, tuple[int, ...]] = {"model.embed_tokens.weight": (VOCABULARY, WIDTH)}
    for layer in range(LAYERS):
        own = f"model.layers.{layer}."
        rows = {"q": queries, "k": kv, "v": kv}
        for name, count in rows.items():
            shapes[f"{own}self_attn.{name}_proj.weight"] = (count, WIDTH)
            if architecture == "qwen2":
                shapes[f"{own}self_attn.{name}_proj.bias"] = (count,)
        shapes[f"{own}self_attn.o_proj.weight"] = (WIDTH, queries)
        shapes[f"{own}mlp.gate_proj.weight"] = shapes[f"{own}mlp.up_proj.weight"] = (INNER, WIDTH)
        shapes[f"{own}mlp.down_proj.weight"] = (WIDTH, INNER)
        shapes[f"{own}input_layernorm.weight"] = (WIDTH,)
        shapes[f"{own}post_attention_layernorm.weight"] = (WIDTH,)
    shapes["model.norm.weight"] = (WIDTH,)
    if architecture == "qwen2":
        shapes["lm_head.weight"] = (VOCABULARY, WIDTH)
    found: Weights = {}
    for name, shape in shapes.items():
        values = (random.standard_normal(shape) * 0.1).astype("<f4")
        if dtype == "BF16":
            found[name] = (values.view("<u4") >> 16).astype("<u2")
        else:
            found[name] = values.astype(NAMES[dtype])
    return found


def table(tensors: Mapping[str, tuple[str, tuple[int, ...], int]]) -> dict[str, Any]:
    at, found = 0, {}
    for name, (dtype, shape, size) in tensors.items():
        found[name] = {"dtype": dtype, "shape": list(shape), "data_offsets": [at, at + size]}
        at += size
    return found


def write_safetensors(path: Path, tensors: Weights) -> Path:
    """With metadata, and a table padded as writers do."""
    names = {dtype: name for name, dtype in NAMES.items()}
    entries = table({n: (names[v.dtype], v.shape, v.nbytes) for n, v in tensors.items()})
    head = json.dumps({"__metadata__": {"format": "pt"}, **entries}).encode()
    head += b" " * (-len(head) % 8)
    body = b"".join(np.ascontiguousarray(value).tobytes() for value in tensors.values())
    path.write_bytes(len(head).to_bytes(8, "little") + head + body)
    return path


def write(
    path: Path, architecture: str = "llama", dtype: str = "BF16", kind: str = "smollm"
) -> Path:
    path.mkdir()
    for name, document in (
        ("config.json", config(architecture)),
        ("tokenizer.json", tokenizer(kind)),
        ("tokenizer_config.json", given()),
    ):
        (path / name).write_text(json.dumps(document))
    (path / "README.md").write_text("A model.")
    write_safetensors(path / "model.safetensors", weights(architecture, dtype))
    return path
