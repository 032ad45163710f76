"""The `t5` (Unigram) tokenizer of a GGUF file: XLM-R's and its descendants'.

The map of characters (SentencePiece's precompiled_charsmap) is a length, a double array of that
many bytes, and texts that each end with a zero; llama.cpp reads it while it tokenises.
"""

import struct
from typing import Final

from appliance.errors import GgufRejected
from appliance.trust.gguf.reader import Array, Kind

_BYTES: Final = frozenset({Kind.UINT8, Kind.INT8})
_LENGTH: Final = struct.Struct("<I")
_DEFAULTS: Final = 3  # llama.cpp's own ids of </s> and <unk>: 1 and 2


def check_unigram(tokens: int, scores: object, characters: object) -> None:
    """Refuse a vocabulary that llama.cpp would stumble over (`gguf_tokenizer`).

    Args:
        scores, characters: of `tokenizer.ggml.scores` and `tokenizer.ggml.precompiled_charsmap`.
    """
    if tokens < _DEFAULTS or scores is None:
        raise GgufRejected("gguf_tokenizer", "The vocabulary lacks special tokens or scores.")
    if characters is None:
        return
    if not isinstance(characters, Array) or characters.kind not in _BYTES:
        raise GgufRejected("gguf_tokenizer", "The map of characters is not an array of bytes.")
    data = characters.data
    size = _LENGTH.unpack_from(data)[0] if len(data) >= _LENGTH.size else len(data)
    if size % 4 or size + _LENGTH.size >= len(data) or data[-1]:
        raise GgufRejected("gguf_tokenizer", "The map of characters is cut off.")
