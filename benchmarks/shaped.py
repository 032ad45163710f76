"""A model with the shapes of Llama 3.1 8B and random weights, for the time of a start.

32 layers in Q4_K, the two matrices that Q4_K_M keeps finer in Q6_K, 4.5 GB. The vocabulary has
32,000 tokens, so that the file needs no other model's tokenizer.
"""

from pathlib import Path
from typing import Final

import numpy as np

from appliance.trust.gguf.reader import Kind
from installer.bundle.cache import exclusive
from installer.bundle.steps import say
from tests.fuzz.tiny_models import f32
from tests.trust.forge import Gguf, Tensor, array, scalar, string, u32

_EMBD, _FF, _LAYERS, _HEADS, _KV_HEADS, _VOCABULARY = 4096, 14336, 32, 32, 8, 32_000
_F32, _Q4_K, _Q6_K = 0, 12, 14
_BLOCK: Final = {_Q4_K: 144, _Q6_K: 210}  # bytes of 256 weights
_PIECE: Final = 1 << 14  # blocks that are written at once
_NAME: Final = "shaped-8b.gguf"


def obtain(root: Path) -> Path:
    """The file in the cache, written if it is not there."""
    target = root / "shaped-8b" / _NAME
    with exclusive(root / "shaped-8b.lock"):
        if not target.is_file():
            say(f"Writing {_NAME} (4.5 GB)")
            target.parent.mkdir(parents=True, exist_ok=True)
            part = target.with_suffix(".part")
            write(part)
            part.chmod(0o444)
            part.rename(target)
    return target


def write(target: Path) -> None:
    """Write the model."""
    model = Gguf(pairs=_pairs(), tensors=list(_tensors()))
    head = model.table()
    random = np.random.default_rng(8)
    pieces = {kind: _blocks(kind, random) for kind in _BLOCK}
    with target.open("wb") as file:
        file.write(head + bytes(-len(head) % model.alignment))
        for tensor in model.tensors:
            if tensor.type == _F32:
                file.write(np.ones(tensor.shape[0], np.float32).tobytes())
            else:
                piece = pieces[tensor.type]
                for at in range(0, tensor.bytes, len(piece)):
                    file.write(piece[: tensor.bytes - at])
            file.write(bytes(-tensor.bytes % model.alignment))


def _blocks(kind: int, random: np.random.Generator) -> memoryview:
    """Random blocks whose scales are small numbers."""
    blocks = random.integers(0, 256, (_PIECE, _BLOCK[kind]), np.uint8)
    scales = random.uniform(1e-5, 2e-5, (_PIECE, 2)).astype(np.float16).view(np.uint8)
    if kind == _Q4_K:
        blocks[:, :4] = scales
    else:
        blocks[:, -2:] = scales[:, :2]
    return memoryview(blocks.tobytes())


def _tensors() -> list[Tensor]:
    kv = _EMBD // _HEADS * _KV_HEADS
    found = [
        _quantised("token_embd", _EMBD, _VOCABULARY, _Q4_K),
        _norm("output_norm"),
        _quantised("output", _EMBD, _VOCABULARY, _Q6_K),
    ]
    for layer in range(_LAYERS):
        block = f"blk.{layer}."
        found += [
            _norm(f"{block}attn_norm"),
            _quantised(f"{block}attn_q", _EMBD, _EMBD, _Q4_K),
            _quantised(f"{block}attn_k", _EMBD, kv, _Q4_K),
            _quantised(f"{block}attn_v", _EMBD, kv, _Q6_K),
            _quantised(f"{block}attn_output", _EMBD, _EMBD, _Q4_K),
            _norm(f"{block}ffn_norm"),
            _quantised(f"{block}ffn_gate", _EMBD, _FF, _Q4_K),
            _quantised(f"{block}ffn_up", _EMBD, _FF, _Q4_K),
            _quantised(f"{block}ffn_down", _FF, _EMBD, _Q6_K),
        ]
    return found


def _norm(name: str) -> Tensor:
    return Tensor(f"{name}.weight", (_EMBD,), _F32, 4 * _EMBD)


def _quantised(name: str, width: int, rows: int, kind: int) -> Tensor:
    return Tensor(f"{name}.weight", (width, rows), kind, width * rows // 256 * _BLOCK[kind])


def _pairs() -> dict[str | bytes, bytes]:
    tokens = ["<unk>", "<s>", "</s>", *(f"<0x{n:02X}>" for n in range(256))]
    tokens += [f"▁w{n}" for n in range(_VOCABULARY - len(tokens))]
    kinds = [2, 3, 3, *[6] * 256, *[1] * (_VOCABULARY - 259)]
    return {
        "general.architecture": string("llama"),
        "general.name": string("shaped-8b"),
        "llama.context_length": u32(8192),
        "llama.block_count": u32(_LAYERS),
        "llama.embedding_length": u32(_EMBD),
        "llama.feed_forward_length": u32(_FF),
        "llama.attention.head_count": u32(_HEADS),
        "llama.attention.head_count_kv": u32(_KV_HEADS),
        "llama.attention.layer_norm_rms_epsilon": f32(1e-5),
        "llama.rope.freq_base": f32(500_000.0),
        "llama.rope.dimension_count": u32(_EMBD // _HEADS),
        "tokenizer.ggml.model": string("llama"),
        "tokenizer.ggml.tokens": array(Kind.STRING, tokens),
        "tokenizer.ggml.scores": array(Kind.FLOAT32, [-float(n) for n in range(_VOCABULARY)]),
        "tokenizer.ggml.token_type": array(Kind.INT32, kinds),
        "tokenizer.ggml.bos_token_id": u32(1),
        "tokenizer.ggml.eos_token_id": u32(2),
        "tokenizer.ggml.unknown_token_id": u32(0),
        "tokenizer.ggml.add_bos_token": scalar(Kind.BOOL, 1),
        "tokenizer.chat_template": string("{{ messages[0].content }}"),
    }
