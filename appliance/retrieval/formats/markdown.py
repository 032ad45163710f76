"""Markdown: headings, fenced code, tables, list items; the rest is paragraphs.

The marks inside of a line stay as they are: they are few, and a quotation must match the source.
"""

import re
from typing import Final

from appliance.retrieval.extracted import Builder, Extracted
from appliance.retrieval.formats import DocumentFormat
from appliance.retrieval.formats.plain import decoded

FORMAT: Final = DocumentFormat("Markdown", (".md", ".markdown"))
_HEADING: Final = re.compile(r" {0,3}(#{1,6})[ \t]+(.*?)[ \t]*#*[ \t]*")
_FENCE: Final = re.compile(r" {0,3}(`{3,}|~{3,})")
_ITEM: Final = re.compile(r"[ \t]*([-*+]|\d{1,9}[.)])[ \t]+\S")
_UNDERLINE: Final = re.compile(r" {0,3}(=+|-+)[ \t]*")


def read(data: bytes) -> Extracted:
    """Read a Markdown file."""
    builder = Builder()
    lines = decoded(data, builder).replace("\r\n", "\n").replace("\r", "\n").split("\n")
    held: list[str] = []
    kind, fence = "paragraph", ""

    def flush() -> None:
        builder.add(kind, "\n".join(held))
        held.clear()

    for line in lines:
        opened = _FENCE.match(line)
        if fence:
            if opened and opened[1].startswith(fence):
                flush()
                kind, fence = "paragraph", ""
            else:
                held.append(line)
        elif opened:
            flush()
            kind, fence = "code", opened[1]
        elif heading := _HEADING.fullmatch(line):
            flush()
            kind = "paragraph"
            builder.add("heading", heading[2], level=len(heading[1]))
        elif not line.strip():
            flush()
            kind = "paragraph"
        elif len(held) == 1 and kind == "paragraph" and _UNDERLINE.fullmatch(line):
            builder.add("heading", held.pop(), level=1 if "=" in line else 2)
        else:
            row = line.lstrip().startswith("|")
            if _ITEM.match(line):
                flush()
                kind = "item"
            elif row != (kind == "table"):
                flush()
                kind = "table" if row else "paragraph"
            held.append(line)
    flush()
    return builder.done()
