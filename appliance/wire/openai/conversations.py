"""`/v1/conversations`: what clients send and get.

Source: OpenAI API reference, conversations.
"""

from typing import Annotated, Any, Final, Literal, TypeAlias

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from appliance.wire.openai.generation import example
from appliance.wire.openai.responses_request import Item, Items, Metadata

MOST_AT_ONCE: Final = 20
_Some = Annotated[Items, Field(max_length=MOST_AT_ONCE)]
_Listed: TypeAlias = str | Annotated[list[Item], Field(max_length=MOST_AT_ONCE)] | None


def _as_list(value: Any) -> Any:
    return [] if value is None else value


class ConversationRequest(BaseModel):
    """The body of `POST /v1/conversations`, and of a change of its metadata."""

    model_config = ConfigDict(strict=True, extra="ignore", **example(metadata={"topic": "pumps"}))

    items: Annotated[_Some, BeforeValidator(_as_list, json_schema_input_type=_Listed)] = []
    metadata: Metadata | None = None


class ItemsRequest(BaseModel):
    """The body of `POST /v1/conversations/{id}/items`."""

    model_config = ConfigDict(
        strict=True, extra="ignore", **example(items=[{"role": "user", "content": "Hi"}])
    )

    items: Annotated[_Some, Field(min_length=1)]


class ConversationReply(BaseModel):
    """A conversation without its items."""

    id: str
    object: Literal["conversation"] = "conversation"
    created_at: int
    metadata: dict[str, str]


ShownItem: TypeAlias = dict[str, Any]


class ConversationItems(BaseModel):
    """Items of a conversation; without any, the ids are empty."""

    object: Literal["list"] = "list"
    data: list[ShownItem]
    has_more: bool
    first_id: str
    last_id: str


class RemovedConversation(BaseModel):
    """The reply of `DELETE /v1/conversations/{id}`."""

    id: str
    object: Literal["conversation.deleted"] = "conversation.deleted"
    deleted: Literal[True] = True
