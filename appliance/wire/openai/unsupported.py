"""Refusals of fields whose meaning would be lost; `fields` lists them.

Rules: a value that asks for nothing (null, the default, an empty list) always passes; a refusal
names the field and says what to do instead.
"""

from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple

from pydantic_core import PydanticCustomError


class Unsupported(NamedTuple):
    """A field: which values of it ask for nothing, and why all others are refused."""

    harmless: Callable[[Any], bool]
    reason: str


def absent(*defaults: Any) -> Callable[[Any], bool]:
    """True is no 1, although it equals it in Python."""
    return lambda value: value is None or any(_same(value, default) for default in defaults)


def _same(value: Any, default: Any) -> bool:
    numbers = {type(value), type(default)} <= {int, float}
    return (numbers or type(value) is type(default)) and bool(value == default)


def refuse_unsupported(data: Any, table: Mapping[str, Unsupported]) -> Any:
    """Pass `data` on if no field of the table asks for something.

    Raises:
        PydanticCustomError: `unsupported_parameter` with the field and the reason.
    """
    if isinstance(data, dict):
        for field in data:
            rule = table.get(field)
            if rule is not None and not rule.harmless(data[field]):
                raise field_refused("unsupported_parameter", field, rule.reason)
    return data


def refuse_spellings(data: Any, fields: Iterable[str], table: Mapping[str, Unsupported]) -> Any:
    """Refuse known fields in another spelling, as `maxTokens` is.

    Raises:
        PydanticCustomError: `unsupported_parameter` with the field, and what to use instead.
    """
    if not isinstance(data, dict) or not (others := [name for name in data if _odd(name)]):
        return data
    names = {name.replace("_", ""): name for name in (*table, *fields)}
    for field in others:
        name = names.get(field.lower().replace("_", "").replace("-", ""))
        if name is not None and data[field] is not None:
            other = f"its name is {name} here"
            reason = table[name].reason if name in table else other
            raise field_refused("unsupported_parameter", field, reason)
    return data


def _odd(name: str) -> bool:
    return "-" in name or name.lower() != name


def field_refused(code: str, field: str, reason: str) -> PydanticCustomError:
    """A refusal with a code of ours, for a validator to raise.

    Args:
        field: the name below the value being validated; empty for that value itself.
    """
    values = {"field": field, "reason": reason}
    return PydanticCustomError(code, "{field}: {reason}", values)
