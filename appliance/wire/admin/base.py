"""What the schemas of the admin socket have in common.

Rules: replies allow unknown fields, so that an older client reads a newer server; requests refuse
them.
"""

from typing import Any, Self

from pydantic import BaseModel, ConfigDict, ValidationError

from appliance.errors import BadRequest


class Reply(BaseModel):
    """A part of an answer."""

    model_config = ConfigDict(frozen=True, extra="ignore", populate_by_name=True)


class Request(BaseModel):
    """The body of a request."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    @classmethod
    def of(cls, **fields: Any) -> Self:
        """A checked request.

        Raises:
            BadRequest: `invalid_value` naming the field.
        """
        try:
            return cls(**fields)
        except ValidationError as error:
            first = error.errors()[0]
            param = ".".join(map(str, first["loc"]))
            raise BadRequest("invalid_value", f"{param}: {first['msg']}.", param=param) from error
