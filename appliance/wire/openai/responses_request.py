"""`POST /v1/responses`: what clients send.

Rules: parts and items that are not text, calls or results are refused; tools that run on a server
are refused; an item may be named by the id that an earlier answer gave it.

Source: OpenAI API reference, responses.
"""

import re
from typing import Annotated, Any, ClassVar, Final, Literal, Self, TypeAlias

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    FailFast,
    Field,
    model_validator,
)

from appliance.types import Constraint, Tools
from appliance.wire.openai.characters import characters
from appliance.wire.openai.constraints import GrammarName, Schema, schema_constraint
from appliance.wire.openai.fields import RequestBody, Route
from appliance.wire.openai.generation import INT32, at_most, example
from appliance.wire.openai.tools import (
    MOST_TOOLS,
    CalledFunction,
    Function,
    FunctionType,
    Mode,
    ToolCall,
    chosen,
    one_choice,
    only_functions,
)
from appliance.wire.openai.unsupported import field_refused

_MOST_METADATA: Final = 16  # as in the OpenAI API
# The parts that are text, and where each has it.
_TEXT_PARTS: Final = {
    "input_text": "text", "output_text": "text", "text": "text", "refusal": "refusal",
}  # fmt: skip
_ITEM_ID: Final = re.compile("(?:msg|fc)_([0-9a-f]{32})_[0-9]+", re.ASCII)
_KINDS: Final = frozenset(
    {"message", "function_call", "function_call_output", "reasoning", "item_reference"}
)


def _joined(content: Any) -> Any:
    if not isinstance(content, list):
        return content
    texts = []
    for part in content:
        kind = part.get("type") if isinstance(part, dict) else None
        if not isinstance(kind, str):  # it may be what no set can hold
            kind = None
        if kind is not None and kind not in _TEXT_PARTS:
            raise field_refused("unsupported_parameter", "", f"{kind}: models read text only")
        text = part.get(_TEXT_PARTS[kind]) if kind is not None else None
        if not isinstance(text, str):
            raise ValueError('each part must be {"type": "input_text", "text": …}')
        texts.append(text)
    return "\n".join(texts)


class InputText(BaseModel):
    """A part of a message's content."""

    type: Literal["input_text", "output_text", "text"]
    text: str


Text: TypeAlias = Annotated[
    str,
    AfterValidator(characters),
    BeforeValidator(_joined, json_schema_input_type=str | list[InputText]),
]


class Item(BaseModel):
    """A message, call or output, the name of an earlier item, or reasoning, which is skipped."""

    model_config = ConfigDict(strict=True, extra="ignore")

    type: Literal[
        "message", "function_call", "function_call_output", "reasoning", "item_reference"
    ] = "message"
    id: str | None = None
    role: Literal["system", "developer", "user", "assistant"] | None = None
    content: Text | None = None
    call_id: str | None = None
    name: str | None = None
    arguments: str | None = None
    output: Text | None = None

    @model_validator(mode="before")
    @classmethod
    def _known(cls, data: Any) -> Any:
        kind = data.get("type") if isinstance(data, dict) else None
        if isinstance(kind, str) and kind not in _KINDS:
            raise field_refused("unsupported_parameter", "type", f"{kind} is not known here")
        if kind == "reasoning" and isinstance(data, dict):
            return {"type": kind, "id": data.get("id")}
        return data

    @model_validator(mode="after")
    def _complete(self) -> Self:
        needed = {
            "message": ("role", "content"),
            "function_call": ("call_id", "name", "arguments"),
            "function_call_output": ("call_id", "output"),
            "reasoning": (),
            "item_reference": ("id",),
        }[self.type]
        for name in needed:
            if getattr(self, name) is None:
                raise field_refused("invalid_value", name, "is missing")
        if self.type == "function_call":
            self.call()
        return self

    def listed(self, name: str) -> dict[str, Any]:
        shown = {"id": name, **self.model_dump(exclude_none=True)}
        if self.type == "message":
            kind = "output_text" if self.role == "assistant" else "input_text"
            more: dict[str, Any] = {"annotations": []} if self.role == "assistant" else {}
            shown["content"] = [{"type": kind, "text": self.content, **more}]
            shown["status"] = "completed"
        return shown

    def call(self) -> dict[str, Any]:
        function = CalledFunction(name=self.name or "", arguments=self.arguments or "")
        return ToolCall(id=self.call_id or "", function=function).spoken()


def response_of_item(name: str) -> str:
    """The id of the response that gave an item its id; "" for an id of another kind."""
    found = _ITEM_ID.fullmatch(name)
    return f"resp_{found[1]}" if found else ""


def _as_items(value: Any) -> Any:
    if isinstance(value, str) and value:
        return [{"role": "user", "content": value}]
    return [] if value == "" else value


Items: TypeAlias = Annotated[
    list[Item],
    FailFast(),
    BeforeValidator(_as_items, json_schema_input_type=str | list[Item]),
]


class FunctionTool(Function):
    """One of `tools`."""

    type: FunctionType

    @model_validator(mode="before")
    @classmethod
    def _only_functions(cls, data: Any) -> Any:
        if isinstance(data, dict):
            only_functions(data.get("type", "function"), "type")
        return data


class NamedChoice(BaseModel):
    """`tool_choice` that demands one function."""

    type: FunctionType
    name: str


class AllowedChoice(BaseModel):
    """`tool_choice` that leaves some of the functions."""

    model_config = ConfigDict(strict=True, extra="ignore")

    type: Literal["allowed_tools"]
    mode: Literal["auto", "required"]
    tools: list[NamedChoice] = Field(min_length=1, max_length=MOST_TOOLS, fail_fast=True)


Choice: TypeAlias = Annotated[
    Mode | NamedChoice | AllowedChoice, BeforeValidator(one_choice(NamedChoice, AllowedChoice))
]


class TextForm(BaseModel):
    """`text.format`."""

    model_config = ConfigDict(strict=True, extra="ignore")

    type: Literal["text", "json_object", "json_schema", "grammar"] = "text"
    name: str | None = None
    strict: bool | None = None
    schema_: Schema | None = Field(None, alias="schema")
    grammar: GrammarName | None = None

    @model_validator(mode="after")
    def _complete(self) -> Self:
        if self.type == "json_schema" and self.schema_ is None:
            raise field_refused("invalid_value", "schema", "is missing")
        if self.type == "grammar" and self.grammar is None:
            raise field_refused("invalid_value", "grammar", "is missing")
        return self


class TextSettings(BaseModel):
    """`text`."""

    model_config = ConfigDict(strict=True, extra="ignore")

    format: TextForm | None = None


class ReasoningSettings(BaseModel):
    """`reasoning`; the effort "none" turns it off."""

    model_config = ConfigDict(strict=True, extra="ignore")

    effort: str | None = Field(None, max_length=32)


Metadata: TypeAlias = Annotated[dict[str, str], at_most(_MOST_METADATA)]


class ConversationName(BaseModel):
    """A conversation by its id."""

    id: str = Field(min_length=1, max_length=128)


def _as_name(value: Any) -> Any:
    return {"id": value} if isinstance(value, str) else value


class ResponsesRequest(RequestBody):
    """The body of `POST /v1/responses`."""

    route: ClassVar[Route] = "responses"

    model_config = ConfigDict(
        strict=True,
        extra="allow",
        allow_inf_nan=False,
        **example(model="assistant", input="What does a check valve do?", max_output_tokens=64),
    )

    model: str = Field(min_length=1, max_length=256)
    input: Items
    instructions: Annotated[str | None, AfterValidator(characters)] = None
    max_output_tokens: int | None = Field(None, ge=1, le=INT32)
    temperature: float | None = Field(None, ge=0, le=2)
    top_p: float | None = Field(None, gt=0, le=1)
    stream: bool | None = None
    store: bool | None = None
    background: bool | None = None
    previous_response_id: str | None = Field(None, min_length=1, max_length=128)
    conversation: Annotated[
        ConversationName | None,
        BeforeValidator(_as_name, json_schema_input_type=str | ConversationName | None),
    ] = None
    metadata: Metadata | None = None
    text: TextSettings | None = None
    tools: list[FunctionTool] | None = Field(None, max_length=MOST_TOOLS, fail_fast=True)
    tool_choice: Choice | None = None
    parallel_tool_calls: bool | None = None
    reasoning: ReasoningSettings | None = None

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if not self.input:
            raise field_refused("invalid_value", "input", "is empty")
        if self.conversation is not None and self.previous_response_id is not None:
            raise field_refused("invalid_value", "conversation", "not with previous_response_id")
        if self.background and self.stream:
            reason = "a background response is read with GET, not streamed"
            raise field_refused("unsupported_parameter", "stream", reason)
        if self.background and self.store is False:
            raise field_refused("invalid_value", "store", "a background response is kept")
        _ = self.offer  # what it refuses belongs to the body
        return self

    @property
    def offer(self) -> Tools | None:
        choice = self.tool_choice
        named = choice.name if isinstance(choice, NamedChoice) else None
        mode, allowed = choice if isinstance(choice, str) else None, None
        if isinstance(choice, AllowedChoice):
            mode, allowed = choice.mode, [tool.name for tool in choice.tools]
        return chosen([*(self.tools or ())], mode, named, self.parallel_tool_calls, allowed)

    @property
    def constraint(self) -> Constraint | None:
        """None when the answer is free text."""
        form = self.text.format if self.text else None
        if form is None or form.type == "text":
            return None
        if form.type == "grammar" and form.grammar is not None:
            return Constraint("grammar", form.grammar)
        if form.schema_ is None:
            return Constraint("json_object")
        return schema_constraint(form.schema_)
