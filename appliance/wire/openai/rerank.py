"""`POST /v1/rerank`: what clients send and get; the rules are those of `generation`.

Source: the rerank APIs of Jina AI and Cohere (v1), in what they share.
"""

from typing import Annotated, Any, ClassVar, Final, TypeAlias

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from appliance.wire.openai.embeddings import Text, TextUsage
from appliance.wire.openai.fields import RequestBody, Route
from appliance.wire.openai.generation import INT32, example

MOST_DOCUMENTS: Final = 1000


class Document(BaseModel):
    """A document as an object."""

    text: str


def _text_of(document: Any) -> Any:
    return document.get("text") if isinstance(document, dict) else document


DocumentText: TypeAlias = Annotated[
    Text, BeforeValidator(_text_of, json_schema_input_type=Text | Document)
]


class RerankRequest(RequestBody):
    """The body of `POST /v1/rerank`."""

    route: ClassVar[Route] = "rerank"

    model_config = ConfigDict(
        strict=True,
        extra="allow",  # the end user among it, which the log keeps
        **example(
            model="reranker",
            query="How is a leak stopped?",
            documents=["Replace the sealing ring.", "The contract ends in May."],
        ),
    )

    model: str = Field(min_length=1, max_length=256)
    query: Text
    documents: list[DocumentText] = Field(min_length=1, max_length=MOST_DOCUMENTS, fail_fast=True)
    top_n: int | None = Field(None, ge=1, le=INT32)
    return_documents: bool | None = None


class RerankResult(BaseModel):
    """One document: its place in the request, and how relevant it is, from 0 to 1."""

    index: int
    relevance_score: float
    document: Document | None = None


class RerankResponse(BaseModel):
    """The documents, most relevant first."""

    id: str
    model: str
    results: list[RerankResult]
    usage: TextUsage
