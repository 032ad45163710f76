"""The collections screen: documents, sizes, refusals, and passages of a search.

Rules: text of a document is data, shown safe; a passage comes with its place, so that a person can
look it up.
"""

from collections.abc import Sequence
from typing import Final

from textual.content import Content

from appliance.wire.admin.collections import (
    COLLECTION_TABLE,
    Collection,
    Passages,
    ReportList,
    Shown,
)
from appliance.wire.admin.jobs import Job
from tui.columns import Column, cells, listed
from tui.text import WHOLE, Cell, alarm, cell, indented, labelled, line, quiet, state
from tui.view.units import age, count, many, since

COLUMNS: Final = (
    listed(COLLECTION_TABLE, "NAME", 0, name="COLLECTION", least=14, most=40),
    listed(COLLECTION_TABLE, "DOCUMENTS", 9),
    listed(COLLECTION_TABLE, "CHUNKS", 9, drop=3),
    listed(COLLECTION_TABLE, "SIZE", 9, drop=2),
    listed(COLLECTION_TABLE, "RANKING", 8),
    listed(COLLECTION_TABLE, "EMBEDDER", 24, drop=1),
    Column("LAST INGEST", 14),
    Column("AGE", 6, right=True, drop=4),
)
_MOST: Final = 12
"""Documents and refused files that are shown at once."""


def row(found: Collection, last: Job | None, now: float) -> Sequence[Cell]:
    """One collection, and the newest job that brought documents in."""
    own: dict[str, Cell] = {"LAST INGEST": "-", "AGE": "-"}
    if last is not None:
        own = {"LAST INGEST": state(last.state), "AGE": age(since(last.created, now))}
    return cells(COLUMNS, found, own)


def summary(found: Sequence[Collection], shown: int) -> Content:
    """Write the counts."""
    documents = sum(each.documents for each in found)
    told = f"{many(len(found), 'collection')}, {many(documents, 'document')}"
    return line(told, quiet(f"{count(shown)} shown" if shown != len(found) else ""))


def detail(shown: Shown, report: ReportList | None, width: int) -> list[Content]:
    """The collection under the cursor: the newest job's refusals, then its documents."""
    said = []
    refused = [row for row in report.documents if row.state == "refused"] if report else []
    for row in refused[:_MOST]:
        why = f"{row.code}: {row.message}" if row.message else row.code
        said += labelled("refused", line(row.name, alarm(why)), width)
    if len(refused) > _MOST:
        said += labelled("", quiet(f"and {count(len(refused) - _MOST)} more"), width)
    for number, document in enumerate(shown.documents[:_MOST]):
        readers = ", ".join(document.access) or "no app"
        parts: list[Cell] = [
            document.name,
            quiet(f"{many(document.pages, 'page')}" * bool(document.pages)),
        ]
        parts += [quiet(readers), *(alarm(word) for word in document.warnings)]
        said += labelled("documents" if not number else "", line(*parts), width)
    if len(shown.documents) > _MOST:
        said += labelled("", quiet(f"and {count(len(shown.documents) - _MOST)} more"), width)
    return said


def passages(found: Passages, width: int) -> list[Content]:
    """A search's passages, best first."""
    if not found.passages:
        return [cell("Nothing was found.")]
    said: list[Content] = []
    for number, passage in enumerate(found.passages, 1):
        place = f"page {passage.page}" if passage.page else f"from byte {passage.start}"
        told = line(cell(f"{number}. {passage.document}", "bold"), quiet(place))
        said.append(told if not passage.heading else line(told, quiet(passage.heading)))
        for text in passage.text[:WHOLE].splitlines():
            said += indented(text, width) if text.strip() else []
    return said
