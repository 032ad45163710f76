"""PDF: the text of each page, by PDFium; paragraphs are lines that follow each other closely.

Rules: nothing of a document is executed, since the library is built without a script engine; pages
without text, most often scans, are counted; the number of pages is limited.
"""

import re
from types import ModuleType
from typing import Any, Final

from appliance.errors import CollectionRefused
from appliance.retrieval.extracted import Builder, Extracted
from appliance.retrieval.formats import DocumentFormat

FORMAT: Final = DocumentFormat("PDF", (".pdf",))
MOST_PAGES: Final = 20_000
_MOST_PAGE_TEXT: Final = 4_000_000
_HYPHEN: Final = re.compile("(?<=[a-z\u00df-\u00ff])[\ufffe\u0002\u00ad]\n?(?=[a-z\u00df-\u00ff])")
_GAP: Final = re.compile(r"\n[ \t]*\n\s*")


def prepare() -> None:
    """Load the library and its lazy parts, before the process opens no more files."""
    document = _pdfium().PdfDocument.new()
    document.new_page(10, 10)
    _page(document, 0, Builder())
    document.get_metadata_dict()
    document.close()
    "".encode("utf-16-le"), b"".decode("utf-16-le")


def read(data: bytes) -> Extracted:
    """Read a PDF file.

    Raises:
        CollectionRefused: `document_unreadable`, `document_too_large`.
    """
    builder = Builder()
    try:
        document = _pdfium().PdfDocument(data)
        pages = len(document)
    except _pdfium().PdfiumError as error:
        raise CollectionRefused(
            "document_unreadable", "PDFium cannot open it: it is damaged, or has a password."
        ) from error
    if pages > MOST_PAGES:
        message = f"It has {pages} pages; {MOST_PAGES} are the most."
        raise CollectionRefused("document_too_large", message)
    empty = 0
    builder.title = str(document.get_metadata_dict().get("Title", ""))[:200]
    for number in range(pages):
        text = _page(document, number, builder)
        empty += not text.strip()
        for paragraph in _GAP.split(text):
            builder.add("paragraph", paragraph, page=number + 1)
    return builder.done(pages=pages, empty_pages=empty)


def _pdfium() -> ModuleType:
    import pypdfium2

    return pypdfium2  # type: ignore[no-any-return]


def _page(document: Any, number: int, builder: Builder) -> str:
    try:
        page = document[number]
        text_page = page.get_textpage()
    except _pdfium().PdfiumError:
        builder.warn("broken_pages")
        return ""
    count = min(text_page.count_chars(), _MOST_PAGE_TEXT)
    text: str = text_page.get_text_range(0, count) if count > 0 else ""
    text_page.close()
    page.close()
    # A word that is divided at the end of a line comes with a mark that is no character.
    return _HYPHEN.sub("", text.replace("\r\n", "\n"))
