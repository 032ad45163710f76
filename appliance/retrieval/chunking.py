"""Cuts a text into chunks: the pieces that are searched and cited. Pure.

Rules:
- A chunk is a span of the text's bytes, and begins and ends between two characters.
- Every byte that is not white space is in at least one chunk.
- A heading begins a chunk, and no chunk goes beyond its section. A table is cut between rows.
- A chunk has at most `budget` tokens by `estimate`. It repeats whole pieces of at most `overlap`
  tokens from the end of the one before, in the same section.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from appliance.retrieval.extracted import TextBlock

_WORD: Final = re.compile(rb"[A-Za-z0-9]+|[\xc0-\xff][\x80-\xbf]*|[^\sA-Za-z0-9]")
# After the mark of an end and a space, at a line's end, and after the ideographic full stop.
_SENTENCE: Final = re.compile(rb"(?<=[.!?;:])\s+|(?<=[.!?][\"')\]])\s+|\n+|(?<=\xe3\x80\x82)\s*")
_BLANK: Final = re.compile(rb"\s+")
MOST_HEADING: Final = 200


@dataclass(frozen=True)
class TextChunk:
    """A span of a text.

    Attributes:
        start, end: bytes of the text.
        heading: its headings, from the outside in.
        page: of its beginning; 0 without pages.
        tokens: by `estimate`.
    """

    start: int
    end: int
    heading: str
    page: int
    tokens: int


@dataclass(frozen=True)
class _Piece:
    start: int
    end: int
    tokens: int
    page: int


def estimate(text: bytes) -> int:
    """About how many tokens an encoder of subwords makes of a text; more rather than fewer.

    A word of up to six ASCII letters is one token, and each further four are one more. Every other
    character is one.
    """
    return sum(1 + max(0, len(word) - 3) // 4 for word in _WORD.findall(text))


def chunks(
    text: bytes, blocks: Sequence[TextBlock], *, budget: int, overlap: int
) -> list[TextChunk]:
    """Cut a text.

    Args:
        blocks: its structure, by `extracted`.
        budget: most tokens of a chunk, 16 at least.
        overlap: tokens that a chunk may repeat, less than half of the budget.

    Raises:
        ValueError: impossible numbers.
    """
    if budget < 16 or not 0 <= overlap < budget / 2:
        raise ValueError("budget or overlap")
    found: list[TextChunk] = []
    for heading, section in _sections(text, blocks):
        pieces = [piece for block in section for piece in _pieces(text, block, budget)]
        found += _packed(text, pieces, heading, budget, overlap)
    return found


def _sections(text: bytes, blocks: Sequence[TextBlock]) -> Iterator[tuple[str, list[TextBlock]]]:
    path: list[tuple[int, str]] = []
    section: list[TextBlock] = []
    shown = ""
    for block in blocks:
        if block.kind == "heading":
            if any(other.kind != "heading" for other in section):
                yield shown, section
                section = []
            path = [(level, name) for level, name in path if level < block.level]
            name = _BLANK.sub(b" ", text[block.start : block.end]).decode()
            path.append((block.level, name[:MOST_HEADING]))
        section.append(block)
        shown = " / ".join(name for _, name in path)
    if section:
        yield shown, section


def _pieces(text: bytes, block: TextBlock, budget: int) -> Iterator[_Piece]:
    cut = b"\n" if block.kind in ("table", "code") else None
    for start, end in _split(text, block.start, block.end, cut):
        tokens = estimate(text[start:end])
        if tokens <= budget:
            yield _Piece(start, end, tokens, block.page)
        else:
            yield from _words(text, start, end, budget, block.page)


def _split(text: bytes, start: int, end: int, cut: bytes | None) -> Iterator[tuple[int, int]]:
    at = start
    if cut is not None:
        while (found := text.find(cut, at, end)) >= 0:
            yield from _trimmed(text, at, found)
            at = found + len(cut)
    else:
        for gap in _SENTENCE.finditer(text, start, end):
            yield from _trimmed(text, at, gap.start())
            at = gap.end()
    yield from _trimmed(text, at, end)


def _trimmed(text: bytes, start: int, end: int) -> Iterator[tuple[int, int]]:
    content = text[start:end]
    if kept := content.strip():
        start += len(content) - len(content.lstrip())
        yield start, start + len(kept)


def _words(text: bytes, start: int, end: int, budget: int, page: int) -> Iterator[_Piece]:
    begun, tokens, last = start, 0, start
    for found in re.finditer(rb"\S+", text[start:end]):
        word_start, word_end = start + found.start(), start + found.end()
        for left, right in _bits(text, word_start, word_end, budget):
            cost = estimate(text[left:right])
            if tokens and tokens + cost > budget:
                yield _Piece(begun, last, tokens, page)
                begun, tokens = left, 0
            elif not tokens:
                begun = left
            tokens, last = tokens + cost, right
    if tokens:
        yield _Piece(begun, last, tokens, page)


def _bits(text: bytes, start: int, end: int, budget: int) -> Iterator[tuple[int, int]]:
    while estimate(text[start:end]) > budget:
        size = budget  # in bytes: a byte is one token at most
        cut = start + size
        while cut > start and text[cut] & 0xC0 == 0x80:
            cut -= 1
        yield start, cut
        start = cut
    yield start, end


def _packed(
    text: bytes, pieces: Sequence[_Piece], heading: str, budget: int, overlap: int
) -> Iterator[TextChunk]:
    held: list[_Piece] = []
    fresh = False
    for piece in pieces:
        if held and sum(p.tokens for p in held) + piece.tokens > budget:
            if fresh:
                yield _chunk(text, held, heading)
            held = _tail(held, min(overlap, budget - piece.tokens))
        held.append(piece)
        fresh = True
    if held and fresh:
        yield _chunk(text, held, heading)


def _tail(pieces: Sequence[_Piece], overlap: int) -> list[_Piece]:
    kept: list[_Piece] = []
    for piece in reversed(pieces):
        if sum(p.tokens for p in kept) + piece.tokens > overlap:
            break
        kept.insert(0, piece)
    return kept


def _chunk(text: bytes, pieces: Sequence[_Piece], heading: str) -> TextChunk:
    start, end = pieces[0].start, pieces[-1].end
    return TextChunk(start, end, heading, pieces[0].page, sum(p.tokens for p in pieces))
