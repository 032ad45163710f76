"""Documents and passages in words."""

from appliance.wire.admin.collections import Passages, ReportList
from tests.tui.scripted import job, shelf
from tests.tui.staging import PASSAGES, REPORTED
from tui.text import cell
from tui.view import collections as view


def plain(parts: object) -> str:
    return "\n".join(part.plain for part in parts)  # type: ignore[attr-defined]


def test_a_row_says_what_became_of_the_last_ingest() -> None:
    one = shelf("manuals").collection
    failed = job(3, kind="ingest", state="failed", title="x into manuals")
    assert any("failed" in cell(part).plain for part in view.row(one, failed, 0.0))
    assert view.row(one, None, 0.0)[-1] == "-"


def test_refused_files_stand_first_and_long_lists_are_counted() -> None:
    shown = shelf("manuals")
    text = plain(view.detail(shown, REPORTED, 100))
    assert text.index("old/fax.pdf") < text.index("pump-7.pdf")
    many = shown.model_copy(update={"documents": shown.documents * 10})
    assert "and 8 more" in plain(view.detail(many, None, 100))
    refused = ReportList(documents=REPORTED.documents[:1] * 15)
    assert "and 3 more" in plain(view.detail(shown, refused, 100))


def test_passages_have_their_place() -> None:
    text = plain(view.passages(PASSAGES, 80))
    assert "Valves > Relief valve" in text and "page 12" in text and "from byte 900" in text
    nothing = Passages(generation=1, ranking="bm25", passages=[])
    assert plain(view.passages(nothing, 80)) == "Nothing was found."


def test_the_summary_counts() -> None:
    found = [shelf("a").collection, shelf("b", documents=3).collection]
    assert "2 collections, 5 documents" in view.summary(found, 2).plain
    assert "1 shown" in view.summary(found, 1).plain
