"""JSON of a model directory, and its members by type. Pure.

Rules: a key that occurs twice is refused, since two readers could each take another one; a
member of another type than wanted is refused with its name. Integers that fit nowhere, such as a
longest text of 10^30 tokens, are floats.
"""

import json
import math
from typing import Any, Final, TypeVar

from appliance.errors import TuningRefused

T = TypeVar("T")
LARGEST: Final = 64 << 20
_DIGITS: Final = 18


def parse(data: bytes, name: str) -> dict[str, Any]:
    """The object that a file holds.

    Raises:
        TuningRefused: `convert_source`.
    """
    if len(data) > LARGEST:
        raise source(name, f"has more than {LARGEST >> 20} MiB")
    try:
        found = json.loads(
            data.decode("utf-8"),
            object_pairs_hook=_unique,
            parse_int=lambda text: int(text) if len(text) <= _DIGITS else float(text),
            parse_constant=_no_constant,
        )
    except RecursionError as error:
        raise source(name, "is nested too deeply") from error
    except ValueError as error:  # UnicodeDecodeError and JSONDecodeError are ValueErrors
        raise source(name, f"is not JSON: {error}") from error
    if not isinstance(found, dict):
        raise source(name, "holds no object")
    return found


def member(
    table: dict[str, Any], key: str, kind: type[T], name: str, default: T | None = None
) -> T:
    """A member of exactly this type; null counts as absent.

    Args:
        name: of the file, for the message.

    Raises:
        TuningRefused: `convert_source`.
    """
    value = table.get(key)
    if value is None and default is not None:
        return default
    if type(value) is not kind:
        raise source(name, f"has no {key[:60]} of the type {kind.__name__}")
    checked: T = value
    return checked


def whole(table: dict[str, Any], key: str, name: str, most: int, default: int | None = None) -> int:
    """A number from 1 to `most`. Raises TuningRefused (`convert_source`)."""
    value = member(table, key, int, name, default)
    if not 1 <= value <= most:
        raise source(name, f"says {key} = {value}, not 1 to {most}")
    return value


def real(table: dict[str, Any], key: str, name: str, default: float | None = None) -> float:
    """A finite number above 0. Raises TuningRefused (`convert_source`)."""
    value: Any = table.get(key, default)
    if type(value) not in (int, float) or not 0 < value < math.inf:
        raise source(name, f"says {key} = {str(value)[:40]}, no number above 0")
    return float(value)


def source(name: str, problem: str) -> TuningRefused:
    """The refusal of a file."""
    return TuningRefused("convert_source", f"{name} {problem}.")


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    table = dict(pairs)
    if len(table) != len(pairs):
        raise ValueError("a key occurs twice")
    return table


def _no_constant(text: str) -> float:
    raise ValueError(f"{text} is no number")
