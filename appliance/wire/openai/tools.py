"""Functions that a model may ask its client to call: `tools`, `tool_choice`, calls in a history.

Rules: functions only; a name is offered once; what `tool_choice` names must be on offer, and the
model hears only of what it allows; the parameters are a JSON schema of an object, which the engine
enforces where a call is demanded; `strict` changes nothing, since every schema is enforced then. A
history may hold every call that an answer can hold, also one that `length` cut off.

Source: OpenAI API reference, chat completions, function calling.
"""

import json
from collections.abc import Callable, Collection
from contextlib import suppress
from typing import Annotated, Any, Final, Literal, TypeAlias, get_args

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
)
from pydantic_core import from_json

from appliance.types import Tools
from appliance.wire.openai.characters import half_pair, may_spell_half
from appliance.wire.openai.unsupported import field_refused

MOST_TOOLS: Final = 128
MOST_ARGUMENTS: Final = 1 << 20
"""Characters of a call's arguments; no context has room for more."""
MOST_PARAMETERS: Final = 1 << 20
"""Characters of a function's parameters, likewise."""
_EMPTY: Final[dict[str, Any]] = {"type": "object", "properties": {}, "additionalProperties": False}

FunctionName: TypeAlias = Annotated[str, Field(pattern=r"^[a-zA-Z0-9_.:-]{1,64}$")]


def _of_an_object(schema: dict[str, Any]) -> dict[str, Any]:
    if schema.get("type", "object") != "object":
        raise ValueError('the parameters must be a JSON schema of "type": "object"')
    try:
        size = len(json.dumps(schema, allow_nan=False))
    except (ValueError, RecursionError) as error:
        raise ValueError("the schema has numbers or a depth that JSON has no room for") from error
    if size > MOST_PARAMETERS:  # before a template writes them, which takes a while
        raise ValueError(f"the schema has {size} characters; the limit is {MOST_PARAMETERS}")
    return {"type": "object", **schema}


Parameters: TypeAlias = Annotated[dict[str, Any], AfterValidator(_of_an_object)]


def only_functions(kind: Any, field: str = "") -> Any:
    """Pass on the type "function".

    Args:
        field: the name of the type below the value being validated.

    Raises:
        PydanticCustomError: `unsupported_parameter`.
    """
    if isinstance(kind, str) and kind != "function":
        raise field_refused("unsupported_parameter", field, f"{kind}: only functions can be called")
    return kind


FunctionType: TypeAlias = Annotated[Literal["function"], BeforeValidator(only_functions)]


class Function(BaseModel):
    """A function on offer."""

    model_config = ConfigDict(strict=True, extra="ignore")

    name: FunctionName
    description: str | None = None
    parameters: Parameters | None = None
    strict: bool | None = None

    def offered(self) -> dict[str, Any]:
        """As templates and the engine take it; without parameters it has none."""
        return {
            "name": self.name,
            "description": self.description or "",
            "parameters": _EMPTY if self.parameters is None else self.parameters,
        }


class Tool(BaseModel):
    """One of `tools`."""

    model_config = ConfigDict(strict=True, extra="ignore")

    type: FunctionType
    function: Function


class NamedFunction(BaseModel):
    """The function that must be called."""

    name: str


class NamedTool(BaseModel):
    """`tool_choice` that demands one function."""

    model_config = ConfigDict(strict=True, extra="ignore")

    type: FunctionType
    function: NamedFunction


Mode: TypeAlias = Literal["none", "auto", "required"]


class Allowed(BaseModel):
    """The mode, and the functions that it is about."""

    model_config = ConfigDict(strict=True, extra="ignore")

    mode: Literal["auto", "required"]
    tools: list[NamedTool] = Field(min_length=1, max_length=MOST_TOOLS, fail_fast=True)


class AllowedTools(BaseModel):
    """`tool_choice` that leaves some of the functions."""

    model_config = ConfigDict(strict=True, extra="ignore")

    type: Literal["allowed_tools"]
    allowed_tools: Allowed


def one_choice(named: type[BaseModel], allowed: type[BaseModel]) -> Callable[[Any], Any]:
    """A reader of `tool_choice`: a mode, a `named` or an `allowed`.

    It tells them apart itself: a union would name its own branches to the client.
    """

    def read(choice: Any) -> Any:
        if choice is None or isinstance(choice, named | allowed):
            return choice
        if isinstance(choice, str) and choice in get_args(Mode):
            return choice
        if isinstance(choice, dict):
            some = choice.get("type") == "allowed_tools"
            if not some:
                only_functions(choice.get("type"), "type")
            with suppress(ValidationError):
                return (allowed if some else named).model_validate(choice)
        raise ValueError('must be "none", "auto" or "required", or name functions')

    return read


ToolChoice: TypeAlias = Annotated[
    Mode | NamedTool | AllowedTools, BeforeValidator(one_choice(NamedTool, AllowedTools))
]


class CalledFunction(BaseModel):
    """Name and arguments of a call; the arguments are JSON in a text."""

    name: str
    arguments: str


class ToolCall(BaseModel):
    """A call that a model made, in an answer or a history."""

    model_config = ConfigDict(extra="ignore")

    id: str
    type: Literal["function"] = "function"
    function: CalledFunction

    def spoken(self) -> dict[str, Any]:
        """Arguments become an object. Raises PydanticCustomError (`invalid_value`)."""
        function = {"name": self.function.name, "arguments": self._arguments()}
        return {"id": self.id, "type": "function", "function": function}

    def _arguments(self) -> dict[str, Any]:
        """Of arguments that `length` cut off, what there is of the object."""
        text, found = self.function.arguments or "{}", None
        if len(text) > MOST_ARGUMENTS:  # before they are parsed, which takes a while
            why = f"arguments have {len(text)} characters; the limit is {MOST_ARGUMENTS}"
            raise field_refused("invalid_value", "tool_calls", why)
        try:
            found = json.loads(text)
        except json.JSONDecodeError as error:
            if error.msg != "Extra data":
                found = _cut_off(text)
        except (ValueError, RecursionError):
            pass
        if not isinstance(found, dict):
            raise field_refused("invalid_value", "tool_calls", "arguments must be a JSON object")
        if may_spell_half(text) and half_pair(found) is not None:
            why = "arguments have half of a surrogate pair"
            raise field_refused("invalid_value", "tool_calls", why)
        return found


def _cut_off(text: str) -> Any:
    """None where no JSON text continues like that."""
    try:
        return from_json(text, allow_partial="trailing-strings", allow_inf_nan=False)
    except (ValueError, TypeError):  # the latter where the text has no UTF-8
        return None


def chosen(
    functions: list[Function],
    choice: str | None,
    name: str | None,
    parallel: bool | None,
    allowed: Collection[str] | None = None,
) -> Tools | None:
    """None where nothing is offered.

    Args:
        choice: none, auto or required; None is auto.
        name: the one function that must be called, once.
        parallel: an answer may hold several calls. None: a demand for one function is met by one
            call.
        allowed: names of the functions that are left; None leaves all.

    Raises:
        PydanticCustomError: `invalid_value` for a name twice or a choice that is not on offer.
    """
    names = [function.name for function in functions]
    if len(set(names)) < len(names):
        raise field_refused("invalid_value", "tools", "two functions have the same name")
    if name is not None and name not in names:
        raise field_refused("invalid_value", "tool_choice", "this function is not in tools")
    if allowed is not None:
        if not set(allowed) <= set(names):
            raise field_refused("invalid_value", "tool_choice", "a function is not in tools")
        functions = [function for function in functions if function.name in allowed]
        names = [function.name for function in functions]
    if choice == "required" and not names:
        raise field_refused("invalid_value", "tool_choice", "there are no tools to call")
    if choice == "none" or not names:
        return None
    forced = (name,) if name is not None else tuple(names) if choice == "required" else ()
    several = parallel is not False
    if len(forced) == 1:
        several = bool(parallel) and name is None
    return Tools(tuple(f.offered() for f in functions), forced, several)
