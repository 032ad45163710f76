"""The citations of a task's answer in the shapes that OpenAI's and Anthropic's clients read.

Rule: `x_appliance` has everything; these shapes carry what they have room for. A URL names the
collection, the document and the bytes; nothing answers it.
"""

from urllib.parse import quote

import msgspec

from appliance.serving.generation import ServedAnswer
from appliance.types import Citation, CitedFrom, JsonValue


def citations_of(generation: ServedAnswer) -> list[dict[str, JsonValue]] | None:
    """Annotations of a chat message; None unless a task with a collection answered."""
    cited = _cited(generation)
    if cited is None:
        return None
    return [
        {
            "type": "url_citation",
            "url_citation": {
                "start_index": one.at,
                "end_index": one.until,
                "title": one.title or one.document,
                "url": url(cited.collection, one),
            },
        }
        for one in cited.citations
    ]


def cited_files(generation: ServedAnswer) -> list[dict[str, JsonValue]]:
    """Annotations of a part of a response: `index` is where the quotation begins."""
    cited = _cited(generation)
    return [
        {
            "type": "file_citation",
            "file_id": one.passage,
            "filename": one.document,
            "index": one.at,
        }
        for one in (cited.citations if cited else ())
    ]


class CitedResult(msgspec.Struct, tag_field="type", tag="search_result_location"):
    """A citation of a block of text, as of a search result: a passage is a result of one block."""

    cited_text: str
    search_result_index: int
    source: str
    title: str
    start_block_index: int = 0
    end_block_index: int = 1


def cited_results(generation: ServedAnswer) -> list[CitedResult]:
    """The citations of a block of text."""
    cited = _cited(generation)
    if cited is None:
        return []
    return [
        CitedResult(
            one.quote, one.number - 1, url(cited.collection, one), one.title or one.document
        )
        for one in cited.citations
    ]


def url(collection: str, citation: Citation) -> str:
    """Address of the bytes of a citation."""
    name = quote(citation.document)
    return f"collection:{collection}/{name}#bytes={citation.start}-{citation.end}"


def _cited(generation: ServedAnswer) -> CitedFrom | None:
    return None if generation.about is None else generation.about.cited
