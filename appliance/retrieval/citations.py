"""Which quotations of an answer are really in the passages that it was given. Pure.

Rules:
- A quotation counts when its words stand in the cited passage, letter by letter and in order;
  only the white space between words may differ, and brackets around a number, since passages are
  shown with others (`neutral`). Without a number, any passage may have it.
- Only passages that were found for this caller are compared, so a quotation of a document that
  the caller may not read cannot be verified.
- What does not verify is removed from the text, with its mark, and counted. So is a mark without
  a quotation, and a quotation too short to prove anything.
- An answer without one verified quotation has no evidence; what to say then is for the caller.
"""

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from appliance.retrieval.search import Passage
from appliance.types import Citation

SHORTEST: Final = 12
"""Characters of a quotation, white space not counted."""
LONGEST: Final = 2_000
MOST: Final = 200
"""Quotations and marks of one answer that are looked at; more are removed."""
_GAP: Final = r"\n(?!\s*\n)"  # a quotation may go over lines, never over paragraphs
_QUOTED: Final = (
    rf'"(?P<a>(?:[^"\n]|{_GAP})*)"',
    rf"\u201c(?P<b>(?:[^\u201c\u201d\n]|{_GAP})*)\u201d",
    rf"\u201e(?P<c>(?:[^\u201e\u201c\u201d\n]|{_GAP})*)[\u201c\u201d]",
    rf"\u00ab(?P<d>(?:[^\u00ab\u00bb\n]|{_GAP})*)\u00bb",
)
_MARK: Final = r"\[(?P<{}>\d{{1,6}})\]"
_CITED: Final = re.compile(
    rf"(?:{'|'.join(_QUOTED)})(?:\s*{_MARK.format('n')})?|\s*{_MARK.format('bare')}"
)
_NUMBERED: Final = re.compile(r"\[(\d{1,6})\]")


@dataclass(frozen=True)
class Cited:
    """An answer whose quotations are all verified.

    Attributes:
        removed: quotations and marks that were taken out.
    """

    text: str
    citations: tuple[Citation, ...]
    removed: int

    @property
    def evident(self) -> bool:
        """Whether anything in it is proven."""
        return bool(self.citations)


def neutral(text: str) -> str:
    """A text without marks that look like ours; as long as before, character by character."""
    return _NUMBERED.sub(r"(\1)", text)


def verified(answer: str, passages: Sequence[Passage]) -> Cited:
    """The answer with verified quotations only.

    Args:
        passages: what it was given, in the order of the numbers that it uses.
    """
    parts: list[str] = []
    citations: list[Citation] = []
    removed = at = length = 0
    for count, found in enumerate(_CITED.finditer(answer)):
        parts.append(answer[at : found.start()])
        length += len(parts[-1])
        at = found.end()
        quote = next((found[g] for g in "abcd" if found[g] is not None), None)
        citation = None
        if quote is not None and count < MOST:
            number = None if found["n"] is None else int(found["n"])
            citation = _cited(quote, number, passages, length, length + len(found[0]))
        if citation is None:
            removed += 1
            continue
        citations.append(citation)
        parts.append(found[0])
        length += len(found[0])
    parts.append(answer[at:])
    return Cited("".join(parts), tuple(citations), removed)


def _cited(
    quote: str, number: int | None, passages: Sequence[Passage], at: int, until: int
) -> Citation | None:
    """The citation that a quotation is, or None."""
    words = neutral(quote).split()
    if not SHORTEST <= sum(map(len, words)) <= LONGEST:
        return None
    pattern = re.compile(r"\s+".join(map(re.escape, words)))
    numbers = range(1, len(passages) + 1) if number is None else (number,)
    for candidate in numbers:
        if not 1 <= candidate <= len(passages):
            continue
        passage = passages[candidate - 1]
        if (found := pattern.search(neutral(passage.text))) is None:
            continue
        start = passage.start + len(passage.text[: found.start()].encode())
        content = passage.text[found.start() : found.end()].encode()
        return Citation(
            number=candidate,
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
