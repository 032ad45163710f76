"""JSON schemas from clients: their limits, and the check of a finished text.

Rules: size and depth are bounded before any library sees a schema; what llguidance takes from a
schema beyond JSON Schema is ours to set, never the client's.
"""

import json
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

import jsonschema_rs

from appliance.errors import BadRequest

if TYPE_CHECKING:
    from llguidance._lib import JsonCompileOptions

MAX_BYTES: Final = 64 << 10
MAX_DEPTH: Final = 64
COMPACT: Final["JsonCompileOptions"] = {"whitespace_flexible": False, "lenient": False}
"""No blanks between JSON tokens; a keyword that cannot be enforced is an error."""


def refused(reason: str) -> BadRequest:
    """The refusal of a constraint, in words that SDKs look for."""
    return BadRequest(
        "invalid_schema",
        f"Invalid schema for response_format: {reason[:500]}",
        param="response_format",
    )


def json_validator(schema: dict[str, Any]) -> Callable[[str], bool]:
    """Whether a text is JSON that the schema accepts; raises ValueError for what is no JSON."""
    accepts = jsonschema_rs.validator_for(schema).is_valid
    return lambda text: bool(accepts(json.loads(text)))


def checked_schema(source: str) -> dict[str, Any]:
    """A schema within the limits of size and depth.

    Raises:
        BadRequest: `invalid_schema`.
    """
    try:
        schema = json.loads(source)
    except RecursionError as error:
        raise refused(f"it is nested deeper than {MAX_DEPTH} levels") from error
    except ValueError as error:
        raise refused("it is not JSON") from error
    if not isinstance(schema, dict):
        raise refused("it is not an object")
    _check_depth(schema)
    return schema


def _check_depth(schema: Any) -> None:
    """Refuse deep nesting and our own extension key, without recursion."""
    level = [schema]
    for _ in range(MAX_DEPTH):
        below: list[Any] = []
        for value in level:
            if isinstance(value, dict):
                if "x-guidance" in value:
                    raise refused("the keyword x-guidance is not allowed")
                below.extend(value.values())
            elif isinstance(value, list):
                below.extend(value)
        if not below:
            return
        level = below
    raise refused(f"it is nested deeper than {MAX_DEPTH} levels")
