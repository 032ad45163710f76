"""`POST /v1/messages` and its `count_tokens`: the requests, as conversations that templates take.

Rules: values are taken by their JSON type; a block, a tool or a choice that is no text, call or
result is refused by its name, and so is an answer that the client has begun; a message's parts that
are text become one, joined by line breaks.

Source: Anthropic API reference, messages.
"""

import json
from typing import Annotated, Any, ClassVar, Final, Literal, Self, TypeAlias

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    model_validator,
)

from appliance.types import Constraint, Tools
from appliance.wire.openai.characters import characters, half_pair, may_spell_half
from appliance.wire.openai.constraints import Schema, schema_constraint
from appliance.wire.openai.fields import RequestBody, Route
from appliance.wire.openai.generation import INT32, StopString, example
from appliance.wire.openai.tools import (
    MOST_ARGUMENTS,
    MOST_TOOLS,
    Function,
    FunctionName,
    Parameters,
    chosen,
)
from appliance.wire.openai.unsupported import field_refused

_MOST_STOPS: Final = 16
_KINDS: Final = frozenset({"text", "tool_use", "tool_result", "thinking", "redacted_thinking"})


def _known_kind(data: Any, kinds: frozenset[str]) -> Any:
    """Refuse a block of another type by its name."""
    kind = data.get("type") if isinstance(data, dict) else None
    if isinstance(kind, str) and kind not in kinds:
        raise field_refused("unsupported_parameter", "type", f"{kind}: models read text only")
    return data


class MessageText(BaseModel):
    """A block of text."""

    model_config = ConfigDict(strict=True, extra="ignore")

    type: Literal["text"]
    text: Annotated[str, AfterValidator(characters)]

    @model_validator(mode="before")
    @classmethod
    def _text_only(cls, data: Any) -> Any:
        return _known_kind(data, frozenset({"text"}))


def _as_texts(content: Any) -> Any:
    return [{"type": "text", "text": content}] if isinstance(content, str) else content


Texts: TypeAlias = Annotated[
    list[MessageText],
    Field(fail_fast=True),
    BeforeValidator(_as_texts, json_schema_input_type=str | list[MessageText]),
]


class TurnPart(BaseModel):
    """A part of a message: text, a call, its result, or the model's reasoning.

    `is_error` of a result changes nothing: its text says what went wrong.
    """

    model_config = ConfigDict(strict=True, extra="ignore")

    type: Literal["text", "tool_use", "tool_result", "thinking", "redacted_thinking"]
    text: Annotated[str | None, AfterValidator(characters)] = None
    thinking: Annotated[str | None, AfterValidator(characters)] = None
    id: str | None = Field(None, max_length=256)
    name: FunctionName | None = None
    input: dict[str, Any] | None = None
    tool_use_id: str | None = Field(None, max_length=256)
    content: Texts | None = None

    @model_validator(mode="before")
    @classmethod
    def _known(cls, data: Any) -> Any:
        return _known_kind(data, _KINDS)

    @model_validator(mode="after")
    def _complete(self) -> Self:
        needed = {
            "text": ("text",),
            "tool_use": ("id", "name", "input"),
            "tool_result": ("tool_use_id",),
            "thinking": ("thinking",),
            "redacted_thinking": (),
        }[self.type]
        for name in needed:
            if getattr(self, name) is None:
                raise field_refused("invalid_value", name, "is missing")
        if self.input is not None:
            text = json.dumps(self.input, ensure_ascii=False)
            if len(text) > MOST_ARGUMENTS:  # before they are looked through, which takes a while
                why = f"has {len(text)} characters; the limit is {MOST_ARGUMENTS}"
                raise field_refused("invalid_value", "input", why)
            if may_spell_half(text) and half_pair(self.input) is not None:
                raise field_refused("invalid_value", "input", "has half of a surrogate pair")
        return self


TurnParts: TypeAlias = Annotated[
    list[TurnPart],
    Field(fail_fast=True),
    BeforeValidator(_as_texts, json_schema_input_type=str | list[TurnPart]),
]


class Turn(BaseModel):
    """One message."""

    model_config = ConfigDict(strict=True, extra="ignore")

    role: Literal["user", "assistant", "system"]
    content: TurnParts

    @model_validator(mode="after")
    def _of_the_role(self) -> Self:
        own = {"assistant": _KINDS - {"tool_result"}, "user": {"text", "tool_result"}}
        for place, block in enumerate(self.content):
            if block.type not in own.get(self.role, {"text"}):
                why = f"{block.type} is no part of a message of the {self.role}"
                raise field_refused("invalid_value", f"content[{place}].type", why)
        return self

    def spoken(self) -> list[dict[str, Any]]:
        """For chat templates: results are own messages, and come first."""
        blocks: dict[str, list[TurnPart]] = {kind: [] for kind in _KINDS}
        for block in self.content:
            blocks[block.type].append(block)
        said: list[dict[str, Any]] = [
            {
                "role": "tool",
                "content": "\n".join(part.text for part in block.content or ()),
                "tool_call_id": block.tool_use_id,
            }
            for block in blocks["tool_result"]
        ]
        text = "\n".join(block.text or "" for block in blocks["text"])
        if text or not said:
            said.append({"role": self.role, "content": text})
        if calls := blocks["tool_use"]:
            said[-1]["tool_calls"] = [
                {
                    "id": call.id,
                    "type": "function",
                    "function": {"name": call.name, "arguments": call.input},
                }
                for call in calls
            ]
        if thoughts := blocks["thinking"]:
            said[-1]["reasoning_content"] = "\n".join(block.thinking or "" for block in thoughts)
        return said


class CustomTool(BaseModel):
    """One of `tools`."""

    model_config = ConfigDict(strict=True, extra="ignore")

    type: Literal["custom"] | None = None
    name: FunctionName
    description: str | None = None
    input_schema: Parameters

    @model_validator(mode="before")
    @classmethod
    def _only_custom(cls, data: Any) -> Any:
        kind = data.get("type") if isinstance(data, dict) else None
        if isinstance(kind, str) and kind != "custom":
            why = f"{kind}: only functions of the client can be called"
            raise field_refused("unsupported_parameter", "type", why)
        return data


class ToolDemand(BaseModel):
    """`tool_choice`."""

    model_config = ConfigDict(strict=True, extra="ignore")

    type: Literal["auto", "any", "tool", "none"]
    name: str | None = None
    disable_parallel_tool_use: bool | None = None

    @model_validator(mode="after")
    def _named(self) -> Self:
        if self.type == "tool" and self.name is None:
            raise field_refused("invalid_value", "name", "is missing")
        return self


class ThinkingChoice(BaseModel):
    """`thinking`; `budget_tokens` sets no limit of its own, `max_tokens` does."""

    model_config = ConfigDict(strict=True, extra="ignore")

    type: Literal["enabled", "disabled", "adaptive", "between_tools"]


class AnswerSchema(BaseModel):
    """`output_config.format`."""

    model_config = ConfigDict(strict=True, extra="ignore")

    type: Literal["json_schema"]
    schema_: Schema = Field(alias="schema")


class OutputSettings(BaseModel):
    """`output_config`; `effort` leaves it to the model."""

    model_config = ConfigDict(strict=True, extra="ignore")

    format: AnswerSchema | None = None
    effort: str | None = Field(None, max_length=32)


class Conversation(RequestBody):
    """The fields that say what the model reads."""

    route: ClassVar[Route] = "messages"

    model_config = ConfigDict(strict=True, extra="allow", allow_inf_nan=False)

    model: str = Field(min_length=1, max_length=256)
    messages: list[Turn] = Field(min_length=1, fail_fast=True)
    system: Texts | None = None
    tools: list[CustomTool] | None = Field(None, max_length=MOST_TOOLS, fail_fast=True)
    tool_choice: ToolDemand | None = None
    thinking: ThinkingChoice | None = None
    output_config: OutputSettings | None = None

    @model_validator(mode="after")
    def _possible(self) -> Self:
        _ = self.offer  # what it refuses belongs to the body
        if self.messages[-1].role == "assistant":
            why = "the last one is of the assistant; an answer is always begun here"
            raise field_refused("unsupported_parameter", "messages", why)
        return self

    @property
    def offer(self) -> Tools | None:
        choice = self.tool_choice or ToolDemand(type="auto")
        functions = [
            Function(name=tool.name, description=tool.description, parameters=tool.input_schema)
            for tool in self.tools or ()
        ]
        mode = {"auto": "auto", "any": "required", "none": "none"}.get(choice.type)
        parallel = False if choice.disable_parallel_tool_use else None
        named = choice.name if choice.type == "tool" else None
        return chosen(functions, mode, named, parallel)

    @property
    def reasons(self) -> bool | None:
        """None leaves it to the model."""
        return {"enabled": True, "disabled": False}.get(self.thinking.type if self.thinking else "")

    def spoken(self) -> tuple[dict[str, Any], ...]:
        said = [one for turn in self.messages for one in turn.spoken()]
        if self.system:
            text = "\n".join(part.text for part in self.system)
            said.insert(0, {"role": "system", "content": text})
        return tuple(said)


class CountRequest(Conversation):
    """The body of `POST /v1/messages/count_tokens`."""

    model_config = example(
        model="assistant",
        messages=[{"role": "user", "content": "What does a check valve do?"}],
    )


class RequestMetadata(BaseModel):
    """`metadata`."""

    model_config = ConfigDict(strict=True, extra="ignore")

    user_id: str | None = Field(None, max_length=1_000)


class MessagesRequest(Conversation):
    """The body of `POST /v1/messages`."""

    model_config = example(
        model="assistant",
        max_tokens=64,
        system="Answer in one sentence.",
        messages=[{"role": "user", "content": "What does a check valve do?"}],
    )

    max_tokens: int = Field(ge=1, le=INT32)
    stop_sequences: list[StopString] | None = Field(None, max_length=_MOST_STOPS, fail_fast=True)
    stream: bool | None = None
    temperature: float | None = Field(None, ge=0, le=2)
    top_k: int | None = Field(None, ge=-1, le=INT32)
    top_p: float | None = Field(None, gt=0, le=1)
    metadata: RequestMetadata | None = None

    @property
    def constraint(self) -> Constraint | None:
        """None when the answer is free text."""
        form = self.output_config.format if self.output_config else None
        return None if form is None else schema_constraint(form.schema_)
