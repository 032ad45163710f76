"""Texts of whole characters: JSON can spell half of a surrogate pair, which has no UTF-8.

Rule: a refusal names the place of the half; where the text came as JSON inside a text, the field.
"""

import re
from collections.abc import Iterable
from typing import Any, Final, TypeAlias

JsonPath: TypeAlias = tuple[str | int, ...]
"""Keys and indices from the outermost value inwards."""

_ESCAPED: Final = re.compile(r"\\u[dD][89a-fA-F]|[\ud800-\udfff]")
_HALF_PAIR: Final = re.compile("[\ud800-\udfff]")


def characters(text: Any) -> Any:
    """Raises ValueError: the text has half of a surrogate pair."""
    if isinstance(text, str) and _HALF_PAIR.search(text):
        raise ValueError("the text has half of a surrogate pair")
    return text


def half_pair(value: Any) -> JsonPath | None:
    """Place of half of a surrogate pair, if any.

    A key is named by its object.
    """
    if isinstance(value, str):
        return () if _HALF_PAIR.search(value) else None
    left: list[tuple[JsonPath, Any]] = [((), value)]
    while left:
        place, found = left.pop()
        if isinstance(found, dict):
            if any(map(_HALF_PAIR.search, found)):
                return place
            items: Iterable[tuple[str | int, Any]] = found.items()
        elif isinstance(found, list):
            items = enumerate(found)
        else:
            continue
        for key, item in items:  # a place is spelled out only where it is needed
            if isinstance(item, str):
                if _HALF_PAIR.search(item):
                    return (*place, key)
            elif isinstance(item, dict | list):
                left.append(((*place, key), item))
    return None


def may_spell_half(text: str) -> bool:
    """It would be an escape."""
    return _ESCAPED.search(text) is not None
