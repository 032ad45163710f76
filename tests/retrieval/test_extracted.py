"""The text of a document: clean, with exact blocks."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.errors import CollectionRefused
from appliance.retrieval import extracted
from appliance.retrieval.extracted import Builder, cleaned, glued


def test_control_and_invisible_characters_are_gone() -> None:
    text = "a\x00b\x1b[31mc\u202ed\u200be\ufeff\ue000f\tg\r\nh\x0ci\u00adj"
    assert cleaned(text) == "ab[31mcdef\tg\nh\nij"
    assert cleaned("x\x07 \x0b y") == "x \n y"
    assert cleaned("e\u0301") == "\u00e9"


@given(st.lists(st.text(max_size=40), max_size=8))
def test_blocks_are_spans_of_the_text(texts: list[str]) -> None:
    builder = Builder()
    for text in texts:
        builder.add("paragraph", text)
    done = builder.done()
    found = [done.text[b.start : b.end].decode() for b in done.blocks]
    assert found == [t for t in (cleaned(text).strip() for text in texts) if t]
    assert all(a.end < b.start for a, b in zip(done.blocks, done.blocks[1:], strict=False))


def test_a_text_beyond_the_limit_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(extracted, "MOST_TEXT", 100)
    builder = Builder()
    builder.add("paragraph", "x" * 60)
    with pytest.raises(CollectionRefused) as refused:
        builder.add("paragraph", "x" * 60)
    assert refused.value.code == "document_too_large"


def test_glued_words_are_noticed_and_long_german_words_are_not() -> None:
    assert glued("Currentlytherearethreeversionsofthe distributionavailableforeveryone. " * 10)
    german = (
        "Die Rindfleischetikettierung und die Donaudampfschiffahrt sind lange W\u00f6rter. " * 10
    )
    assert not glued(german)
    assert not glued("short")


def test_empty_pages_are_a_warning_and_the_title_is_the_first_heading() -> None:
    builder = Builder()
    builder.add("heading", "Pumps\nand valves", level=1)
    builder.add("heading", "Other", level=1)
    done = builder.done(pages=3, empty_pages=1)
    assert (done.title, done.pages, done.warnings) == ("Pumps and valves", 3, ("empty_pages",))
