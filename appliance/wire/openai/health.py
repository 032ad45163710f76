"""`GET /healthz` and `GET /readyz`: signs of life."""

from typing import Literal

from pydantic import BaseModel


class Health(BaseModel):
    """A sign of life."""

    status: Literal["ok", "ready"]


class Ready(Health):
    """That a request can be answered; `suspended` names the models that are out of service."""

    suspended: list[str] | None = None
