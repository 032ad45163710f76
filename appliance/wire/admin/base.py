"""Common base of the admin socket's schemas.

Rules: replies allow unknown fields, so that an older client reads a newer server; requests refuse
them.
"""

from typing import Any, Self

from pydantic import (
    BaseModel,
    ConfigDict,
    ModelWrapValidatorHandler,
    PrivateAttr,
    ValidationError,
    model_serializer,
    model_validator,
)

from appliance.errors import BadRequest


class Reply(BaseModel):
    """A part of an answer."""

    model_config = ConfigDict(frozen=True, extra="ignore", populate_by_name=True)

    @classmethod
    def told_by(cls, record: object, /, **more: Any) -> Self:
        """Take from a record the fields that both name, and the others from `more`."""
        for name, field in cls.model_fields.items():
            if name not in more and (field.is_required() or hasattr(record, name)):
                more[name] = getattr(record, name)
        return cls.model_validate(more)


class Verbatim(Reply):
    """A part of an answer, written as it was given, so that its digest stays."""

    _given: dict[str, Any] = PrivateAttr(default_factory=dict)

    @model_validator(mode="wrap")
    @classmethod
    def _take(cls, given: Any, read: ModelWrapValidatorHandler[Self]) -> Self:
        found = read(given)
        if isinstance(given, dict):
            found._given = given
        return found

    @model_serializer
    def _write(self) -> dict[str, Any]:
        return self._given

    @property
    def document(self) -> dict[str, Any]:
        """As JSON values."""
        return self.model_dump(mode="json")

    def having(self, **more: Any) -> Self:
        return self.model_validate({**self._given, **more})


class Request(BaseModel):
    """The body of a request."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    @classmethod
    def of(cls, **fields: Any) -> Self:
        """Raises BadRequest: `invalid_value` naming the field."""
        try:
            return cls(**fields)
        except ValidationError as error:
            first = error.errors()[0]
            param = ".".join(map(str, first["loc"]))
            raise BadRequest("invalid_value", f"{param}: {first['msg']}.", param=param) from error
