"""The form of an extracted document: as a JSON schema, and by hand as a compact GBNF, in the
schema's order and without white space.
"""

import json
from typing import Any, Final

import jsonschema_rs

_ENUMS: Final[dict[str, list[str]]] = {
    "machine": ["press", "lathe", "robot", "conveyor", "pump"],
    "component": ["bearing", "seal", "motor", "sensor", "valve", "belt"],
    "failure_mode": ["wear", "leak", "overheat", "misalignment", "electrical", "unknown"],
    "severity": ["low", "medium", "high", "critical"],
    "shift": ["morning", "evening", "night"],
}
_INTEGERS: Final = {"line": (1, 12), "downtime_minutes": (0, 999), "temperature_c": (0, 200)}
_TEXT: Final = 40
KEYS: Final = [
    *("machine", "component", "failure_mode", "severity", "line", "shift", "downtime_minutes"),
    *("temperature_c", "requires_stop", "safety_risk", "spare_part_needed", "recommended_action"),
]
_RULES: Final = {
    "line": '[1-9] | "1" [0-2]',
    "downtime_minutes": '"0" | [1-9] [0-9]? [0-9]?',
    "temperature_c": '"0" | [1-9] [0-9]? | "1" [0-9] [0-9] | "200"',
}


def _property(name: str) -> dict[str, Any]:
    if name in _ENUMS:
        return {"enum": _ENUMS[name]}
    if name in _INTEGERS:
        low, high = _INTEGERS[name]
        return {"type": "integer", "minimum": low, "maximum": high}
    if name == "recommended_action":
        return {"type": "string", "maxLength": _TEXT}
    return {"type": "boolean"}


SCHEMA: Final[dict[str, Any]] = {
    "type": "object",
    "additionalProperties": False,
    "required": KEYS,
    "properties": {name: _property(name) for name in KEYS},
}


def _rule(name: str) -> str:
    """The right-hand side of a property's rule."""
    if name in _ENUMS:
        return " | ".join(f'"\\"{value}\\""' for value in _ENUMS[name])
    if name == "recommended_action":
        return f'"\\"" [^"\\\\\\x00-\\x1F]{{0,{_TEXT}}} "\\""'
    return _RULES.get(name, '"true" | "false"')


def _grammar() -> str:
    ids = {name: name.replace("_", "-") for name in KEYS}
    members = ' "," '.join(f'"\\"{name}\\":" {ids[name]}' for name in KEYS)
    rules = "\n".join(f"{ids[name]} ::= {_rule(name)}" for name in KEYS)
    return f'root ::= "{{" {members} "}}"\n{rules}\n'


GRAMMAR: Final = _grammar()
_VALIDATOR: Final = jsonschema_rs.validator_for(SCHEMA)


def valid(text: str) -> bool:
    """True if the text is a document of the schema."""
    try:
        return bool(_VALIDATOR.is_valid(json.loads(text)))
    except ValueError:
        return False
