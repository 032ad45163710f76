"""The JSON schema of answers in fields: an object with named properties, read once. Pure."""

from collections.abc import Mapping
from functools import cached_property
from typing import Any, TypeAlias

import jsonschema_rs
import msgspec
from msgspec import UNSET, Struct, UnsetType, field

Scalar: TypeAlias = str | int | float | bool | None
"""A value of a property."""


class PropertySchema(Struct, frozen=True, omit_defaults=True):
    """A property, as far as a line of text can express it.

    Attributes:
        pattern, format: UNSET without one.
    """

    type: str | list[str] | UnsetType = UNSET
    enum: list[Any] | UnsetType = UNSET
    const: Any = UNSET
    least: int = field(name="minLength", default=0)
    most: int | UnsetType = field(name="maxLength", default=UNSET)
    pattern: Any = UNSET
    format: Any = UNSET

    @property
    def options(self) -> list[Any] | None:
        if self.const is not UNSET:
            return [self.const]
        return None if isinstance(self.enum, UnsetType) else self.enum

    @property
    def types(self) -> set[str]:
        if self.options is not None:
            return {_type_of(option) for option in self.options}
        if isinstance(self.type, UnsetType):
            return {"unstated"}
        return {self.type} if isinstance(self.type, str) else set(self.type)


class ObjectSchema:
    """A JSON schema."""

    def __init__(self, document: Mapping[str, Any]) -> None:
        self.document = document
        self.required = frozenset(document.get("required", ()))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, ObjectSchema) and self.document == other.document

    @property
    def names(self) -> list[str]:
        return list(self.document.get("properties", ()))

    def of(self, name: str) -> PropertySchema:
        """Raises msgspec.ValidationError for a property that no line can express."""
        return msgspec.convert(self.document["properties"][name], PropertySchema, strict=False)

    @cached_property
    def _validator(self) -> Any:
        return jsonschema_rs.validator_for(dict(self.document))

    def accepts(self, answer: object) -> bool:
        return bool(self._validator.is_valid(answer))


def _type_of(value: object) -> str:
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "boolean"
    if isinstance(value, int):
        return "integer"
    return "string" if isinstance(value, str) else "unfit"
