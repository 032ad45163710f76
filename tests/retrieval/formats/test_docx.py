"""DOCX."""

import io
import zipfile

import pytest

from appliance.errors import CollectionRefused
from appliance.retrieval.formats import docx
from appliance.retrieval.formats.docx import read

NAMESPACE = 'xmlns:w="http://schemas.openxmlformats.org/wordprocessingml/2006/main"'


def paragraph(text: str, style: str = "", listed: bool = False) -> str:
    named = f'<w:pStyle w:val="{style}"/>' if style else ""
    numbered = "<w:numPr/>" if listed else ""
    return f"<w:p><w:pPr>{named}{numbered}</w:pPr><w:r><w:t>{text}</w:t></w:r></w:p>"


def document(
    *parts: str, name: str = "word/document.xml", before: str = "", encoding: str = "utf-8"
) -> bytes:
    xml = f"{before}<w:document {NAMESPACE}><w:body>{''.join(parts)}</w:body></w:document>"
    held = io.BytesIO()
    with zipfile.ZipFile(held, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(name, xml.encode(encoding))
    return held.getvalue()


SAMPLE = (document(paragraph("One", "Heading1"), paragraph("Two.")), b"One\n\nTwo.")


def test_structure_is_kept() -> None:
    cell = "<w:tc><w:p><w:r><w:t>{}</w:t></w:r></w:p></w:tc>"
    row = f"<w:tr>{cell.format('valve')}{cell.format('12 bar')}</w:tr>"
    done = read(
        document(
            paragraph("Manual", "Title"),
            paragraph("Relief", "Heading2"),
            paragraph("It opens<w:tab/>"),
            "<w:p><w:r><w:t>a</w:t><w:tab/><w:t>b</w:t></w:r></w:p>",
            paragraph("one", listed=True),
            f"<w:tbl>{row}</w:tbl>",
        )
    )
    found = [(b.kind, b.level, done.text[b.start : b.end].decode()) for b in done.blocks]
    assert found == [
        ("heading", 1, "Manual"),
        ("heading", 2, "Relief"),
        ("paragraph", 0, "It opens"),
        ("paragraph", 0, "a b"),
        ("item", 0, "one"),
        ("table", 0, "valve | 12 bar"),
    ]


BOMB = "<!DOCTYPE b [<!ENTITY a 'aaaa'><!ENTITY b '&a;&a;&a;'>]>"


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"PK\x03\x04 broken",
        document(name="other.xml"),
        document(before=BOMB),
        document("<w:p>"),
        document(paragraph("text"))[:-30],
    ],
    ids=["empty", "cut", "no part", "entities", "no xml", "no end"],
)
def test_what_is_no_docx_is_refused(data: bytes) -> None:
    with pytest.raises(CollectionRefused) as refused:
        read(data)
    assert refused.value.code == "document_unreadable"


DECLARED = '<?xml version="1.0" encoding="{}"?>'
ENCODINGS = {
    "utf-8": "utf-8", "utf-16": "utf-16", "utf-16-le": "utf-16", "utf-16-be": "utf-16",
    "latin-1": "iso-8859-1", "cp1252": "windows-1252",
}  # fmt: skip


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_a_declaration_of_a_type_is_refused_in_every_encoding(encoding: str) -> None:
    declared = DECLARED.format(ENCODINGS[encoding])
    with pytest.raises(CollectionRefused) as refused:
        read(document(paragraph("&b;"), before=declared + BOMB, encoding=encoding))
    assert refused.value.code == "document_unreadable"
    assert "document type" in refused.value.message
    good = read(document(paragraph("\u00e4 &lt;!DOCTYPE"), before=declared, encoding=encoding))
    assert good.text.decode() == "\u00e4 <!DOCTYPE"  # the control: without one it is read


@pytest.mark.parametrize("encoding", ["cp037", "utf-7", "utf-32", "none-such"])
def test_an_encoding_that_the_parser_does_not_know_is_refused(encoding: str) -> None:
    written = encoding if encoding != "none-such" else "utf-8"
    with pytest.raises(CollectionRefused) as refused:
        read(document(paragraph("a"), before=DECLARED.format(encoding), encoding=written))
    assert refused.value.code == "document_unreadable"


def test_an_archive_is_unpacked_up_to_a_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(docx, "MOST_XML", 10_000)
    bomb = document(paragraph(" " * 1_000_000))
    assert len(bomb) < 5_000
    with pytest.raises(CollectionRefused) as refused:
        read(bomb)
    assert refused.value.code == "document_too_large"
