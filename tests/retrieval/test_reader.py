"""A reader's answer is checked before it is believed."""

import msgspec
import pytest

from appliance.errors import CollectionRefused
from appliance.retrieval.extracted import Extracted, TextBlock
from appliance.retrieval.reader import Reading, decoded


def answered(text: bytes, *spans: tuple[int, int], pages: int = 0) -> Extracted:
    blocks = tuple(TextBlock("paragraph", start, end) for start, end in spans)
    return decoded(msgspec.msgpack.encode(Reading(Extracted(text, blocks, pages=pages))))


def test_a_good_answer_is_taken() -> None:
    found = answered(b"one\n\ntwo", (0, 3), (5, 8), pages=2)
    assert (found.text, found.pages, len(found.blocks)) == (b"one\n\ntwo", 2, 2)


@pytest.mark.parametrize("spans", [[(0, 9)], [(2, 1)], [(5, 8), (0, 3)], [(-1, 3)]])
def test_spans_that_are_none_are_refused(spans: list[tuple[int, int]]) -> None:
    with pytest.raises(CollectionRefused) as refused:
        answered(b"one\n\ntwo", *spans)
    assert refused.value.code == "document_unreadable"


def test_bytes_that_are_no_text_are_refused() -> None:
    with pytest.raises(CollectionRefused):
        answered(b"\xff\xfe", (0, 2))


def test_control_characters_do_not_pass() -> None:
    assert answered(b"a\x1bb", (0, 3)).text == b"ab"


def test_a_refusal_keeps_its_code_if_it_is_one_of_documents() -> None:
    for code, kept in (
        ("document_too_large", "document_too_large"),
        ("invalid_api_key", "document_unreadable"),
    ):
        with pytest.raises(CollectionRefused) as refused:
            decoded(msgspec.msgpack.encode(Reading(code=code, message="m")))
        assert refused.value.code == kept
