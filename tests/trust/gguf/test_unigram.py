"""The Unigram tokenizer's own rules."""

import pytest

from appliance.errors import GgufRejected
from appliance.trust.gguf.reader import Array, Kind
from appliance.trust.gguf.unigram import check_unigram

SCORES = Array(Kind.FLOAT32, 3, bytes(12), ())


def charsmap(data: bytes, kind: Kind = Kind.UINT8) -> Array:
    return Array(kind, len(data), data, ())


@pytest.mark.parametrize("kind", [Kind.UINT8, Kind.INT8])
def test_a_whole_map_of_characters_or_none_is_taken(kind: Kind) -> None:
    check_unigram(3, SCORES, None)
    check_unigram(3, SCORES, charsmap(b"\x04\0\0\0abcdx\0", kind))


@pytest.mark.parametrize(
    ("tokens", "scores", "characters"),
    [
        (2, SCORES, None), (3, None, None), (3, SCORES, charsmap(b"")),
        (3, SCORES, charsmap(b"\x08\0\0\0abcdx\0")), (3, SCORES, charsmap(b"\x04\0\0\0abcdx")),
        (3, SCORES, charsmap(b"\x04\0\0\0abcdx\0", Kind.INT16)), (3, SCORES, "text"),
    ],
)  # fmt: skip
def test_what_llama_cpp_would_stumble_over_is_refused(
    tokens: int, scores: object, characters: object
) -> None:
    with pytest.raises(GgufRejected) as caught:
        check_unigram(tokens, scores, characters)
    assert caught.value.code == "gguf_tokenizer"
