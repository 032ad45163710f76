"""`POST /v1/chat/completions`: what clients send and get; the rules are those of `generation`.

Source: OpenAI API reference, chat completions.
"""

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal, Self, TypeAlias

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from appliance.wire.generation import MOST_ALTERNATIVES, GenerationFields, Usage, characters
from appliance.wire.unsupported import (
    CHAT_FIELDS,
    MESSAGE_FIELDS,
    Unsupported,
    field_refused,
    refuse_unsupported,
)


class TextPart(BaseModel):
    """A part of a message's content."""

    type: Literal["text"]
    text: str


def _joined(content: Any) -> Any:
    """Text parts as one text; a part of another type is refused."""
    if not isinstance(content, list):
        return content
    texts = []
    for part in content:
        kind = part.get("type") if isinstance(part, dict) else None
        if isinstance(kind, str) and kind != "text":
            raise field_refused("unsupported_parameter", "", f"{kind}: models read text only")
        if kind != "text" or not isinstance(part.get("text"), str):
            raise ValueError('each part must be {"type": "text", "text": …}')
        texts.append(part["text"])
    return "\n".join(texts)


Content: TypeAlias = Annotated[
    str,
    AfterValidator(characters),
    BeforeValidator(_joined, json_schema_input_type=str | list[TextPart]),
]


class Message(BaseModel):
    """One message of a conversation."""

    model_config = ConfigDict(strict=True, extra="ignore")

    role: Literal["system", "developer", "user", "assistant", "tool"]
    content: Content

    @model_validator(mode="before")
    @classmethod
    def _supported(cls, data: Any) -> Any:
        return refuse_unsupported(data, MESSAGE_FIELDS)


class ChatRequest(GenerationFields):
    """The body of `POST /v1/chat/completions`."""

    refused: ClassVar[Mapping[str, Unsupported]] = CHAT_FIELDS

    messages: list[Message] = Field(min_length=1)
    logprobs: bool | None = None
    top_logprobs: int | None = Field(None, ge=0, le=MOST_ALTERNATIVES)

    @model_validator(mode="after")
    def _asked_together(self) -> Self:
        if self.top_logprobs and not self.logprobs:
            raise field_refused("invalid_value", "top_logprobs", "needs logprobs to be true")
        return self

    @property
    def alternatives(self) -> int | None:
        """How many log-probabilities to tell beside each token's own; None tells nothing."""
        return (self.top_logprobs or 0) if self.logprobs else None


class AssistantMessage(BaseModel):
    """The answer."""

    role: Literal["assistant"] = "assistant"
    content: str
    refusal: None = None


class Alternative(BaseModel):
    """A token that could have stood here; `bytes` are exact where its text is not."""

    token: str
    logprob: float
    bytes: list[int]


class ChatToken(Alternative):
    """One token of the answer, from the model's own distribution."""

    top_logprobs: list[Alternative]


class ChatLogprobs(BaseModel):
    """The log-probabilities of a choice, token by token."""

    content: list[ChatToken]
    refusal: None = None


class ChatChoice(BaseModel):
    """The answer and why it ended."""

    index: int = 0
    message: AssistantMessage
    logprobs: ChatLogprobs | None = None
    finish_reason: str


class ChatCompletion(BaseModel):
    """The answer to a chat request that is not streamed."""

    id: str
    object: Literal["chat.completion"] = "chat.completion"
    created: int
    model: str
    system_fingerprint: str
    choices: list[ChatChoice]
    usage: Usage
