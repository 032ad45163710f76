"""The default model in another type of weights, of the same shapes, for tests of memory."""

import struct
from pathlib import Path

import numpy as np

from appliance.trust.gguf.reader import MAX_METADATA, Reader, read_header
from appliance.trust.gguf.tensors import TYPES, read_tensors

Q4_0, Q4_1, Q4_K = 2, 3, 12


def as_q4_0(source: Path, target: Path) -> Path:
    """Each Q4_1 tensor as Q4_0: the scale and the bits, without the offset."""
    data = source.read_bytes()
    reader = Reader(data[:MAX_METADATA], len(data))
    tensors = read_tensors(reader, read_header(reader))
    head = bytearray(data[: reader.at])
    start = reader.at + -reader.at % 32
    body = bytearray()
    for tensor in tensors.values():
        old = data[start : start + tensor.bytes]
        start += tensor.bytes + -tensor.bytes % 32
        kind = tensor.type
        if kind == Q4_1:
            kind = Q4_0
            blocks = np.frombuffer(old, np.uint8).reshape(-1, TYPES[Q4_1].bytes)
            old = np.delete(blocks, slice(2, 4), axis=1).tobytes()
        rewrite(head, tensor.name, len(tensor.shape), kind, len(body))
        body += old + bytes(-len(old) % 32)
    target.write_bytes(bytes(head) + bytes(-len(head) % 32) + bytes(body))
    return target


def rewrite(head: bytearray, name: str, dimensions: int, kind: int, offset: int) -> None:
    """In a row of the tensor table."""
    row = struct.pack("<Q", len(name)) + name.encode() + struct.pack("<I", dimensions)
    at = head.rindex(row) + len(row) + 8 * dimensions
    struct.pack_into("<IQ", head, at, kind, offset)
