"""The default model with its first layers alone, for tests of models that come and go."""

import re
import struct
from pathlib import Path

from appliance.trust.gguf.reader import MAX_METADATA, Array, Reader, Scalar, read_header
from appliance.trust.gguf.tensors import places, read_tensors
from tests.trust.forge import array, scalar, text

LAYERS = 4
TOKENS = 4_096
"""Of the narrow one, which loads in a tenth of the time: its last tokens are those of the merges
that it lacks.
"""
_ALL = 49_152


def shallow(source: Path, target: Path, tokens: int = _ALL) -> Path:
    data = source.read_bytes()
    reader = Reader(data[:MAX_METADATA], len(data))
    header = read_header(reader)
    table, body = bytearray(), bytearray()
    tensors = read_tensors(reader, header)
    kept = [(one, at) for one, at in places(reader, header, tensors) if _layer(one.name) < LAYERS]
    for one, at in kept:
        shape, size = one.shape, one.bytes
        if shape[-1] == _ALL:  # a row is a token's
            shape, size = (*shape[:-1], tokens), size // _ALL * tokens
        table += text(one.name) + struct.pack("<I", len(shape))
        table += struct.pack(f"<{len(shape)}QIQ", *shape, one.type, len(body))
        body += data[at : at + size] + bytes(-size % 32)
    counts = {"llama.block_count": LAYERS, "llama.vocab_size": tokens}
    head = data[:8] + struct.pack("<QQ", len(kept), len(header.metadata))
    for name, value in header.metadata.items():
        fewer = _ALL - tokens if name.startswith("tokenizer.ggml.") else 0
        head += text(name) + _written(value, counts.get(name), fewer)
    head += table
    target.write_bytes(head + bytes(-len(head) % 32) + body)
    return target


def _written(value: Scalar | Array, instead: int | None, fewer: int) -> bytes:
    if isinstance(value, Scalar):
        return scalar(value.kind, value.value if instead is None else instead)
    return array(value.kind, (value.strings or value.integers())[: value.count - fewer])


def _layer(name: str) -> int:
    found = re.match(r"blk\.(\d+)\.", name)
    return int(found[1]) if found else 0
