"""Texts that have characters only: JSON can spell half of a surrogate pair, which has no UTF-8.

Rule: the place of a half is named; where the text came as JSON inside a text, the field is.
"""

import re
from typing import Any, Final, TypeAlias

Place: TypeAlias = tuple[str | int, ...]
"""Keys and indices from the outermost value inwards."""

_HALF_PAIR: Final = re.compile("[\ud800-\udfff]")


def characters(text: Any) -> Any:
    """Pass on a text of whole characters.

    Raises:
        ValueError: the text has half of a surrogate pair.
    """
    if isinstance(text, str) and _HALF_PAIR.search(text):
        raise ValueError("the text has half of a surrogate pair")
    return text


def half_pair(value: Any) -> Place | None:
    """Where in a JSON value a text or key has half of a surrogate pair; None where nothing has.

    A key that has one is named by the object that it stands in.
    """
    left: list[tuple[Place, Any]] = [((), value)]
    while left:
        place, found = left.pop()
        if isinstance(found, str):
            if _HALF_PAIR.search(found):
                return place
        elif isinstance(found, list):
            left += [((*place, index), item) for index, item in enumerate(found)]
        elif isinstance(found, dict):
            if any(map(_HALF_PAIR.search, found)):
                return place
            left += [((*place, key), item) for key, item in found.items()]
    return None
