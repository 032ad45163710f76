"""Proof that a file of other weights is the same model: all but the weights, byte for byte.

Rules: every pair of the header is the same, tokenizer and chat template included, except those that
state the type of the weights; the same tensors of the same shapes.
"""

import hashlib
import mmap
from typing import Final

from appliance.errors import TuningRefused
from appliance.trust.gguf.reader import Array, Reader, Scalar, read_header
from appliance.trust.gguf.tensors import read_tensors

OF_THE_TYPE: Final = frozenset({"general.file_type", "general.quantization_version"})
"""Pairs that a quantiser writes."""


def identity(data: bytes | mmap.mmap) -> dict[str, str]:
    """Digests of header pairs, and of tensors' names and shapes. Raises GgufRejected."""
    reader = Reader(data, len(data))
    header = read_header(reader)
    tensors = read_tensors(reader, header)
    found = {
        key: _digest(value) for key, value in header.metadata.items() if key not in OF_THE_TYPE
    }
    shapes = sorted((tensor.name, tensor.shape) for tensor in tensors.values())
    return {**found, "tensors": hashlib.sha256(repr(shapes).encode()).hexdigest()}


def check(source: dict[str, str], made: dict[str, str]) -> str:
    """Return one digest of all but the weights, or raise TuningRefused (`quantize_changed`)."""
    changed = sorted(k for k in source.keys() | made.keys() if source.get(k) != made.get(k))
    if changed:
        raise TuningRefused("quantize_changed", f"The new file differs in {changed[0][:100]}.")
    return hashlib.sha256(repr(sorted(source.items())).encode()).hexdigest()


def _digest(value: Scalar | Array) -> str:
    hashed = hashlib.sha256(f"{value.kind.name} ".encode())
    if isinstance(value, Scalar):
        hashed.update(repr(value.value).encode())
    else:
        hashed.update(f"{value.count} ".encode() + value.data)
        for text in value.strings:
            hashed.update(len(text).to_bytes(8, "little") + text)
    return hashed.hexdigest()
