"""DOCX: paragraphs, headings by their style, list items and tables of a word processor's file.

Rules: only the main part is unpacked, up to a limit, so that an archive that unpacks without end
costs no more; a document type declaration is refused, since entities come with it.

Source: ECMA-376 part 1 (WordprocessingML).
"""

import io
import re
import zipfile
import zlib
from typing import Final
from xml.etree import ElementTree

from appliance.errors import CollectionRefused
from appliance.retrieval.extracted import MOST_TEXT, Builder, Extracted

MOST_XML: Final = 4 * MOST_TEXT
_PART: Final = "word/document.xml"
_W: Final = "{http://schemas.openxmlformats.org/wordprocessingml/2006/main}"
_STYLE: Final = re.compile(r"(?:Heading|berschrift|Titre|heading)\s*([1-6])$")


def prepare() -> None:
    """Load what the archive and the parser load at first use."""
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
    try:
        root = ElementTree.fromstring(_part(data))  # noqa: S314 - see above
    except ElementTree.ParseError as error:
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
    if b"<!DOCTYPE" in found or b"<!ENTITY" in found or found[:2] in (b"\xff\xfe", b"\xfe\xff"):
        raise _unreadable("Its main part declares a document type, or is not in UTF-8.")
    return found


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
