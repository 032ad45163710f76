"""`POST /v1/chat/completions`: what clients send and get; the rules are those of `generation`.

Source: OpenAI API reference, chat completions.
"""

from typing import Annotated, Any, ClassVar, Final, Literal, Self, TypeAlias

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    SerializerFunctionWrapHandler,
    model_serializer,
    model_validator,
)

from appliance.types import Tools
from appliance.wire.openai.characters import characters
from appliance.wire.openai.fields import REFUSED, Route
from appliance.wire.openai.generation import (
    MOST_ALTERNATIVES,
    GenerationFields,
    Usage,
    at_most,
    example,
)
from appliance.wire.openai.tools import (
    MOST_TOOLS,
    AllowedTools,
    NamedTool,
    Tool,
    ToolCall,
    ToolChoice,
    chosen,
)
from appliance.wire.openai.unsupported import field_refused, refuse_unsupported

_MOST_ARGUMENTS: Final = 16  # of a template
_TEXT_PARTS: Final = frozenset({"text", "refusal"})  # each has its text under its own name


class TextPart(BaseModel):
    """A part of a message's content."""

    type: Literal["text"]
    text: str


def _joined(content: Any) -> Any:
    """Text parts as one; a part of another type is refused."""
    if not isinstance(content, list):
        return content
    texts = []
    for part in content:
        kind = part.get("type") if isinstance(part, dict) else None
        if isinstance(kind, str) and kind not in _TEXT_PARTS:
            raise field_refused("unsupported_parameter", "", f"{kind}: models read text only")
        if not isinstance(kind, str) or not isinstance(part.get(kind), str):
            raise ValueError('each part must be {"type": "text", "text": …}')
        texts.append(part[kind])
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
    content: Content | None = None
    tool_calls: list[ToolCall] | None = Field(None, max_length=MOST_TOOLS, fail_fast=True)
    tool_call_id: str | None = None
    reasoning_content: str | None = None
    refusal: Annotated[str | None, AfterValidator(characters)] = None

    @model_validator(mode="before")
    @classmethod
    def _supported(cls, data: Any) -> Any:
        return refuse_unsupported(data, REFUSED["message"])

    @model_validator(mode="after")
    def _complete(self) -> Self:
        calls = self.role == "assistant" and bool(self.tool_calls)
        if self.content is None and self.role == "assistant" and self.refusal is not None:
            self.content = self.refusal
        if self.content is None and not calls:
            raise field_refused("invalid_value", "content", "is missing")
        for call in self.tool_calls or ():
            call.spoken()
        return self

    def spoken(self) -> dict[str, Any]:
        role = "system" if self.role == "developer" else self.role
        message: dict[str, Any] = {"role": role, "content": self.content or ""}
        if role == "assistant" and self.tool_calls:
            message["tool_calls"] = [call.spoken() for call in self.tool_calls]
        if role == "assistant" and self.reasoning_content:
            message["reasoning_content"] = self.reasoning_content
        if role == "tool" and self.tool_call_id is not None:
            message["tool_call_id"] = self.tool_call_id
        return message


class TemplateArguments(BaseModel):
    """`chat_template_kwargs`, as vLLM has it: the one argument that templates agree on."""

    model_config = ConfigDict(strict=True, extra="forbid")

    enable_thinking: bool | None = None


TemplateSettings: TypeAlias = Annotated[TemplateArguments, at_most(_MOST_ARGUMENTS)]


class ChatRequest(GenerationFields):
    """The body of `POST /v1/chat/completions`."""

    route: ClassVar[Route] = "chat"

    model_config = example(
        model="assistant",
        messages=[
            {"role": "system", "content": "Answer in one sentence."},
            {"role": "user", "content": "What does a check valve do?"},
        ],
        max_tokens=64,
    )

    messages: list[Message] = Field(min_length=1, fail_fast=True)
    logprobs: bool | None = None
    top_logprobs: int | None = Field(None, ge=0, le=MOST_ALTERNATIVES)
    tools: list[Tool] | None = Field(None, max_length=MOST_TOOLS, fail_fast=True)
    tool_choice: ToolChoice | None = None
    parallel_tool_calls: bool | None = None
    reasoning_effort: str | None = Field(None, max_length=32, description='"none" turns it off')
    chat_template_kwargs: TemplateSettings | None = None

    @model_validator(mode="after")
    def _possible_calls(self) -> Self:
        _ = self.offer  # what it refuses belongs to the body
        return self

    @property
    def offer(self) -> Tools | None:
        choice = self.tool_choice
        named = choice.function.name if isinstance(choice, NamedTool) else None
        functions = [tool.function for tool in self.tools or ()]
        mode, allowed = choice if isinstance(choice, str) else None, None
        if isinstance(choice, AllowedTools):
            mode = choice.allowed_tools.mode
            allowed = [tool.function.name for tool in choice.allowed_tools.tools]
        return chosen(functions, mode, named, self.parallel_tool_calls, allowed)

    @property
    def thinking(self) -> bool | None:
        """None leaves it to the model."""
        if self.chat_template_kwargs and self.chat_template_kwargs.enable_thinking is not None:
            return self.chat_template_kwargs.enable_thinking
        return False if self.reasoning_effort == "none" else None

    @model_validator(mode="after")
    def _asked_together(self) -> Self:
        if self.top_logprobs and not self.logprobs:
            raise field_refused("invalid_value", "top_logprobs", "needs logprobs to be true")
        return self

    @property
    def alternatives(self) -> int | None:
        return (self.top_logprobs or 0) if self.logprobs else None


class CitedUrl(BaseModel):
    """A document that a part of the answer is quoted from; the URL names its bytes."""

    start_index: int
    end_index: int
    title: str
    url: str


class Annotation(BaseModel):
    """A citation, in the shape that OpenAI's clients read."""

    type: Literal["url_citation"] = "url_citation"
    url_citation: CitedUrl


class AssistantMessage(BaseModel):
    """The answer."""

    role: Literal["assistant"] = "assistant"
    content: str | None
    refusal: None = None
    reasoning_content: str | None = None
    tool_calls: list[ToolCall] | None = None
    annotations: list[Annotation] | None = None

    @model_serializer(mode="wrap")
    def _without_absent(self, write: SerializerFunctionWrapHandler) -> dict[str, Any]:
        # SDKs tell "no calls" by the field that is not there.
        message: dict[str, Any] = write(self)
        optional = ("reasoning_content", "tool_calls", "annotations")
        absent = [k for k in optional if message.get(k) is None]
        return {key: value for key, value in message.items() if key not in absent}


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
