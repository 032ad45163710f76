"""The text of a document and its structure, as a reader of a format builds it.

Rules:
- The text is UTF-8 in NFC, without control characters, bidirectional overrides and zero-width
  characters; the only white space is a space, a tab or a line feed.
- Blocks are in the order of the text, do not overlap, and are spans of its bytes.
- A document beyond the text's greatest size is refused, never cut.
"""

import re
import unicodedata
from typing import Final

import msgspec

from appliance.errors import CollectionRefused

MOST_TEXT: Final = 32 << 20
"""Most bytes of the text of one document."""
MOST_BLOCKS: Final = 400_000
_DROPPED: Final = frozenset({"Cc", "Cf", "Cs", "Co", "Cn"})
_ASCII_CONTROLS: Final = re.compile("[\x00-\x08\x0b-\x1f\x7f]")
_SPACES: Final = re.compile(r"[^\S\n\t]+")
_GAP: Final = "\n\n"


class TextBlock(msgspec.Struct, frozen=True):
    """A piece of structure.

    Attributes:
        kind: heading, paragraph, item, table or code.
        start, end: bytes of the text.
        level: of a heading, 1 for the highest.
        page: of its beginning, from 1; 0 without pages.
    """

    kind: str
    start: int
    end: int
    level: int = 0
    page: int = 0


class Extracted(msgspec.Struct, frozen=True):
    """Text read from a document.

    Attributes:
        pages: 0 where the format has none.
    """

    text: bytes
    blocks: tuple[TextBlock, ...]
    title: str = ""
    pages: int = 0
    empty_pages: int = 0
    warnings: tuple[str, ...] = ()


def cleaned(text: str) -> str:
    """Text without characters that are no text."""
    text = text.replace("\r\n", "\n").replace("\r", "\n").replace("\f", "\n").replace("\v", "\n")
    text = text.replace("\u2028", "\n").replace("\u2029", "\n").replace("\u0085", "\n")
    if text.isascii():
        text = _ASCII_CONTROLS.sub("", text)
    else:
        # A soft hyphen would split a word, and an invisible sign would hide one from the search.
        text = "".join(c for c in text if c in "\n\t" or unicodedata.category(c) not in _DROPPED)
        text = unicodedata.normalize("NFC", text)
    return _SPACES.sub(" ", text)


class Builder:
    """Puts a text together, block after block."""

    def __init__(self) -> None:
        self._text = bytearray()
        self._blocks: list[TextBlock] = []
        self.title = ""
        self.warnings: list[str] = []

    def add(self, kind: str, text: str, *, level: int = 0, page: int = 0) -> None:
        """Append a block that has a visible character; CollectionRefused (`document_too_large`)."""
        text = cleaned(text).strip()
        if not text:
            return
        if self._text:
            self._text += _GAP.encode()
        start = len(self._text)
        self._text += text.encode()
        if len(self._text) > MOST_TEXT or len(self._blocks) >= MOST_BLOCKS:
            message = f"The text has more than {MOST_TEXT >> 20} MiB or {MOST_BLOCKS} parts."
            raise CollectionRefused("document_too_large", message)
        self._blocks.append(TextBlock(kind, start, len(self._text), level, page))
        if kind == "heading" and not self.title:
            self.title = text.replace("\n", " ")[:200]

    def warn(self, warning: str) -> None:
        """Note a warning once, for people."""
        if warning not in self.warnings:
            self.warnings.append(warning)

    def done(self, *, pages: int = 0, empty_pages: int = 0) -> Extracted:
        if empty_pages:
            self.warn("empty_pages")
        text = bytes(self._text)
        if glued(text.decode()):
            self.warn("glued_words")
        return Extracted(
            text=text,
            blocks=tuple(self._blocks),
            title=cleaned(self.title).replace("\n", " ").strip()[:200],
            pages=pages,
            empty_pages=empty_pages,
            warnings=tuple(self.warnings),
        )


_LETTERS: Final = re.compile(r"[A-Za-z\u00c0-\u024f]+")


def glued(text: str) -> bool:
    """True if the spaces between words were lost: a tenth of the letters in words of over 25.

    German compounds stay far below that; a search finds no word of such a text.
    """
    words = _LETTERS.findall(text[: 1 << 20])
    letters = sum(map(len, words))
    return letters >= 200 and sum(len(w) for w in words if len(w) > 25) > letters / 10
