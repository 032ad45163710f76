"""`POST /v1/embeddings`: what clients send and get.

Rules: text only, since token ids would be of another model's vocabulary; a vector is never cut,
since no model file says that it was trained for that; the rest as in `generation`.

Source: OpenAI API reference, embeddings.
"""

from functools import partial
from typing import Annotated, Any, ClassVar, Final, Literal, TypeAlias

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
)

from appliance.wire.openai.characters import characters
from appliance.wire.openai.fields import RequestBody, Route
from appliance.wire.openai.generation import INT32, example
from appliance.wire.openai.unsupported import field_refused

MOST_TEXTS: Final = 2048
"""Texts of one request, as in the OpenAI API."""


def as_texts(reason: str, value: Any) -> Any:
    """One text or several; `reason` refuses token ids."""
    if isinstance(value, str):
        return [value]
    if isinstance(value, list) and any(isinstance(item, int | list) for item in value):
        raise field_refused("unsupported_parameter", "", reason)
    return value


_NO_IDS: Final = (
    "token ids are of another model's vocabulary; send text"
    " (LangChain: check_embedding_ctx_length=False)"
)
Text: TypeAlias = Annotated[str, Field(min_length=1), AfterValidator(characters)]
Texts: TypeAlias = Annotated[
    list[Text],
    Field(min_length=1, max_length=MOST_TEXTS, fail_fast=True),
    BeforeValidator(partial(as_texts, _NO_IDS), json_schema_input_type=Text | list[Text]),
]


class EmbeddingRequest(RequestBody):
    """The body of `POST /v1/embeddings`; `dimensions` may only be the model's own number."""

    route: ClassVar[Route] = "embeddings"

    model_config = ConfigDict(
        strict=True,
        extra="allow",  # the end user among it, which the log keeps
        **example(model="embedder", input=["The pump leaks."], encoding_format="float"),
    )

    model: str = Field(min_length=1, max_length=256)
    input: Texts
    encoding_format: Literal["float", "base64"] | None = None
    dimensions: int | None = Field(None, ge=1, le=INT32)


class Embedding(BaseModel):
    """The vector of one text, of length 1; base64 has little-endian 32-bit floats."""

    object: Literal["embedding"] = "embedding"
    index: int
    embedding: list[float] | str


class TextUsage(BaseModel):
    """Token counts of a request that generates nothing."""

    prompt_tokens: int
    total_tokens: int


class EmbeddingList(BaseModel):
    """The vectors, in the order of the texts."""

    object: Literal["list"] = "list"
    data: list[Embedding]
    model: str
    usage: TextUsage
