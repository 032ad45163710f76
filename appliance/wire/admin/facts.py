"""The facts of artifacts: objects of JSON, structs on both ends."""

from collections.abc import Mapping
from typing import Annotated, Any, TypeAlias

from pydantic import PlainSerializer, PlainValidator, WithJsonSchema

from appliance.facts import ArtifactFacts, read, table_of


def _facts(value: object) -> object:
    return read(value) if isinstance(value, Mapping) else value


Facts: TypeAlias = Annotated[
    ArtifactFacts,
    PlainValidator(_facts),
    PlainSerializer(table_of, return_type=dict[str, Any]),
    WithJsonSchema({"type": "object", "additionalProperties": True}),
]
