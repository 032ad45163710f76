"""Fields that ask for a form of the answer: OpenAI's `response_format`, and the spellings of
vLLM (`guided_*`) and llama-server (`json_schema`).

Rules: at most one of them asks for something; each means the same on all routes. The result is JSON
text in ASCII; the engine says whether a schema can be enforced. A grammar is never taken from a
client: it is named, and the model was signed with it.
"""

import functools
import json
import re
from typing import Annotated, Any, Final, Literal, Self, TypeAlias

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    model_validator,
)

from appliance.types import Constraint
from appliance.wire.openai.characters import half_pair, may_spell_half
from appliance.wire.openai.unsupported import field_refused


def _parsed(schema: Any) -> Any:
    """A schema that came as text, as vLLM's clients send it."""
    if not isinstance(schema, str):
        return schema
    try:
        parsed = json.loads(schema)
    except (ValueError, RecursionError) as error:
        raise ValueError("the text is not JSON") from error
    if may_spell_half(schema) and half_pair(parsed) is not None:
        raise ValueError("the text has half of a surrogate pair")
    return parsed


Schema: TypeAlias = dict[str, Any]
SchemaText: TypeAlias = Annotated[
    Schema, BeforeValidator(_parsed, json_schema_input_type=Schema | str)
]


_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")


def _named(grammar: str) -> str:
    if not _NAME.fullmatch(grammar):
        why = "grammars are not taken from clients; name one that the model was signed with"
        raise field_refused("unsupported_parameter", "", why)
    return grammar


GrammarName: TypeAlias = Annotated[str, AfterValidator(_named)]


class SchemaFormat(BaseModel):
    """`response_format.json_schema`; name and strict change nothing, every schema is enforced."""

    model_config = ConfigDict(strict=True, extra="ignore")

    name: str | None = None
    strict: bool | None = None
    schema_: Schema = Field(alias="schema")


class ResponseFormat(BaseModel):
    """`response_format`."""

    model_config = ConfigDict(strict=True, extra="ignore")

    type: Literal["text", "json_object", "json_schema", "grammar"]
    json_schema: SchemaFormat | None = None
    grammar: GrammarName | None = Field(None, description="its name, of those of the model")

    @model_validator(mode="before")
    @classmethod
    def _one_spelling(cls, data: Any) -> Any:
        if isinstance(data, dict) and data.get("schema") is not None:
            why = 'use {"type": "json_schema", "json_schema": {"schema": …}}'
            raise field_refused("unsupported_parameter", "schema", why)
        return data

    @model_validator(mode="after")
    def _complete(self) -> Self:
        if self.type == "json_schema" and self.json_schema is None:
            raise field_refused("invalid_value", "json_schema", "is missing")
        if self.type == "grammar" and self.grammar is None:
            raise field_refused("invalid_value", "grammar", "is missing")
        return self


class ConstraintFields(BaseModel):
    """Common fields of chat and completions that constrain the answer."""

    response_format: ResponseFormat | None = None
    json_schema: Schema | None = None
    guided_json: SchemaText | None = None
    guided_regex: str | None = Field(None, min_length=1)
    guided_choice: list[str] | None = Field(None, min_length=1, fail_fast=True)
    guided_grammar: GrammarName | None = Field(
        None, description="the name of a grammar that the model was signed with"
    )

    @model_validator(mode="after")
    def _one_constraint(self) -> Self:
        if len(self.constraints) > 1:
            raise field_refused("invalid_value", "response_format", "only one constraint at a time")
        return self

    @property
    def constraint(self) -> Constraint | None:
        """None when the answer is free text."""
        return next(iter(self.constraints), None)

    @functools.cached_property
    def constraints(self) -> list[Constraint]:
        """All that is asked for; a valid request asks for one at most."""
        found = []
        asked = self.response_format
        if asked is not None and asked.type == "json_object":
            found.append(Constraint("json_object"))
        if asked is not None and asked.type == "json_schema" and asked.json_schema is not None:
            found.append(schema_constraint(asked.json_schema.schema_))
        if asked is not None and asked.type == "grammar" and asked.grammar is not None:
            found.append(Constraint("grammar", asked.grammar))
        if self.guided_grammar is not None:
            found.append(Constraint("grammar", self.guided_grammar))
        found += [
            schema_constraint(s) for s in (self.json_schema, self.guided_json) if s is not None
        ]
        if self.guided_regex is not None:
            found.append(Constraint("regex", self.guided_regex))
        if self.guided_choice is not None:
            found.append(Constraint("choice", json.dumps(self.guided_choice)))
        return found


def schema_constraint(schema: Schema) -> Constraint:
    """A schema as what the engine enforces."""
    try:
        source = json.dumps(schema, separators=(",", ":"), allow_nan=False)
    except (ValueError, RecursionError) as error:
        why = "the schema has numbers or a depth that JSON has no room for"
        raise field_refused("invalid_value", "response_format", why) from error
    return Constraint("json_schema", source)
