"""A client's schema in the form that the library for the masks gets.

Rules: it accepts no document that the client's schema does not accept. Dates and times are those
of the calendar and of a day of 24 hours (RFC 3339 without leap seconds). An unknown format is an
annotation (JSON Schema, 7.2.1). References stay within the schema.
"""

import re
from collections.abc import Callable
from typing import Any, Final
from urllib.parse import unquote

from appliance.engine.text.schemas import OF_THE_LIBRARY, refused
from appliance.types import JsonValue

_DATA: Final = frozenset({"const", "enum", "default", "examples"})  # keywords with any JSON
_MAPS: Final = frozenset({"properties", "patternProperties", "$defs", "definitions"})
_REFERENCES: Final = ("$ref", "$dynamicRef", "$recursiveRef")
_SHOWN: Final = 100

_DOT: Final = re.compile(r"\\.|\[(?:\\.|[^\]\\])*\]|\.", re.DOTALL)
_NO_END: Final = r"[^\n\r\u2028\u2029]"
_YEAR: Final = "([0-9]{3}[1-9]|[0-9]{2}[1-9]0|[0-9][1-9]00|[1-9]000)"  # Python knows no year 0
_FOURTH: Final = "(0[48]|[2468][048]|[13579][26])"  # of what 4 divides, but 00
_DATE: Final = (
    f"({_YEAR}-((0[13578]|1[02])-(0[1-9]|[12][0-9]|3[01])|(0[469]|11)-(0[1-9]|[12][0-9]|30)"
    f"|02-(0[1-9]|1[0-9]|2[0-8]))|([0-9]{{2}}{_FOURTH}|{_FOURTH}00)-02-29)"
)
_TIME: Final = (
    r"([01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9](\.[0-9]{1,6})?"
    "(Z|[+-]([01][0-9]|2[0-3]):[0-5][0-9])"
)
FORMATS: Final = {
    "date": f"^{_DATE}$",
    "time": f"^{_TIME}$",
    "date-time": f"^{_DATE}T{_TIME}$",
}
"""Patterns in place of formats that the library takes too widely."""


def enforceable(schema: dict[str, JsonValue]) -> dict[str, JsonValue]:
    """The schema for the masks, of one within the limits of depth.

    `invalid_schema` for a reference to another document, or when no finite document can satisfy it.
    """
    for node in _nodes(schema):
        if "x-guidance" in node:  # what the library takes beside JSON Schema
            raise refused("the keyword x-guidance is not allowed")
        _check_references(node)
    if not _Ends(schema).all_of(schema):
        raise refused("only a document without an end could satisfy it")
    changed: dict[str, JsonValue] = _mapped(schema, lambda n: _without_dots(_without_formats(n)))
    return changed


def _nodes(schema: Any) -> list[dict[str, JsonValue]]:
    found: list[dict[str, JsonValue]] = []

    def note(node: dict[str, JsonValue]) -> dict[str, JsonValue]:
        found.append(node)
        return node

    _mapped(schema, note)
    return found


def _targets(schema: Any) -> list[str]:
    found = (node.get("$ref") for node in _nodes(schema))
    return [target for target in found if isinstance(target, str)]


def _mapped(value: Any, change: Callable[[dict[str, JsonValue]], dict[str, JsonValue]]) -> Any:
    """A schema with each schema in it changed; what is only data stays."""
    if isinstance(value, list):
        return [_mapped(item, change) for item in value]
    if not isinstance(value, dict):
        return value
    changed: dict[str, JsonValue] = {}
    for key, item in value.items():
        if key in _MAPS and isinstance(item, dict):
            changed[key] = {name: _mapped(one, change) for name, one in item.items()}
        else:
            changed[key] = item if key in _DATA else _mapped(item, change)
    return change(changed)


def _check_references(node: dict[str, JsonValue]) -> None:
    for keyword in _REFERENCES:
        target = node.get(keyword)
        if isinstance(target, str) and not target.startswith("#"):
            raise refused(f"{keyword} leads to another document: {target[:_SHOWN]!r}")


def _without_dots(node: dict[str, JsonValue]) -> dict[str, JsonValue]:
    """Replace the dot: it excludes four line ends in ECMA-262, one in the library."""
    changed, names = dict(node), node.get("patternProperties")
    if isinstance(pattern := node.get("pattern"), str):
        changed["pattern"] = _dots(pattern)
    if isinstance(names, dict):
        changed["patternProperties"] = {_dots(name): one for name, one in names.items()}
    return changed


def _dots(expression: str) -> str:
    return _DOT.sub(lambda found: _NO_END if found[0] == "." else found[0], expression)


def _without_formats(node: dict[str, JsonValue]) -> dict[str, JsonValue]:
    name = node.get("format")
    if not isinstance(name, str) or name in OF_THE_LIBRARY:
        return node
    changed = {key: value for key, value in node.items() if key != "format"}
    if name not in FORMATS:
        return changed
    if "pattern" in changed:
        every = changed.get("allOf")
        rest = every if isinstance(every, list) else []
        changed["allOf"] = [*rest, {"pattern": FORMATS[name]}]
    else:
        changed["pattern"] = FORMATS[name]
    return changed


class _Ends:
    """Which schemas some finite document satisfies, as far as references decide it.

    The least fixed point: a reference has no end until its target is seen to have one.
    """

    def __init__(self, root: dict[str, JsonValue]) -> None:
        self._root = root
        self._known: set[str] = set()
        waiting: dict[str, list[str]] = {}  # by a target: those whose end may hang on it
        look = list(dict.fromkeys(_targets(root)))
        for target in look:
            for inner in _targets(self._at(target)):
                waiting.setdefault(inner, []).append(target)
        while look:
            target = look.pop()
            if target not in self._known and self.all_of(self._at(target)):
                self._known.add(target)
                look += waiting.get(target, ())

    def all_of(self, node: Any) -> bool:
        if not isinstance(node, dict):
            return node is not False
        target = node.get("$ref")
        if isinstance(target, str) and target not in self._known:
            return False
        for keyword in ("anyOf", "oneOf"):
            options = node.get(keyword)
            if isinstance(options, list) and options and not any(map(self.all_of, options)):
                return False
        parts = node.get("allOf")
        if isinstance(parts, list) and not all(map(self.all_of, parts)):
            return False
        return self._object_ends(node) and self._array_ends(node)

    def _object_ends(self, node: dict[str, JsonValue]) -> bool:
        properties, required = node.get("properties"), node.get("required")
        if node.get("type") != "object" or not isinstance(required, list):
            return True
        known = properties if isinstance(properties, dict) else {}
        return all(self.all_of(known.get(str(name), True)) for name in required)

    def _array_ends(self, node: dict[str, JsonValue]) -> bool:
        least, first = node.get("minItems", 0), node.get("prefixItems")
        if node.get("type") != "array" or not isinstance(least, int | float):
            return True
        given = first[: int(least)] if isinstance(first, list) else []
        rest = [node.get("items", True)] if least > len(given) else []
        return all(map(self.all_of, [*given, *rest]))

    def _at(self, reference: str) -> Any:
        """The schema at a JSON pointer; True if there is none, for the library to refuse."""
        found: Any = self._root
        before, *parts = unquote(reference).removeprefix("#").split("/")
        if before:  # a name and no pointer
            return True
        for part in parts:
            name = part.replace("~1", "/").replace("~0", "~")
            if isinstance(found, dict):
                found = found.get(name, True)
            elif isinstance(found, list) and name.isdecimal() and int(name) < len(found):
                found = found[int(name)]
            else:
                return True
        return found
