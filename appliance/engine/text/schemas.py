"""JSON schemas from clients: their limits, and the check of a finished text.

Rules: size and depth are bounded before any library sees a schema; a client cannot set what
llguidance takes beyond JSON Schema; an expression that ECMA-262 does not know (JSON Schema, 6.4) is
refused, although the libraries would give it a meaning.
"""

import json
import re
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, Final, NoReturn

import jsonschema_rs

from appliance.engine.text.schema_cost import costly
from appliance.errors import BadRequest
from appliance.trust.bytes import strict_json
from appliance.types import JsonValue

if TYPE_CHECKING:
    from llguidance._lib import JsonCompileOptions

MAX_BYTES: Final = 64 << 10
MAX_DEPTH: Final = 64
MOST_REPEATS: Final = 2000
"""In one expression, and in all expressions of a schema together."""
COMPACT: Final["JsonCompileOptions"] = {"whitespace_flexible": False, "lenient": False}
"""No blanks between JSON tokens; a keyword that cannot be enforced is an error."""

OF_THE_LIBRARY: Final = ("duration", "email", "hostname", "ipv4", "ipv6", "uuid", "uri")
"""Formats that the mask holds an answer to by itself, and alone: libraries draw their borders in
different places."""
_ANNOTATIONS: Final = (
    "idn-email", "idn-hostname", "iri", "iri-reference", "json-pointer", "regex",
    "relative-json-pointer", "uri-reference", "uri-template",
)  # fmt: skip
"""Formats of JSON Schema that the validator knows and no mask holds an answer to."""
_NOT_CHECKED: Final[dict[str, Callable[[str], bool]]] = dict.fromkeys(
    (*OF_THE_LIBRARY, *_ANNOTATIONS), lambda _: True
)
_SWITCH: Final = re.compile(r" ?Enable '\w+' option[^.]*\.?")  # of the library, not the client's
_BORDER: Final = re.compile(r"^Failed to generate regex for (\w+) range: .*", re.DOTALL)
_LITERAL: Final = re.compile(r"\\.|\[(?:\\.|[^\]\\])*\]", re.DOTALL)  # escapes and classes
_REPEAT: Final = re.compile(r"[*+?{]")
_REPEATED_ANCHOR: Final = re.compile(r"[\^$][*+?{]")


def refused(reason: str) -> BadRequest:
    """The refusal of a constraint, in words that SDKs look for.

    Args:
        reason: ours, or a library's, without what it says of its own switches.
    """
    told = _SWITCH.sub("", _BORDER.sub(r"no mask is made for the limits of this \1", reason[:1000]))
    return BadRequest(
        "invalid_schema",
        f"Invalid schema for response_format: {told.strip()[:500]}",
        param="response_format",
    )


def json_validator(schema: dict[str, JsonValue]) -> Callable[[str], bool]:
    """A check that a text is JSON that the schema accepts.

    It raises ValueError if the text is no JSON or repeats a key in an object.
    """
    check = jsonschema_rs.validator_for(
        schema, validate_formats=True, formats=_NOT_CHECKED, retriever=_no_other_document
    )
    accepts = check.is_valid
    return lambda text: bool(accepts(json.loads(text, object_pairs_hook=strict_json.unique)))


def _no_other_document(uri: str) -> NoReturn:
    raise ValueError(f"{uri[:100]!r} is another document, and none is fetched")


def checked_schema(source: str) -> dict[str, JsonValue]:
    """Parse a schema within the limits (`invalid_schema`)."""
    try:
        schema = json.loads(source)
    except RecursionError as error:
        raise refused(f"it is nested deeper than {MAX_DEPTH} levels") from error
    except ValueError as error:
        raise refused("it is not JSON") from error
    if not isinstance(schema, dict):
        raise refused("it is not an object")
    _check_depth(schema)
    if reason := costly(schema):
        raise refused(reason)
    return schema


def check_expression(source: str) -> None:
    """Refuse an expression that repeats an anchor, as `^+x$` does (`invalid_schema`)."""
    bare = _LITERAL.sub("x", source)
    if _REPEATED_ANCHOR.search(bare):
        raise refused("an expression repeats ^ or $, where there is nothing to repeat")
    if len(_REPEAT.findall(bare)) > MOST_REPEATS:  # compiling takes quadratic time in them
        raise refused(f"an expression has more than {MOST_REPEATS} repetitions")


def _expressions(schema: dict[str, JsonValue]) -> Iterator[str]:
    pattern, properties = schema.get("pattern"), schema.get("patternProperties")
    if isinstance(pattern, str):
        yield pattern
    if isinstance(properties, dict):
        yield from properties


def _check_depth(schema: Any) -> None:
    level, expressions = [schema], list[str]()
    for _ in range(MAX_DEPTH):
        below: list[Any] = []
        for value in level:
            if isinstance(value, dict):
                expressions += _expressions(value)
                below.extend(value.values())
            elif isinstance(value, list):
                below.extend(value)
        if not below:
            for expression in expressions:
                check_expression(expression)
            check_expression("|".join(f"({expression})" for expression in expressions))
            return
        level = below
    raise refused(f"it is nested deeper than {MAX_DEPTH} levels")
