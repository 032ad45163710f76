"""Chunks: exact spans that cover the text, within their budget and section."""

import itertools

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from appliance.retrieval.chunking import chunks, estimate
from appliance.retrieval.extracted import Builder

_WORDS = st.text("abcdefgh \u00e4\u00f6\u20ac\u3002\u65e5.?!\n\t\"')", max_size=300)
_BLOCKS = st.lists(
    st.tuples(st.sampled_from(["heading", "paragraph", "table", "code"]), _WORDS), max_size=12
)


@given(_BLOCKS, st.integers(16, 80), st.floats(0, 0.49))
@example([("heading", "?" * 13), ("heading", "??a \n?")], 16, 0.0)  # white space before a cut
def test_spans_are_exact_cover_the_text_and_keep_the_budget(
    texts: list[tuple[str, str]], budget: int, share: float
) -> None:
    builder = Builder()
    for number, (kind, text) in enumerate(texts):
        builder.add(kind, text, level=1 + number % 3)
    done = builder.done()
    found = chunks(done.text, done.blocks, budget=budget, overlap=int(budget * share))
    covered = bytearray(len(done.text))
    for chunk in found:
        content = done.text[chunk.start : chunk.end]
        assert content.decode().strip() == content.decode() != ""
        assert estimate(content) <= chunk.tokens <= budget
        covered[chunk.start : chunk.end] = b"\x01" * len(content)
    missed = bytes(c for c, seen in zip(done.text, covered, strict=True) if not seen)
    assert missed.decode().strip() == ""
    assert [c.start for c in found] == sorted(c.start for c in found)
    assert len({(c.start, c.end) for c in found}) == len(found)


def test_a_heading_begins_a_chunk_and_is_named_with_those_above() -> None:
    builder = Builder()
    builder.add("heading", "Pumps", level=1)
    builder.add("heading", "Relief valves", level=2)
    builder.add("paragraph", "They open at 12 bar.")
    builder.add("heading", "Hoses", level=2)
    builder.add("paragraph", "They burst.")
    builder.add("heading", "Engines", level=1)
    builder.add("paragraph", "They run.")
    done = builder.done()
    found = chunks(done.text, done.blocks, budget=100, overlap=20)
    assert [c.heading for c in found] == ["Pumps / Relief valves", "Pumps / Hoses", "Engines"]
    assert done.text[found[0].start : found[0].end].startswith(b"Pumps\n\nRelief valves\n\nThey")


def test_the_overlap_repeats_whole_sentences_of_the_section() -> None:
    builder = Builder()
    builder.add("paragraph", " ".join(f"Word word word number {n}." for n in range(20)))
    done = builder.done()
    plain = chunks(done.text, done.blocks, budget=30, overlap=0)
    lapped = chunks(done.text, done.blocks, budget=30, overlap=10)
    assert all(a.end < b.start for a, b in itertools.pairwise(plain))
    assert all(b.start < a.end for a, b in itertools.pairwise(lapped))
    assert all(estimate(done.text[b.start : a.end]) <= 10 for a, b in itertools.pairwise(lapped))
    assert done.text[lapped[1].start :].startswith(b"Word")


def test_a_table_is_cut_between_rows() -> None:
    builder = Builder()
    builder.add("table", "\n".join(f"part {n} | 12. bar. | ok." for n in range(30)))
    done = builder.done()
    found = chunks(done.text, done.blocks, budget=30, overlap=0)
    assert len(found) > 3
    assert all(done.text[c.start : c.end].startswith(b"part") for c in found)


def test_pages_are_those_where_chunks_begin() -> None:
    builder = Builder()
    for page in (1, 2, 3):
        builder.add("paragraph", "word " * 30, page=page)
    done = builder.done()
    found = chunks(done.text, done.blocks, budget=40, overlap=0)
    assert [c.page for c in found] == [1, 2, 3]


@pytest.mark.parametrize(("budget", "overlap"), [(15, 0), (40, 20), (40, -1)])
def test_impossible_numbers_are_refused(budget: int, overlap: int) -> None:
    with pytest.raises(ValueError, match="budget"):
        chunks(b"text", [], budget=budget, overlap=overlap)


def test_a_word_of_any_length_is_cut_between_characters() -> None:
    builder = Builder()
    builder.add("paragraph", "\u20ac" * 500)
    done = builder.done()
    found = chunks(done.text, done.blocks, budget=16, overlap=0)
    assert b"".join(done.text[c.start : c.end] for c in found) == done.text
