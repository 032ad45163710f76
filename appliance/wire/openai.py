"""The OpenAI HTTP surface: what clients send and get.

Rules:
- Values are taken by their JSON type, never converted: "0.5" is no number and true is no 1.
- NaN and infinities are refused; so is everything out of range, naming the field.
- What `wire.unsupported` lists is refused; other unknown fields are ignored.
- The several spellings of a field (one string or a list, text or parts) become one here.

Source: OpenAI API reference, chat completions and completions; the extra fields are vLLM's.
"""

import re
from typing import Annotated, Any, Final, Literal, Self, TypeAlias

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from appliance.wire.constraints import ConstraintFields
from appliance.wire.unsupported import (
    MESSAGE_FIELDS,
    REQUEST_FIELDS,
    field_refused,
    refuse_unsupported,
)

_HALF_PAIR: Final = re.compile("[\ud800-\udfff]")
_INT32: Final = 2**31 - 1
_COMPLETION_TOKENS: Final = 16  # OpenAI's default for completions


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


def _as_list(stop: Any) -> Any:
    return [] if stop is None else [stop] if isinstance(stop, str) else stop


def _one_prompt(prompt: Any) -> Any:
    """One text or one list of token ids, out of the four forms of the API."""
    if isinstance(prompt, list) and prompt and isinstance(prompt[0], str | list):
        if len(prompt) > 1:
            why = "one prompt per request; send several requests"
            raise field_refused("unsupported_parameter", "", why)
        prompt = prompt[0]
    if not isinstance(prompt, str | list):
        raise ValueError("the prompt must be text or a list of token ids")
    if not prompt:
        raise ValueError("the prompt is empty")
    if isinstance(prompt, list) and not all(_is_token(token) for token in prompt):
        raise ValueError(f"token ids must be integers from 0 to {_INT32}")
    return prompt


def _is_token(value: Any) -> bool:
    return type(value) is int and 0 <= value <= _INT32


def _characters(text: Any) -> Any:
    # JSON can spell half of a surrogate pair, which is no character and has no UTF-8.
    if isinstance(text, str) and _HALF_PAIR.search(text):
        raise ValueError("the text has half of a surrogate pair")
    return text


Content: TypeAlias = Annotated[
    str,
    AfterValidator(_characters),
    BeforeValidator(_joined, json_schema_input_type=str | list[TextPart]),
]
StopString: TypeAlias = Annotated[str, Field(min_length=1, max_length=1000)]
Stop: TypeAlias = Annotated[
    list[StopString],
    BeforeValidator(_as_list, json_schema_input_type=StopString | list[StopString] | None),
    Field(max_length=16),
]
PromptText: TypeAlias = Annotated[str, Field(min_length=1)]
TokenIds: TypeAlias = Annotated[list[int], Field(min_length=1)]
Prompt: TypeAlias = Annotated[
    str | list[int],
    AfterValidator(_characters),
    BeforeValidator(_one_prompt, json_schema_input_type=PromptText | list[PromptText] | TokenIds),
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


class StreamOptions(BaseModel):
    """`include_usage`: one more chunk, with the token counts, ends the stream."""

    model_config = ConfigDict(strict=True, extra="ignore")

    include_usage: bool | None = None


class GenerationFields(ConstraintFields):
    """What chat and completions share.

    `max_completion_tokens` is the newer name and wins over `max_tokens`. `top_k` and `min_p`
    narrow sampling; `ignore_eos` and `min_tokens` keep a text from ending early.
    """

    model_config = ConfigDict(strict=True, extra="allow", allow_inf_nan=False)

    model: str = Field(min_length=1, max_length=256)
    max_tokens: int | None = Field(None, ge=1, le=_INT32)
    max_completion_tokens: int | None = Field(None, ge=1, le=_INT32)
    temperature: float | None = Field(None, ge=0, le=2)
    top_p: float | None = Field(None, gt=0, le=1)
    top_k: int | None = Field(None, ge=-1, le=_INT32, description="0 and -1 keep all tokens")
    min_p: float | None = Field(None, ge=0, le=1)
    seed: int | None = Field(None, ge=-(2**63), le=2**63 - 1)
    stop: Stop = Field(default_factory=list)
    n: int | None = Field(None, ge=1)
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    ignore_eos: bool | None = None
    min_tokens: int | None = Field(None, ge=0, le=_INT32)

    @model_validator(mode="before")
    @classmethod
    def _supported(cls, data: Any) -> Any:
        return refuse_unsupported(data, REQUEST_FIELDS)

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.min_tokens and self.token_limit and self.min_tokens > self.token_limit:
            raise field_refused("invalid_value", "min_tokens", "more than the most tokens allowed")
        return self

    @property
    def token_limit(self) -> int | None:
        """The most tokens to generate; None is as many as the context leaves."""
        return self.max_completion_tokens or self.max_tokens

    @property
    def include_usage(self) -> bool:
        """Whether a stream ends with the token counts."""
        return bool(self.stream_options and self.stream_options.include_usage)


class ChatRequest(GenerationFields):
    """The body of `POST /v1/chat/completions`."""

    messages: list[Message] = Field(min_length=1)


class CompletionRequest(GenerationFields):
    """The body of `POST /v1/completions`."""

    prompt: Prompt

    @property
    def token_limit(self) -> int | None:
        """The most tokens to generate; 16 when the client names no number."""
        return super().token_limit or _COMPLETION_TOKENS


class ErrorDetail(BaseModel):
    """What went wrong; `code` is stable, `param` names the field at fault."""

    message: str
    type: str
    param: str | None
    code: str


class ErrorResponse(BaseModel):
    """The body of every answer that is not 2xx."""

    error: ErrorDetail


class PromptTokensDetails(BaseModel):
    """Prompt tokens that did not have to be computed again."""

    cached_tokens: int


class Usage(BaseModel):
    """Token counts of one request."""

    prompt_tokens: int
    completion_tokens: int
    total_tokens: int
    prompt_tokens_details: PromptTokensDetails


class AssistantMessage(BaseModel):
    """The answer."""

    role: Literal["assistant"] = "assistant"
    content: str
    refusal: None = None


class ChatChoice(BaseModel):
    """The answer and why it ended."""

    index: int = 0
    message: AssistantMessage
    logprobs: None = None
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


class CompletionChoice(BaseModel):
    """The text and why it ended."""

    index: int = 0
    text: str
    logprobs: None = None
    finish_reason: str


class Completion(BaseModel):
    """The answer to a completion request that is not streamed."""

    id: str
    object: Literal["text_completion"] = "text_completion"
    created: int
    model: str
    system_fingerprint: str
    choices: list[CompletionChoice]
    usage: Usage


class Model(BaseModel):
    """A model that is being served; `max_model_len` is the context length in tokens."""

    id: str
    object: Literal["model"] = "model"
    created: int
    owned_by: str = "appliance"
    max_model_len: int
    meta: dict[str, Any] = Field(default_factory=dict)


class ModelList(BaseModel):
    """The models that the key may use."""

    object: Literal["list"] = "list"
    data: list[Model]


class EntryRef(BaseModel):
    """Where an audit entry stands in the log: sequence number and leaf hash in hex."""

    seq: int
    leaf: str


class ReceiptResponse(BaseModel):
    """The evidence of one request.

    `proof` is a proof document for the outcome (for the intent while there is no outcome), as
    `appliance audit check-proof` reads it; `checkpoint` is the newest signed head of the log.
    """

    request_id: str
    intent: EntryRef
    outcome: EntryRef | None
    proof: Any
    checkpoint: str


class Health(BaseModel):
    """A sign of life."""

    status: Literal["ok", "ready"]
