"""`POST /v1/search`: passages of a collection that the key may read.

Rules: a passage is quoted exactly; its id, span and digest name it for good; an answer does not
reveal how many unreadable documents there are.
"""

from typing import Annotated, Final, Literal, TypeAlias

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from appliance.wire.openai.characters import characters
from appliance.wire.openai.generation import at_most, example, few_fields

MOST_PASSAGES = 50
_MOST_FILTERS: Final = 20
_Word = Annotated[str, Field(min_length=1, max_length=64)]
_Filters: TypeAlias = Annotated[
    dict[_Word, Annotated[str, Field(max_length=1_000)]], at_most(_MOST_FILTERS)
]


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
    filters: _Filters = Field(
        default_factory=dict,
        max_length=_MOST_FILTERS,
        description="metadata that documents must have",
    )

    _few = model_validator(mode="before")(few_fields)


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
    generation: int = Field(description="the state of the documents that the key may read")
    ranking: str
    nonce: str = Field(description="opens what the audit log says of the passages; keep it")
    data: list[PassageFound]
