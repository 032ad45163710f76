"""Texts that end the strings of a schema, tried where a string may not end as it is. Pure.

Rules: an expression is narrowed to what it cannot do without, so that its text is short. Every end
of a text counts, too: the string may have begun with the rest. The masks decide on these proposals.
"""

import json
import re
from collections.abc import Iterable, Iterator
from typing import Any, Final

from appliance.types import JsonValue

_MOST: Final = 16  # expressions of one schema
_LONGEST: Final = 64  # characters of a text
_CLASS: Final = r"\\[^1-9]|\[(?:\\.|[^\]\\])*\]"
_ATOM: Final = rf"(?P<atom>{_CLASS}|\((?:{_CLASS}|[^\\\[()])*\)|[^\\\[\]()|^$*+?{{}}])"
_MAY_BE_MISSING: Final = re.compile(_ATOM + r"(?:\*|\?|\{0,[0-9]*\})\??", re.DOTALL)
_ONCE_OR_MORE: Final = re.compile(_ATOM + r"\+\??", re.DOTALL)
_AT_LEAST: Final = re.compile(_ATOM + r"(?P<least>\{[1-9][0-9]*),[0-9]*\}\??", re.DOTALL)

SHORTEST: Final[dict[str, tuple[str, ...]]] = {
    "uri": ("a:", "00", "::]", "::0.0.0.0]", "v0.0]"),
    "duration": ("PT0S", "P0D", "P0W", "0M", "0Y", "0H", "M0D"),
    "email": ("a@a", "a@a.a", '\\"@a', "::]", "0]", "IPv6:::]", "0.0.0.0]", "0.0.0]", "0.0]"),
}
"""Of the formats whose strings may not end everywhere and whose masks do not lead to an end."""


def endings(text: str) -> list[str]:
    """A text and each of its ends, the shortest first."""
    return [text[at:] for at in range(len(text) - 1, -1, -1)] if len(text) <= _LONGEST else []


def formats(schema: Any) -> list[str]:
    """The endings of strings whose formats a schema names."""
    named = [node.get("format") for node in _nodes(schema)]
    return [end for name in sorted(SHORTEST) if name in named for text in SHORTEST[name]
            for end in endings(text)]  # fmt: skip


def expressions(schema: Any) -> list[str]:
    """The expressions of a schema, each narrowed and holding for a whole string."""
    found: dict[str, None] = {}
    for node in _nodes(schema):
        names = node.get("patternProperties")
        for expression in [node.get("pattern"), *(names if isinstance(names, dict) else ())]:
            if isinstance(expression, str):
                found[whole(expression)] = None
    return list(found)[:_MOST]


def whole(expression: str) -> str:
    """An expression for a whole string, without its dispensable parts."""
    inner = expression
    for part, instead in (
        (_MAY_BE_MISSING, ""), (_ONCE_OR_MORE, r"\g<atom>"), (_AT_LEAST, r"\g<atom>\g<least>}"),
    ):  # fmt: skip
        inner = part.sub(instead, inner)
    inner = inner.removeprefix("^")
    if inner.endswith("$") and not inner.endswith(r"\$"):
        inner = inner[:-1]
    return f"^(?:{inner})$"


def _nodes(value: Any) -> Iterator[dict[str, JsonValue]]:
    left = [value]
    while left:
        value = left.pop()
        if isinstance(value, dict):
            yield value
            left += value.values()
        elif isinstance(value, list):
            left += [_loaded(one) for one in value]


def _loaded(value: Any) -> Any:
    if not isinstance(value, str) or not value.startswith(("[", "{")):
        return value
    try:
        return json.loads(value)
    except (ValueError, RecursionError):
        return value


def spelled(text: bytes, tokens: dict[bytes, int], longest: int) -> Iterable[int]:
    """Tokens that spell a text, the longest that fit; fewer where a byte has none."""
    at = 0
    while at < len(text):
        for size in range(min(longest, len(text) - at), 0, -1):
            token = tokens.get(text[at : at + size])
            if token is not None:
                yield token
                at += size
                break
        else:
            return
