"""DOCX: paragraphs, headings by their style, list items and tables of a word processor's file.

Rules: only the main part is unpacked, up to a limit, against archives that unpack without end; a
document type declaration is refused in every encoding, since entities come with it.

Source: ECMA-376 part 1 (WordprocessingML).
"""

import contextlib
import io
import re
import zipfile
import zlib
from typing import Final
from xml.etree import ElementTree
from xml.parsers import expat

from appliance.errors import CollectionRefused
from appliance.retrieval.extracted import MOST_TEXT, Builder, Extracted
from appliance.retrieval.formats import DocumentFormat

FORMAT: Final = DocumentFormat("DOCX", (".docx",))
MOST_XML: Final = 4 * MOST_TEXT
_PART: Final = "word/document.xml"
_W: Final = "{http://schemas.openxmlformats.org/wordprocessingml/2006/main}"
_STYLE: Final = re.compile(r"(?:Heading|berschrift|Titre|heading)\s*([1-6])$")


def prepare() -> None:
    """Load the archive's and the parser's lazy parts."""
    held = io.BytesIO()
    with zipfile.ZipFile(held, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(_PART, f'<w:document xmlns:w="{_W[1:-1]}"><w:body/></w:document>')
    read(held.getvalue())
    b"".decode("cp437")


def read(data: bytes) -> Extracted:
    """Read a DOCX file.

    Raises:
        CollectionRefused: `document_unreadable`, `document_too_large`.
    """
    builder = Builder()
    part = _part(data)
    try:
        _check_prolog(part)
        root = ElementTree.fromstring(part)  # noqa: S314 - see above
    except (ElementTree.ParseError, expat.ExpatError, ValueError, LookupError) as error:
        raise _unreadable("Its main part is no XML.") from error
    body = root.find(f"{_W}body")
    if body is None:
        raise _unreadable("It has no body.")
    _body(body, builder)
    return builder.done()


def _part(data: bytes) -> bytes:
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive, archive.open(_PART) as part:
            found = part.read(MOST_XML + 1)
    except (
        zipfile.BadZipFile, zlib.error, KeyError, RuntimeError, NotImplementedError, EOFError,
        OSError, ValueError,
    ) as error:  # fmt: skip
        raise _unreadable("It is no archive with a main part.") from error
    if len(found) > MOST_XML:
        raise CollectionRefused(
            "document_too_large", f"It unpacks to more than {MOST_XML >> 20} MiB."
        )
    return found


class _Begun(Exception):
    """The first element begins: no declaration can follow."""


def _check_prolog(part: bytes) -> None:
    """By the parser itself, so in any encoding that it reads.

    Raises:
        CollectionRefused: `document_unreadable`.
        ExpatError, ValueError, LookupError: it is no XML, or in an unknown encoding.
    """

    def declared(*_: object) -> None:
        raise _unreadable("Its main part declares a document type.")

    def begun(*_: object) -> None:
        raise _Begun

    parser = expat.ParserCreate()
    parser.StartDoctypeDeclHandler = declared
    parser.StartElementHandler = begun
    with contextlib.suppress(_Begun):
        parser.Parse(part, True)


def _body(body: ElementTree.Element, builder: Builder) -> None:
    for element in body:
        if element.tag == f"{_W}p":
            _paragraph(element, builder)
        elif element.tag == f"{_W}tbl":
            rows = []
            for row in element.iter(f"{_W}tr"):
                cells = (" ".join(_text(cell).split()) for cell in row.findall(f"{_W}tc"))
                rows.append(" | ".join(cells))
            builder.add("table", "\n".join(row for row in rows if row.strip(" |")))
        elif element.tag == f"{_W}sdt":
            inner = element.find(f"{_W}sdtContent")
            if inner is not None:
                for paragraph in inner.iter(f"{_W}p"):
                    _paragraph(paragraph, builder)


def _paragraph(element: ElementTree.Element, builder: Builder) -> None:
    style = element.find(f"{_W}pPr/{_W}pStyle")
    name = "" if style is None else style.get(f"{_W}val", "")
    if name in ("Title", "Titel", "Titre"):
        builder.add("heading", _text(element), level=1)
    elif heading := _STYLE.search(name):
        builder.add("heading", _text(element), level=int(heading[1]))
    else:
        listed = element.find(f"{_W}pPr/{_W}numPr") is not None
        builder.add("item" if listed else "paragraph", _text(element))


def _text(element: ElementTree.Element) -> str:
    parts = []
    for inner in element.iter():
        if inner.tag == f"{_W}t":
            parts.append(inner.text or "")
        elif inner.tag in (f"{_W}tab", f"{_W}br", f"{_W}cr"):
            parts.append(" ")
    return "".join(parts)


def _unreadable(message: str) -> CollectionRefused:
    return CollectionRefused("document_unreadable", message)
