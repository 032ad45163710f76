"""HTML: headings, paragraphs, list items, code and tables; scripts and styles are not text.

The standard library's parser is tolerant and keeps no tree, so nesting of any depth costs nothing.
"""

import re
from html.parser import HTMLParser
from typing import Final

from appliance.retrieval.extracted import Builder, Extracted
from appliance.retrieval.formats import DocumentFormat
from appliance.retrieval.formats.plain import decoded

FORMAT: Final = DocumentFormat("HTML", (".html", ".htm", ".xhtml"))
_SILENT: Final = frozenset(
    ("script", "style", "template", "noscript", "svg", "math", "iframe", "object", "select",
     "textarea", "head")
)  # fmt: skip
_HEADINGS: Final = {f"h{n}": n for n in range(1, 7)}
_BLOCKS: Final = frozenset(
    ("address", "article", "aside", "blockquote", "body", "br", "dd", "div", "dl", "dt",
     "figcaption", "figure", "footer", "form", "header", "hr", "html", "main", "nav", "ol", "p",
     "section", "ul")
)  # fmt: skip
_CHARSET: Final = re.compile(rb"<meta[^>]+charset=[\"']?([A-Za-z0-9_-]{1,40})", re.IGNORECASE)


class _Reader(HTMLParser):
    def __init__(self, builder: Builder) -> None:
        super().__init__(convert_charrefs=True)
        self._builder = builder
        self._held: list[str] = []
        self._kind, self._level = "paragraph", 0
        self._silent: list[str] = []
        self._table = 0
        self._title: list[str] | None = None

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag == "title" and not self._builder.title:
            self._title = []
        elif tag in _SILENT:
            self._silent.append(tag)
            if tag == "head":
                self._silent.pop()  # its end may be left out; what is in it is silent or a title
        elif self._silent:
            return
        elif self._table:
            self._in_table(tag)
        elif tag in _HEADINGS:
            self._begin("heading", _HEADINGS[tag])
        elif tag == "pre":
            self._begin("code")
        elif tag == "li":
            self._begin("item")
        elif tag == "table":
            self._begin("table")
            self._table = 1
        elif tag in _BLOCKS and self._kind != "code":
            self._begin("paragraph")

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag not in _SILENT:
            self.handle_starttag(tag, attrs)

    def handle_endtag(self, tag: str) -> None:
        if tag == "title" and self._title is not None:
            self._builder.title = " ".join("".join(self._title).split())
            self._title = None
        elif self._silent:
            if tag in self._silent:
                del self._silent[self._silent.index(tag) :]
        elif self._table:
            if tag == "table":
                self._table -= 1
                if not self._table:
                    self._begin("paragraph")
        elif tag in _HEADINGS or tag in _BLOCKS or tag in ("li", "pre"):
            self._begin("paragraph")

    def handle_data(self, data: str) -> None:
        if self._title is not None:
            self._title.append(data[:1_000])
        elif not self._silent:
            self._held.append(data if self._kind == "code" else re.sub(r"\s+", " ", data))

    def finish(self) -> None:
        self.close()
        self._begin("paragraph")

    def _begin(self, kind: str, level: int = 0) -> None:
        self._builder.add(self._kind, self._text(), level=self._level)
        self._held.clear()
        self._kind, self._level = kind, level

    def _text(self) -> str:
        text = "".join(self._held)
        if self._kind == "table":
            rows = (" | ".join(c.strip() for c in row.split("\t")) for row in text.split("\n"))
            return "\n".join(row.strip(" |") for row in rows if row.strip(" |"))
        return text if self._kind == "code" else " ".join(text.split())

    def _in_table(self, tag: str) -> None:
        if tag == "table":
            self._table += 1
        elif tag == "tr":
            self._held.append("\n")
        elif tag in ("td", "th"):
            self._held.append("\t")


def read(data: bytes) -> Extracted:
    """Read an HTML file."""
    builder = Builder()
    text = _decoded(data, builder)
    reader = _Reader(builder)
    reader.feed(text)
    reader.finish()
    return builder.done()


def _decoded(data: bytes, builder: Builder) -> str:
    named = _CHARSET.search(data[:4_096])
    if named and not data.startswith((b"\xef\xbb\xbf", b"\xff\xfe", b"\xfe\xff")):
        encoding = named[1].decode().lower()
        # The names by which a Latin encoding goes on the web; others are tried as UTF-8.
        if encoding in ("iso-8859-1", "latin1", "windows-1252", "iso-8859-15", "ascii", "us-ascii"):
            return data.decode("iso8859-15" if encoding.endswith("15") else "cp1252", "replace")
    return decoded(data, builder)
