"""Dialects of tool calls: how a prompt describes functions, and how the model writes calls.

Rules: a template that knows tools is used as it is, if rendering a known call shows one of the two
ways of writing that `reply` reads. For any other, the functions are described in the system message
and calls and results become plain text: in Google's words and `json` for Gemma, in those of Hermes
for the rest.

Sources: Nous Research, Hermes-Function-Calling; the Llama 3.1 and Gemma 3 prompt documentation.
"""

import json
from collections.abc import Callable, Iterable
from typing import Any, Final, TypeAlias

from appliance.engine.text.reply import ARGUMENTS, CLOSE, OPEN, Dialect
from appliance.errors import BadRequest
from appliance.types import Tools

Message: TypeAlias = dict[str, Any]

_HERMES: Final = """\
# Tools

You may call one or more functions to assist with the user query.

You are provided with function signatures within <tools></tools> XML tags:
<tools>
{functions}
</tools>

For each function call, return a json object with function name and arguments within \
<tool_call></tool_call> XML tags:
<tool_call>
{{"name": <function-name>, "arguments": <args-json-object>}}
</tool_call>"""
_GEMMA: Final = """\
You have access to functions. If you decide to invoke any of the function(s), you MUST put it in \
the format of
{{"name": function name, "parameters": dictionary of argument name and its value}}

You SHOULD NOT include any other text in the response if you call a function
[
{functions}
]"""

PROBE: Final = Tools(
    (
        {
            "name": "probe_function",
            "description": "probe description",
            "parameters": {"type": "object", "properties": {"place": {"type": "string"}}},
        },
    )
)
PROBE_TALK: Final[tuple[Message, ...]] = (
    {"role": "user", "content": "probe question"},
    {
        "role": "assistant",
        "content": "",
        "tool_calls": [
            {
                "id": "call00001",
                "type": "function",
                "function": {"name": "probe_function", "arguments": {"place": "here"}},
            }
        ],
    },
    {"role": "tool", "tool_call_id": "call00001", "name": "probe_function", "content": "result 5"},
)


def native_dialect(render: Callable[[tuple[Message, ...], Tools], str]) -> Dialect:
    """The dialect of a template's own calls; "" when it has none that `reply` reads."""
    try:
        shown = "".join(render(PROBE_TALK, PROBE).split())
    except BadRequest:
        return ""
    if "probedescription" not in shown or "result5" not in shown:
        return ""
    name, arguments = '"name":"probe_function"', '{"place":"here"}'
    for inner in (f'{name},"arguments":{arguments}', f'"arguments":{arguments},{name}'):
        if f"{OPEN}{{{inner}}}{CLOSE}" in shown:
            return "hermes"
    if OPEN not in shown and f'{{{name},"parameters":{arguments}}}' in shown:
        return "json"
    return ""


def fallback_dialect(template: str) -> Dialect:
    """Choose the dialect of calls under a template that knows no tools."""
    return "json" if "<start_of_turn>" in template else "hermes"


def as_template_tools(tools: Tools) -> list[dict[str, Any]]:
    """The functions in the form of `apply_chat_template`."""
    return [{"type": "function", "function": function} for function in tools.functions]


def spelled_out(
    messages: Iterable[Message], tools: Tools | None, dialect: Dialect, *, system: bool
) -> tuple[Message, ...]:
    """A conversation with functions, calls and results for a template that knows none of them.

    Args:
        system: the template takes a system message; else its text goes into the first user message.
    """
    plain: list[Message] = []
    for message in messages:
        role, content = message["role"], message["content"]
        if role == "assistant" and message.get("tool_calls"):
            calls = [_written(call["function"], dialect) for call in message["tool_calls"]]
            content = "\n".join([content, *calls] if content else calls)
        spoken = {"role": role, "content": content}
        if role == "tool":
            spoken = {"role": "user", "content": f"<tool_response>\n{content}\n</tool_response>"}
        last = plain[-1] if plain else None
        # Templates want user and assistant in turn.
        if last and last["role"] == spoken["role"] == "user" and ("tool" in (role, _last(plain))):
            last["content"] += "\n" + spoken["content"]
        else:
            plain.append({**spoken, "was": role})
    if tools is not None:
        _describe(plain, _prompt(tools, dialect), system=system)
    return tuple({"role": m["role"], "content": m["content"]} for m in plain)


def _last(plain: list[Message]) -> str:
    return str(plain[-1]["was"])


def _describe(plain: list[Message], text: str, *, system: bool) -> None:
    first = plain[0] if plain else None
    if first and first["role"] == ("system" if system else "user"):
        parts = [first["content"], text] if system else [text, first["content"]]
        first["content"] = "\n\n".join(filter(None, parts))
    else:
        plain.insert(0, {"role": "system" if system else "user", "content": text})


def _prompt(tools: Tools, dialect: Dialect) -> str:
    if dialect == "json":
        functions = ",\n".join(_json(function) for function in tools.functions)
        return _GEMMA.format(functions=functions)
    functions = "\n".join(_json(function) for function in as_template_tools(tools))
    return _HERMES.format(functions=functions)


def _written(function: dict[str, Any], dialect: Dialect) -> str:
    call = _json({"name": function["name"], ARGUMENTS[dialect]: function["arguments"]})
    return call if dialect == "json" else f"{OPEN}\n{call}\n{CLOSE}"


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)
