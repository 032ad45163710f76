"""The default model with its first `LAYERS` layers alone, for tests of models that come and go."""

import re
import struct
from pathlib import Path

from appliance.trust.gguf.reader import MAX_METADATA, Kind, Reader, read_header
from appliance.trust.gguf.tensors import places, read_tensors
from tests.trust.forge import text

LAYERS = 4
_COUNTS = 24  # where the metadata begin, after magic, version and both counts


def shallow(source: Path, target: Path) -> Path:
    data = source.read_bytes()
    reader = Reader(data[:MAX_METADATA], len(data))
    header = read_header(reader)
    metadata = bytearray(data[_COUNTS : reader.at])
    key = text("llama.block_count")
    struct.pack_into("<II", metadata, metadata.index(key) + len(key), Kind.UINT32, LAYERS)
    table, body = bytearray(), bytearray()
    tensors = read_tensors(reader, header)
    kept = [(one, at) for one, at in places(reader, header, tensors) if _layer(one.name) < LAYERS]
    for one, at in kept:
        table += text(one.name) + struct.pack("<I", len(one.shape))
        table += struct.pack(f"<{len(one.shape)}QIQ", *one.shape, one.type, len(body))
        body += data[at : at + one.bytes] + bytes(-one.bytes % 32)
    head = data[:8] + struct.pack("<QQ", len(kept), len(header.metadata)) + metadata + table
    target.write_bytes(head + bytes(-len(head) % 32) + body)
    return target


def _layer(name: str) -> int:
    found = re.match(r"blk\.(\d+)\.", name)
    return int(found[1]) if found else 0
