"""Verifies that an answer's quotations are in its passages. Pure.

Rules:
- A quotation counts when its words are in the cited passage, letter by letter and in order; only
  the white space between words may differ, and brackets around a number, since passages are shown
  with others (`neutral`). Without a number, any passage may have it.
- Only passages that were found for this caller are compared.
- A quotation that does not verify, or is too short to prove anything, is removed, with its mark,
  and counted. So is a mark without a quotation.
- The work is linear in the lengths of answer and passages: patterns are single signs, a passage is
  read once.
"""

import hashlib
import re
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Final, NamedTuple

from appliance.types import Citation, Passage

SHORTEST: Final = 12
"""Characters of a quotation, white space not counted."""
LONGEST: Final = 2_000
MOST: Final = 200
"""Quotations and marks of one answer that are looked at; more are removed."""
_SIGN: Final = re.compile(r'["\u201c\u201d\u201e\u00ab\u00bb]|\[\d{1,6}\]|\n\s*\n')
"""All that matters of an answer: quotation marks, marks of passages, and ends of paragraphs."""
_ENDS: Final = {
    '"': ('"', '"'),
    "\u201c": ("\u201d", "\u201c\u201d"),
    "\u201e": ("\u201c\u201d", "\u201e\u201c\u201d"),
    "\u00ab": ("\u00bb", "\u00ab\u00bb"),
}
"""For each opening mark: what closes it, and what no quotation of its kind has inside."""
_NUMBERED: Final = re.compile(r"\[(\d{1,6})\]")


@dataclass(frozen=True)
class Cited:
    """An answer whose quotations are all verified."""

    text: str
    citations: tuple[Citation, ...]
    removed: int

    @property
    def evident(self) -> bool:
        return bool(self.citations)


def neutral(text: str) -> str:
    """Replace marks that look like ours, character by character."""
    return _NUMBERED.sub(r"(\1)", text)


def verified(answer: str, passages: Sequence[Passage]) -> Cited:
    """The answer with verified quotations only; passages in the order of its numbers."""
    sources = [_Source(number, passage) for number, passage in enumerate(passages, 1)]
    parts: list[str] = []
    citations: list[Citation] = []
    removed = at = length = 0
    for count, found in enumerate(_claims(answer)):
        parts.append(answer[at : found.start])
        length += len(parts[-1])
        at = found.end
        until = length + found.end - found.start
        citation = None if count >= MOST else _cited(found, sources, length, until)
        if citation is None:
            removed += 1
            continue
        citations.append(citation)
        parts.append(answer[found.start : found.end])
        length = until
    parts.append(answer[at:])
    return Cited("".join(parts), tuple(citations), removed)


class _Claim(NamedTuple):
    """A quotation with its mark, or a mark only.

    Attributes:
        quote: None for a mark only.
        number: of the passage; None where no mark follows the quotation.
    """

    start: int
    end: int
    quote: str | None
    number: int | None


def _claims(answer: str) -> Iterator[_Claim]:
    """In the answer's order. A quotation may go over lines, never over paragraphs."""
    signs = list(_SIGN.finditer(answer))
    at = place = 0
    while place < len(signs):
        sign = signs[place]
        place += 1
        if sign[0] in _ENDS:
            closing, inside = _ENDS[sign[0]]
            last = place
            # Where this finds no end, the next mark of the kind lies behind what was looked at.
            while last < len(signs) and signs[last][0][0] not in ("\n", *inside):
                last += 1
            if last == len(signs) or signs[last][0] not in closing:
                continue
            close, place = signs[last], last + 1
            number, end = None, close.end()
            follows = place + (place < len(signs) and signs[place][0][0] == "\n")
            if follows < len(signs) and signs[follows][0][0] == "[":
                mark = signs[follows]
                if not answer[end : mark.start()].strip():
                    number, end, place = _number(mark), mark.end(), follows + 1
            yield _Claim(sign.start(), end, answer[sign.end() : close.start()], number)
            at = end
        elif sign[0][0] == "[":
            before = answer[at : sign.start()].rstrip()
            yield _Claim(at + len(before), sign.end(), None, _number(sign))
            at = sign.end()


def _number(mark: re.Match[str]) -> int:
    return int(mark[0][1:-1])


class _Source:
    def __init__(self, number: int, passage: Passage) -> None:
        self.number, self.passage = number, passage

    @cached_property
    def _words(self) -> tuple[str, list[int], list[int]]:
        words, places, starts, length = [], [], [], 0
        for word in re.finditer(r"\S+", neutral(self.passage.text)):
            words.append(word[0])
            places.append(length)
            starts.append(word.start())
            length += len(word[0]) + 1
        return " ".join(words), places, starts

    def find(self, quote: str) -> tuple[int, int] | None:
        """Begin and end of words that are a space apart."""
        text, places, starts = self._words
        begin = text.find(quote)
        if begin < 0:
            return None

        def place(at: int) -> int:
            word = bisect_right(places, at) - 1
            return starts[word] + at - places[word]

        return place(begin), place(begin + len(quote) - 1) + 1


def _cited(claim: _Claim, sources: Sequence[_Source], at: int, until: int) -> Citation | None:
    words = [] if claim.quote is None else neutral(claim.quote).split()
    if not SHORTEST <= sum(map(len, words)) <= LONGEST:
        return None
    quote = " ".join(words)
    for source in sources:
        if claim.number not in (None, source.number) or (found := source.find(quote)) is None:
            continue
        passage, (begin, end) = source.passage, found
        start = passage.start + len(passage.text[:begin].encode())
        content = passage.text[begin:end].encode()
        return Citation(
            number=source.number,
            passage=passage.id,
            document=passage.document,
            title=passage.title,
            page=passage.page,
            start=start,
            end=start + len(content),
            text_sha256=passage.text_sha256,
            sha256=hashlib.sha256(content).hexdigest(),
            quote=content.decode(),
            at=at,
            until=until,
        )
    return None
