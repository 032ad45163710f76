"""Functions on offer: accepted ones, the demands of a choice, calls in a history."""

import contextlib
import json
from typing import Any

import pytest
from pydantic import ValidationError
from pydantic_core import PydanticCustomError

from appliance.wire.openai import tools
from appliance.wire.openai.tools import MOST_PARAMETERS, Function, NamedTool, Tool, ToolCall, chosen

WEATHER = Function(name="weather", parameters={"properties": {"city": {"type": "string"}}})
NOW = Function(name="now")

WHOLE = {"city": 'Aalesund "north"', "at": {"day": [1, -2.5e1, None], "é\n": True}, "b": False}
ARGUMENTS = json.dumps(WHOLE)


def call(arguments: str) -> ToolCall:
    return ToolCall.model_validate(
        {"id": "call_1", "function": {"name": "weather", "arguments": arguments}}
    )


@pytest.mark.parametrize("name", ["", "a b", "a" * 65, "é", "a\n", "a/b"])
def test_a_name_is_short_and_plain(name: str) -> None:
    with pytest.raises(ValidationError):
        Function(name=name)
    assert Function(name="a.b:c_d-9").name == "a.b:c_d-9"


@pytest.mark.parametrize("schema", [{"type": "array"}, {"minimum": float("nan")}])
def test_parameters_are_a_schema_of_an_object(schema: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        Function(name="f", parameters=schema)


def test_a_schema_deeper_than_json_can_be_written_is_refused() -> None:
    schema: dict[str, Any] = {}
    for _ in range(100_000):
        schema = {"not": schema}
    with pytest.raises(ValidationError):
        Function.model_validate({"name": "f", "parameters": schema})


def test_parameters_that_no_context_has_room_for_are_refused() -> None:
    spent = len('{"type": "object", "title": ""}')
    for more, refused in ((0, False), (1, True)):
        schema = {"type": "object", "title": "a" * (MOST_PARAMETERS - spent + more)}
        with pytest.raises(ValidationError) if refused else contextlib.nullcontext():
            Function(name="f", parameters=schema)


def test_without_parameters_a_function_has_none() -> None:
    assert NOW.offered()["parameters"]["additionalProperties"] is False
    assert WEATHER.offered()["parameters"]["type"] == "object"


@pytest.mark.parametrize("kind", [Tool, NamedTool])
def test_tools_that_run_elsewhere_are_refused_by_name(kind: type[Tool | NamedTool]) -> None:
    with pytest.raises(ValidationError) as caught:
        kind.model_validate({"type": "web_search", "function": {"name": "f"}})
    error = caught.value.errors()[0]
    assert error["type"] == "unsupported_parameter" and "web_search" in error["msg"]
    kind.model_validate({"type": "function", "function": {"name": "f"}})


@pytest.mark.parametrize(
    ("choice", "name", "offered", "forced"),
    [
        (None, None, 2, ()),
        ("auto", None, 2, ()),
        ("required", None, 2, ("weather", "now")),
        (None, "now", 2, ("now",)),
        ("none", None, 0, ()),
    ],
)
def test_what_a_choice_demands(
    choice: str | None, name: str | None, offered: int, forced: tuple[str, ...]
) -> None:
    tools = chosen([WEATHER, NOW], choice, name, None)
    assert (len(tools.functions) if tools else 0) == offered
    assert tools is None or (tools.forced == forced and tools.parallel == (name is None))


@pytest.mark.parametrize(
    ("functions", "choice", "name", "asked", "several"),
    [
        ([WEATHER], "required", None, None, False),
        ([WEATHER], "required", None, True, True),
        ([WEATHER, NOW], "required", None, None, True),
        ([WEATHER, NOW], "required", None, False, False),
        ([WEATHER, NOW], None, "now", None, False),
        ([WEATHER, NOW], None, "now", True, False),
        ([WEATHER], "auto", None, None, True),
    ],
)
def test_a_demand_that_leaves_one_function_is_met_by_one_call(
    functions: list[Function],
    choice: str | None,
    name: str | None,
    asked: bool | None,
    several: bool,
) -> None:
    tools = chosen(functions, choice, name, asked)
    assert tools is not None and tools.parallel is several


def test_parallel_calls_can_be_turned_off() -> None:
    tools = chosen([WEATHER], None, None, False)
    assert tools is not None and not tools.parallel


@pytest.mark.parametrize(
    ("functions", "choice", "name", "field"),
    [
        ([WEATHER, WEATHER], None, None, "tools"),
        ([WEATHER], None, "now", "tool_choice"),
        ([], "required", None, "tool_choice"),
    ],
)
def test_a_choice_that_cannot_be_is_refused(
    functions: list[Function], choice: str | None, name: str | None, field: str
) -> None:
    with pytest.raises(PydanticCustomError) as caught:
        chosen(functions, choice, name, None)
    assert caught.value.context is not None and caught.value.context["field"] == field


def test_templates_get_the_arguments_of_a_call_as_an_object() -> None:
    assert call('{"city": "Oslo"}').spoken()["function"]["arguments"] == {"city": "Oslo"}
    assert call("").spoken()["function"]["arguments"] == {}


@pytest.mark.parametrize("cut", range(len(ARGUMENTS) + 1))
def test_a_call_that_was_cut_off_is_taken_back(cut: int) -> None:
    arguments = call(ARGUMENTS[:cut]).spoken()["function"]["arguments"]
    assert arguments.keys() <= WHOLE.keys()
    for key, value in list(arguments.items())[:-1]:  # the last may be cut off itself
        assert value == WHOLE[key]
    if cut == len(ARGUMENTS):
        assert arguments == WHOLE


@pytest.mark.parametrize(
    "arguments", ["[]", "1", "[" * 100_000, '{"a" 1', '{"a": 1}}', "{a", '{"a": NaN', '{"a": 1,,']
)
def test_arguments_that_are_no_object_are_refused(arguments: str) -> None:
    with pytest.raises(PydanticCustomError):
        call(arguments).spoken()


def test_arguments_that_are_too_long_are_refused_before_they_are_parsed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    longest = '{"a": "' + "x" * (tools.MOST_ARGUMENTS - 9) + '"}'
    assert call(longest).spoken()["function"]["arguments"].keys() == {"a"}  # the control
    monkeypatch.setattr("appliance.wire.openai.tools.json.loads", pytest.fail)
    with pytest.raises(PydanticCustomError) as caught:
        call(longest + " ").spoken()
    assert f"the limit is {tools.MOST_ARGUMENTS}" in str(caught.value)
