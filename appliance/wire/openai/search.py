"""`POST /v1/search`: passages of a collection that the key may read.

Rules: a passage is quoted exactly; its id, span and digest name it for good; nothing in an answer
says how many documents there are beside the readable ones.
"""

from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from appliance.wire.openai.characters import characters
from appliance.wire.openai.generation import example

MOST_PASSAGES = 50
_Word = Annotated[str, Field(min_length=1, max_length=64)]


class SearchRequest(BaseModel):
    """The body of `POST /v1/search`."""

    model_config = ConfigDict(
        strict=True,
        extra="forbid",
        **example(collection="manuals", query="When does the relief valve open?", limit=3),
    )

    collection: str = Field(min_length=1, max_length=64)
    query: Annotated[str, Field(min_length=1, max_length=8_192), AfterValidator(characters)]
    limit: int = Field(10, ge=1, le=MOST_PASSAGES)
    filters: dict[_Word, Annotated[str, Field(max_length=1_000)]] = Field(
        default_factory=dict, max_length=20, description="metadata that documents must have"
    )


class PassageFound(BaseModel):
    """A passage: bytes `start` to `end` of the text with the digest `text_sha256`."""

    object: Literal["passage"] = "passage"
    id: str
    document: str
    version: int
    title: str
    page: int = Field(description="0 where the format has no pages")
    heading: str
    start: int
    end: int
    sha256: str
    text_sha256: str
    score: float
    text: str


class SearchResult(BaseModel):
    """The passages, best first."""

    object: Literal["list"] = "list"
    collection: str
    generation: int = Field(description="the state of the collection that was searched")
    ranking: str
    data: list[PassageFound]
