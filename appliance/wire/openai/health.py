"""`GET /healthz` and `GET /readyz`: signs of life."""

from typing import Literal

from pydantic import BaseModel


class Health(BaseModel):
    """A sign of life; `suspended` names the models that are out of service."""

    status: Literal["ok", "ready"]
    suspended: list[str] | None = None
