"""JSON as it must be in anything that is signed: one meaning, bounded, or refused.

Rules: UTF-8 without a byte-order mark; no duplicate keys, NaN, infinity, overflowing number or lone
surrogate; size and depth bounded. Each format gives the error with its own code.
"""

import json
import math
from collections.abc import Callable, Mapping
from typing import Any, Final, TypeAlias, TypeVar

import msgspec

from appliance.errors import ApplianceError
from appliance.types import JsonValue

T = TypeVar("T")
Refuse: TypeAlias = Callable[[str], ApplianceError]
"""Makes the error for a sentence that says what is wrong."""

MAX_BYTES: Final = 4 << 20
MAX_DEPTH: Final = 16
# An integer of more digits fits into no field, and turning it into one takes quadratic time.
_MAX_DIGITS: Final = 19


def parse(
    data: bytes, refuse: Refuse, *, limit: int = MAX_BYTES, depth: int = MAX_DEPTH
) -> JsonValue:
    """Read one JSON document within these limits, or raise what `refuse` makes."""
    if len(data) > limit:
        raise refuse(f"{len(data)} bytes are more than {limit}")
    try:
        text = data.decode("utf-8")
        value: JsonValue = json.loads(
            text,
            object_pairs_hook=unique,
            parse_constant=_no_constant,
            parse_float=_finite,
            parse_int=_short,
        )
    except RecursionError as error:
        raise refuse("it is nested too deeply") from error
    except ValueError as error:  # UnicodeDecodeError and JSONDecodeError are ValueErrors
        raise refuse(f"it is not strict JSON: {error}") from error
    _check_tree(value, refuse, depth)
    return value


def decode(data: bytes, kind: type[T], refuse: Refuse, *, limit: int = MAX_BYTES) -> T:
    """Read one JSON document of a shape, types not converted; raises as `parse`."""
    value = parse(data, refuse, limit=limit)
    try:
        return msgspec.convert(value, kind)
    except msgspec.ValidationError as error:
        raise refuse(f"{error}") from error


def dump(value: object) -> bytes:
    """Compact UTF-8 JSON with sorted keys: the bytes that we sign."""
    return json.dumps(
        value, ensure_ascii=False, allow_nan=False, sort_keys=True, separators=(",", ":")
    ).encode()


def member(table: object, name: str, kind: type[T], refuse: Refuse) -> T:
    """The required member `name` of an object, of exactly this type (a bool is no int)."""
    if type(table) is not dict or name not in table:
        raise refuse(f"{name} is missing")
    value = table[name]
    if type(value) is not kind:
        raise refuse(f"{name} must be of type {kind.__name__}")
    checked: T = value
    return checked


def optional(table: object, name: str, kind: type[T], default: T, refuse: Refuse) -> T:
    """The member `name`, or `default` when it is absent."""
    if type(table) is dict and name not in table:
        return default
    return member(table, name, kind, refuse)


def strings(table: object, name: str, refuse: Refuse) -> tuple[str, ...]:
    """The member `name` as a list of distinct strings; empty when it is absent."""
    values: list[Any] = optional(table, name, list, [], refuse)
    if any(type(value) is not str for value in values) or len(set(values)) != len(values):
        raise refuse(f"{name} must be a list of distinct strings")
    return tuple(values)


def only(table: Mapping[str, JsonValue], known: set[str], where: str, refuse: Refuse) -> None:
    """Refuse unknown members: a rule that is not understood must not be skipped."""
    for name in table:
        if name not in known:
            raise refuse(f"{where} has an unknown field {name!r}")


def unique(pairs: list[tuple[str, JsonValue]]) -> dict[str, JsonValue]:
    """An object from its pairs. Raises ValueError for a repeated key."""
    table = dict(pairs)
    if len(table) != len(pairs):
        raise ValueError("a key occurs twice")
    return table


def _no_constant(name: str) -> float:
    raise ValueError(f"{name} is not a number")


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError("a number overflows")
    return number


def _short(text: str) -> int:
    if len(text) > _MAX_DIGITS:
        raise ValueError("an integer has too many digits")
    return int(text)


def _check_tree(value: object, refuse: Refuse, depth: int) -> None:
    level: list[object] = [value]
    for _ in range(depth):
        below: list[object] = []
        for node in level:
            if isinstance(node, dict):
                below += node.keys()
                below += node.values()
            elif isinstance(node, list):
                below += node
            elif isinstance(node, str) and not _encodable(node):
                raise refuse("a string holds a lone surrogate")
        if not below:
            return
        level = below
    raise refuse(f"it is nested more than {depth} deep")


def _encodable(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
