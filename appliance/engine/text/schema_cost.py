"""Schemas that take exponential or very long time to compile, by what they combine. Pure.

Rules: few patterns hold for one value at once, since their intersection is searched; a divisor is
small but for its factors of ten, since each remainder is a state of an automaton; few alternatives
continue in one place, since compiling is quadratic in them and the masks know at most 2,000; lists
and objects that are data are few. The limits were found by trying (llguidance 1.9).
"""

from collections import Counter
from collections.abc import Iterator
from decimal import Decimal, InvalidOperation
from typing import Any, Final, TypeAlias

from appliance.types import JsonValue

MOST_TOGETHER: Final = 3
MOST_NAMES: Final = 64
LARGEST_DIVISOR: Final = 1 << 16
MOST_DATA: Final = 1000
_SHORT: Final = 16
MOST_NEXT: Final = 2000
"""As llguidance counts: `_OF_PROPERTY` for each optional property, `_OF_ANY` for an alternative."""
_OF_PROPERTY: Final = 4
_OF_ANY: Final = 7

Path: TypeAlias = tuple[str | int, ...]


def costly(schema: Any) -> str:
    """Why a schema takes too long to compile; "" when it does not."""
    patterns: Counter[Path] = Counter()
    divisors: Counter[Path] = Counter()
    referring = data = 0
    for path, node in _nodes(schema):
        members = node.get("enum")
        for one in (node.get("const"), *(members if isinstance(members, list) else ())):
            data += _data(one)
        if data > MOST_DATA:
            return f"const and enum have more than {MOST_DATA} lists and objects, or long ones"
        if _next(node) > MOST_NEXT:
            return (
                "too much may come next: fewer optional properties, or fewer alternatives in anyOf"
            )
        patterns[path] += "pattern" in node or "format" in node
        referring += "$ref" in node and len(node) > 1
        names = node.get("patternProperties")
        if isinstance(names, dict) and len(names) > MOST_NAMES:
            return f"patternProperties has more than {MOST_NAMES} patterns"
        divisors[path] = max(divisors[path], 1) * _remainders(node.get("multipleOf"))
        if divisors[path] > LARGEST_DIVISOR:
            return f"multipleOf is larger than {LARGEST_DIVISOR} but for factors of ten"
    most = max(patterns.values(), default=0)
    if most > MOST_TOGETHER or (referring and sum(patterns.values()) > 8 * MOST_TOGETHER):
        return f"more than {MOST_TOGETHER} patterns hold for one value"
    return ""


def _nodes(schema: Any) -> Iterator[tuple[Path, dict[str, JsonValue]]]:
    """The objects of a schema; those that `allOf` combines have the same path."""
    left: list[tuple[Path, Any]] = [((), schema)]
    while left:
        path, value = left.pop()
        if isinstance(value, dict):
            yield path, value
            for key, item in value.items():
                if key == "allOf" and isinstance(item, list):
                    left += [(path, part) for part in item]
                elif isinstance(item, dict | list):
                    left.append(((*path, key), item))
        elif isinstance(value, list):
            left += [((*path, n), item) for n, item in enumerate(value)]


def _data(value: Any) -> int:
    """Lists and objects in a value; of a long one, each two members count as another."""
    found, left = 0, [value]
    while left:
        inner = left.pop()
        if isinstance(inner, dict | list):
            found += 1 + max(0, len(inner) - _SHORT) // 2
            items = inner.values() if isinstance(inner, dict) else inner
            left += [item for item in items if isinstance(item, dict | list)]
    return found


def _next(node: Any) -> int:
    """Upper limit of the continuations at the beginning of a value of this schema."""
    if not isinstance(node, dict):
        return _OF_ANY
    properties, required = node.get("properties"), node.get("required")
    names = properties.keys() if isinstance(properties, dict) else frozenset[str]()
    demanded = required if isinstance(required, list) else []
    optional = names - {name for name in demanded if isinstance(name, str)}
    found = _OF_ANY + _OF_PROPERTY * len(optional)
    for key in ("anyOf", "oneOf"):
        options = node.get(key)
        found += sum(map(_of_option, options)) if isinstance(options, list) else 0
    parts = node.get("allOf")
    return found + (sum(map(_next, parts)) if isinstance(parts, list) else 0)


def _of_option(node: Any) -> int:
    constant = isinstance(node, dict) and bool(node.keys() & {"const", "enum"})
    return 0 if constant else _next(node)


def _remainders(divisor: Any) -> int:
    """States that a divisor needs: itself without factors of 2 and 5."""
    if not isinstance(divisor, int | float) or isinstance(divisor, bool):
        return 1
    try:
        digits = Decimal(str(divisor)).as_tuple().digits
    except InvalidOperation:
        return 1
    number = int("".join(map(str, digits))) or 1
    for factor in (2, 5):
        while number % factor == 0:
            number //= factor
    return number
