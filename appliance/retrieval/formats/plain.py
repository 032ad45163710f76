"""Plain text: paragraphs between empty lines."""

import codecs
import re
from typing import Final

from appliance.retrieval.extracted import Builder, Extracted
from appliance.retrieval.formats import DocumentFormat

FORMAT: Final = DocumentFormat("plain text", (".txt", ".text", ".log"))
_GAP: Final = re.compile(r"\n[ \t]*\n\s*")
_MARKS: Final = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)


def decoded(data: bytes, builder: Builder) -> str:
    """The text of a file: UTF-8, UTF-16 with a mark, otherwise Windows-1252 with a warning."""
    for mark, encoding in _MARKS:
        if data.startswith(mark):
            return data.decode(encoding, "replace")
    try:
        return data.decode()
    except UnicodeDecodeError:
        builder.warn("not_utf8")
        return data.decode("cp1252", "replace")


def read(data: bytes) -> Extracted:
    """Read a text file."""
    builder = Builder()
    text = decoded(data, builder).replace("\r\n", "\n").replace("\r", "\n")
    for paragraph in _GAP.split(text):
        builder.add("paragraph", paragraph)
    return builder.done()
