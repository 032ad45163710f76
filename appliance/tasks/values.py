"""Answers as values alone: one a line in the order of the schema, and the JSON that they stand for.

Rules:
- Every property is a scalar: text, number, integer, boolean, a constant or one of a list, or null.
- A line holds the value as JSON would, but text is without quotes: `\\`, line feed, carriage return
  and tab are escaped by a backslash. An empty line is null where the schema allows null.
- Reading a written value gives it again, or it is refused.
"""

import json
import re
from collections.abc import Mapping
from typing import Any, Final

import msgspec

from appliance.errors import TaskRefused
from appliance.tasks.schemas import ObjectSchema, PropertySchema, Scalar
from appliance.types import JsonValue

_SCALARS: Final = frozenset({"string", "number", "integer", "boolean", "null"})
_ESCAPES: Final = {"\\": "\\\\", "\n": "\\n", "\r": "\\r", "\t": "\\t"}
_READ: Final = {written[1]: character for character, written in _ESCAPES.items()}
_TEXT: Final = r"(?:[^\\\n\r\t]|\\[\\nrt])"
_INTEGER: Final = r"-?(?:0|[1-9][0-9]{0,15})"
_NUMBER: Final = _INTEGER + r"(?:\.[0-9]{1,16})?"
_MAX_TEXT: Final = 2_000
"""Most characters of a text whose schema states no `maxLength`."""


def check(schema: ObjectSchema) -> None:
    """Raises TaskRefused (`task_schema_invalid`), naming the property."""
    for name in schema.names:
        try:
            found = schema.of(name)
        except msgspec.ValidationError as error:
            raise _unfit(name, "is not a scalar") from error
        if not found.types <= _SCALARS:
            raise _unfit(name, "is not a scalar")
        options = found.options or ()
        if any(isinstance(o, dict | list | float) for o in options):
            raise _unfit(name, "lists a value that is not text, an integer, a boolean or null")
        if "null" in found.types and "" in options:
            raise _unfit(name, "allows both null and the empty text, which would look alike")
        if found.pattern is not msgspec.UNSET or found.format is not msgspec.UNSET:
            raise _unfit(name, 'has a pattern or a format; use encoding = "json"')
    if schema.required != set(schema.names):
        raise TaskRefused(
            "task_schema_invalid",
            "Each property needs a value, so the schema must require each; let an optional one "
            "be null.",
        )


def expression(schema: ObjectSchema) -> str:
    """The regular expression of all answers, for the engine's constraint."""
    return r"\n".join(_pattern(schema.of(name)) for name in schema.names)


def write(schema: ObjectSchema, answer: Mapping[str, JsonValue]) -> str:
    """One value a line.

    Raises:
        TaskRefused: `task_answer_unfit`: the lines would not give the answer again.
    """
    text = "\n".join(_written(answer.get(name)) for name in schema.names)
    if not re.fullmatch(expression(schema), text) or read(schema, text) != dict(answer):
        raise TaskRefused(
            "task_answer_unfit",
            f"The expected answer {json.dumps(answer)[:200]} cannot be written as values.",
        )
    return text


def read(schema: ObjectSchema, text: str) -> dict[str, Scalar]:
    """Raises TaskRefused (`task_answer_invalid`): the lines do not match `expression`."""
    lines, names = text.split("\n"), schema.names
    if len(lines) != len(names):
        raise _unread(f"{len(lines)} lines for {len(names)} fields")
    return {
        name: _value(name, schema.of(name), line) for name, line in zip(names, lines, strict=True)
    }


def _pattern(found: PropertySchema) -> str:
    if found.options is not None:
        return "(?:" + "|".join(re.escape(_written(option)) for option in found.options) + ")"
    return "(?:" + "|".join(_typed(kind, found) for kind in sorted(found.types)) + ")"


def _typed(kind: str, found: PropertySchema) -> str:
    if kind == "string":
        # Beside null an empty line is null, so that a text has at least one character.
        least = max(found.least, int("null" in found.types))
        most = found.most if isinstance(found.most, int) else _MAX_TEXT
        return f"{_TEXT}{{{least},{most}}}"
    return {"number": _NUMBER, "integer": _INTEGER, "boolean": "true|false", "null": ""}[kind]


def _written(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, str):
        return "".join(_ESCAPES.get(c, c) for c in value)
    return json.dumps(value)


def _value(name: str, wanted: PropertySchema, line: str) -> Scalar:
    kinds, options = wanted.types, wanted.options
    if not re.fullmatch(_pattern(wanted), line):
        raise _unread(f"{line[:80]!r} is no value of {name!r}")
    if line == "" and "null" in kinds:
        return None
    if options is not None:
        found: Scalar = next(option for option in options if _written(option) == line)
        return found
    if "boolean" in kinds and line in ("true", "false"):
        return line == "true"
    if "integer" in kinds and re.fullmatch(_INTEGER, line):
        return int(line)
    if "number" in kinds and re.fullmatch(_NUMBER, line):
        return int(line) if re.fullmatch(_INTEGER, line) else float(line)
    return re.sub(r"\\(.)", lambda found: _READ[found[1]], line)


def _unfit(name: str, reason: str) -> TaskRefused:
    return TaskRefused("task_schema_invalid", f'With encoding = "values", {name!r} {reason}.')


_unread: Final = TaskRefused.of("task_answer_invalid", "The model's values cannot be read")
