"""PDF."""

import pytest

from appliance.errors import CollectionRefused
from appliance.retrieval.formats import pdf as reader
from tests.retrieval.pdfs import pdf

SAMPLE = (pdf([["One"], ["Two."]]), b"One\n\nTwo.")


def test_pages_and_words_are_kept() -> None:
    done = reader.read(pdf([["The relief valve", "opens at 12 bar."], [], ["Hoses."]], "Manual"))
    assert (done.title, done.pages, done.empty_pages) == ("Manual", 3, 1)
    assert done.warnings == ("empty_pages",)
    text = done.text.decode()
    assert "The relief valve\nopens at 12 bar." in text and "Hoses." in text
    assert [b.page for b in done.blocks] == [1, 3]


@pytest.mark.parametrize("data", [b"", b"%PDF-1.4", b"no", pdf([["a"]])[:40]])
def test_what_is_no_pdf_is_refused(data: bytes) -> None:
    with pytest.raises(CollectionRefused) as refused:
        reader.read(data)
    assert refused.value.code == "document_unreadable"


def test_pages_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reader, "MOST_PAGES", 2)
    with pytest.raises(CollectionRefused) as refused:
        reader.read(pdf([["a"]] * 3))
    assert refused.value.code == "document_too_large"
