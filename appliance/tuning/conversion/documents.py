"""JSON of a model directory, and its members by type. Pure.

Rules: a repeated key is refused, since two readers could each take another one. Integers that fit
nowhere, such as a longest text of 10^30 tokens, are floats.
"""

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, TypeVar

from appliance.errors import TuningRefused
from appliance.trust.bytes import strict_json

T = TypeVar("T")
LARGEST: Final = 64 << 20
_DIGITS: Final = 18


@dataclass(frozen=True)
class Members:
    """An object of a file, `file` by name; its members raise TuningRefused (`convert_source`)."""

    file: str
    members: Mapping[str, object]

    def get(self, key: str, default: object = None) -> object:
        return self.members.get(key, default)

    def member(self, key: str, kind: type[T], default: T | None = None) -> T:
        """A member of exactly this type; null counts as absent."""
        value = self.get(key)
        if value is None and default is not None:
            return default
        if type(value) is not kind:
            raise source(self.file, f"has no {key[:60]} of the type {kind.__name__}")
        checked: T = value
        return checked

    def table(self, key: str, default: Mapping[str, object] | None = None) -> "Members":
        return Members(self.file, self.member(key, dict, default and dict(default)))

    def whole(self, key: str, most: int, default: int | None = None) -> int:
        value = self.member(key, int, default)
        if not 1 <= value <= most:
            raise source(self.file, f"says {key} = {value}, not 1 to {most}")
        return value

    def real(self, key: str, default: float | None = None) -> float:
        value = self.get(key, default)
        number = value if isinstance(value, int | float) and value is not True else 0
        if not 0 < number < math.inf:
            raise source(self.file, f"says {key} = {str(value)[:40]}, no number above 0")
        return float(number)


def parse(data: bytes, name: str) -> Members:
    """Raises TuningRefused (`convert_source`)."""
    if len(data) > LARGEST:
        raise source(name, f"has more than {LARGEST >> 20} MiB")
    try:
        found = json.loads(
            data.decode("utf-8"),
            object_pairs_hook=strict_json.unique,
            parse_int=lambda text: int(text) if len(text) <= _DIGITS else float(text),
            parse_constant=_no_constant,
        )
    except RecursionError as error:
        raise source(name, "is nested too deeply") from error
    except ValueError as error:  # UnicodeDecodeError and JSONDecodeError are ValueErrors
        raise source(name, f"is not JSON: {error}") from error
    if not isinstance(found, dict):
        raise source(name, "holds no object")
    return Members(name, found)


def source(name: str, problem: str) -> TuningRefused:
    """The refusal of a file."""
    return TuningRefused("convert_source", f"{name} {problem}.")


def _no_constant(text: str) -> float:
    raise ValueError(f"{text} is no number")
