"""Calls that a request demands: a grammar makes them, in the dialect of the model.

Rules: every keyword of a parameters' schema is enforced or refused, naming the function; an
independent validator checks the arguments of every call in the finished text.
"""

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import llguidance

from appliance.engine.text.enforceable import enforceable
from appliance.engine.text.reply import CLOSE, OPEN, Dialect, ParsedReply, ReplyForm, head
from appliance.engine.text.schemas import COMPACT, checked_schema, json_validator, refused
from appliance.errors import BadRequest
from appliance.types import Constraint, JsonValue, Tools

MOST_CALLS: Final = 16  # in one answer
# Blanks where the models' training data have them.
_SPACED: Final = {**COMPACT, "item_separator": ", ", "key_separator": ": "}


@dataclass(frozen=True)
class ForcedCalls:
    """The functions of which one must be called; schemas and validators by name."""

    dialect: Dialect
    parallel: bool
    schemas: dict[str, dict[str, JsonValue]]
    validators: dict[str, Callable[[str], bool]]

    @classmethod
    def constraint(
        cls, tools: Tools, dialect: Dialect, form: Constraint | None = None
    ) -> Constraint:
        """As a text that can be a cache's key, for `tools.forced`.

        Args:
            form: what an answer without a call must be, if none is demanded.
        """
        names = tools.forced or [f["name"] for f in tools.functions]
        schemas = {f["name"]: f["parameters"] for f in tools.functions if f["name"] in names}
        calls = json.dumps([dialect, tools.parallel, schemas])
        if form is None or tools.forced:
            return Constraint("calls", calls)
        return Constraint("either", json.dumps([calls, form.kind, form.source]))

    @classmethod
    def decode(cls, source: str) -> "ForcedCalls":
        dialect, parallel, schemas = json.loads(source)
        validators = {name: _checked(name, schema) for name, schema in schemas.items()}
        return cls(dialect, parallel, schemas, validators)

    def grammar(self, marker: Callable[[str], str], otherwise: str = "") -> str:
        """A Lark grammar of llguidance.

        Args:
            marker: how a tag is spelled: a token of its own, or text.
            otherwise: a rule for an answer without calls, if there may be one.
        """
        choice = f"calls | {otherwise}" if otherwise else "calls"
        lines = []
        for number, (name, schema) in enumerate(self.schemas.items()):
            begin = json.dumps(head(name, self.dialect))
            lines.append(f'call{number}: {begin} arguments{number} "}}"')
            spaced = json.dumps({**enforceable(schema), "x-guidance": _SPACED})
            lines.append(f"arguments{number}: %json {spaced}")
        one = " | ".join(f"call{number}" for number in range(len(self.schemas)))
        if self.dialect == "json":
            return "\n".join([f"start: {choice}", f"calls: {one}", *lines])
        again = f' ("\\n" call){{0,{MOST_CALLS - 1}}}' if self.parallel else ""
        call = f'call: {marker(OPEN)} "\\n" ({one}) "\\n" {marker(CLOSE)}'
        return "\n".join([f"start: {choice}", f"calls: call{again}", call, *lines])

    def valid(self, text: str) -> bool:
        """True if a finished text is only calls with accepted arguments."""
        reply = ParsedReply(ReplyForm(self.dialect, frozenset(self.schemas)))
        name, called = "", 0
        for piece in [*reply.push(text), *reply.finish()]:
            if piece.kind == "call":
                name, called = piece.text, called + 1
            elif piece.kind != "arguments" or not self.validators[name](piece.text):
                return False
        return called > 0


def _checked(name: str, schema: dict[str, JsonValue]) -> Callable[[str], bool]:
    try:
        text = json.dumps(enforceable(checked_schema(json.dumps(schema))))
        validator = json_validator(schema)
        grammar = llguidance.LLMatcher.grammar_from_json_schema(text, overrides=COMPACT)
        if reason := llguidance.LLMatcher.validate_grammar(grammar):
            raise ValueError(reason)
    except BadRequest as error:
        raise invalid_function(name, error.message) from error
    except (ValueError, RecursionError) as error:
        raise invalid_function(name, refused(str(error)).message) from error
    return validator


def invalid_function(name: str, reason: str) -> BadRequest:
    """A function's refusal."""
    reason = reason.removeprefix("Invalid schema for response_format: ")[:500]
    return BadRequest(
        "invalid_schema", f"Invalid schema for function {name!r}: {reason}", param="tools"
    )
